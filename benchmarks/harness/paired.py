"""Programs that take turns, each in a process of its own -> their speeds and the ratios of them.

A worker imports, builds and warms up once, reports that, and sleeps until it is told to train one
epoch; it answers with images a second. The parent goes round: A B C A B C ... Machines are shared,
so only ratios within a round are results. A turn in which other programs took more than a tenth of
a core is reported, left out and repeated. The protocol is a line of JSON each way. Knows nothing of
networks or images.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NoReturn

HERE = Path(__file__).parents[1]
DISTURBED = 0.1  # cores that others may use, on average over a turn


@dataclass(frozen=True)
class Contender:
    """One program to compare.

    Attributes:
        name: as it is printed.
        module: of this folder, run as ``python -m``; it reads its job with `Worker`.
        job: its task; `compare` adds ``first``, the report of the first contender when ready.
        python: interpreter that has the module's imports.
        environment: variables of its process, beside those of this one.
    """

    name: str
    module: str
    job: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)


_Worker = tuple[Contender, "subprocess.Popen[str]"]  # a contender and its process


class Worker:
    """A contender's side of the protocol; its other output goes to standard error."""

    def __init__(self) -> None:
        self.job: dict[str, Any] = json.loads(sys.argv[1])
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._idle_since: float | None = None

    def ready(self, **facts: Any) -> None:
        """Report that everything is built and warm."""
        self._tell(facts)

    def wait(self) -> None:
        """Sleep until this contender's turn; end the process if there is no other turn."""
        slept = time.process_time()
        if not sys.stdin.readline():
            self.leave()
        self._idle = time.process_time() - slept

    def answer(self, speed: float) -> None:
        """Report the images a second of the turn that ended."""
        self._tell({"speed": speed, "idle": self._idle, "peak": peak_megabytes()})

    def leave(self) -> NoReturn:
        """End at once; the rest of an unfinished training is not needed."""
        sys.stderr.flush()
        os._exit(0)

    def serve(self, epoch: Callable[[int | None], int], **facts: Any) -> None:
        """Time `epoch`, which trains on at most n batches and returns the number of images."""
        epoch(2)
        self.ready(**facts)
        while True:
            self.wait()
            started = time.perf_counter()
            images = epoch(None)
            self.answer(images / (time.perf_counter() - started))

    def _tell(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._answers, flush=True)


def compare(
    contenders: Sequence[Contender],
    rounds: int,
    log: Path,
    *,
    start_together: bool = False,
    after_round: Callable[[dict[str, list[float]]], None] | None = None,
) -> dict[str, list[float]]:
    """Let the contenders take turns.

    Args:
        contenders: the first one's report is given to the others.
        rounds: turns of each.
        log: where their other output is added.
        start_together: start all but the first at the same time. Not for those that time steps
            when they start.
        after_round: takes the speeds so far, for a comparison that may be cut off.

    Returns:
        Name -> images a second, one figure a round.

    Raises:
        SystemExit: a contender failed; the end of its output is shown.
    """
    workers: list[_Worker] = []
    with log.open("a+") as errors:
        try:
            _start_all(workers, contenders, log, errors, together=start_together)
            speeds = _take_turns(workers, rounds, log, after_round or (lambda _speeds: None))
        finally:
            for _, process in workers:
                assert process.stdin
                process.stdin.close()
            for _, process in workers:
                process.wait()
    return speeds


def _start_all(
    workers: list[_Worker],
    contenders: Sequence[Contender],
    log: Path,
    errors: IO[str],
    *,
    together: bool,
) -> None:
    """Start the contenders and wait until all are warm; each is added to `workers` at once."""
    workers.append((contenders[0], _start(contenders[0], {}, errors)))
    first = _await_start(*workers[0], log)
    for contender in contenders[1:]:
        workers.append((contender, _start(contender, first, errors)))
        if not together:
            _await_start(*workers[-1], log)
    if together:
        for worker in workers[1:]:
            _await_start(*worker, log)


def _take_turns(
    workers: Sequence[_Worker],
    rounds: int,
    log: Path,
    after_round: Callable[[dict[str, list[float]]], None],
) -> dict[str, list[float]]:
    """Let warm contenders take turns; give the speeds of each."""
    speeds: dict[str, list[float]] = {contender.name: [] for contender, _ in workers}
    peaks: dict[str, float] = {}
    left_out = 0
    for number in range(1, rounds + 1):
        for contender, process in workers:
            answer_of_turn, others = _take_turn(contender, process, log)
            while others > DISTURBED and left_out < 2 * rounds:
                left_out += 1
                line = f"{answer_of_turn['speed']:.2f}/s, others {others:.2f} cores"
                print(f"left out: {contender.name} {line}", file=sys.stderr)
                answer_of_turn, others = _take_turn(contender, process, log)
            line = (
                f"{answer_of_turn['speed']:.2f}/s, "
                f"peak {answer_of_turn['peak']:,.0f} MB, others {others:.2f} cores"
            )
            print(f"round {number}: {contender.name} {line}", file=sys.stderr)
            speeds[contender.name].append(answer_of_turn["speed"])
            peaks[contender.name] = answer_of_turn["peak"]
        after_round(speeds)
    print(f"{left_out} turns were disturbed by other programs, left out and repeated")
    print("peak memory: " + ", ".join(f"{name} {peak:,.0f} MB" for name, peak in peaks.items()))
    return speeds


def _start(contender: Contender, first: dict[str, Any], errors: IO[str]) -> "subprocess.Popen[str]":
    """Start a contender's process, which builds and warms up."""
    job = json.dumps({**contender.job, "first": first})
    return subprocess.Popen(
        [contender.python, "-m", contender.module, job],
        env=_environment() | contender.environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
    )


def _await_start(
    contender: Contender, process: "subprocess.Popen[str]", log: Path
) -> dict[str, Any]:
    """Wait until a contender is warm; give its report."""
    facts = _listen(contender, process, log)
    print(f"ready: {contender.name} {facts or ''}", file=sys.stderr)
    return facts


def _take_turn(
    contender: Contender, process: "subprocess.Popen[str]", log: Path
) -> tuple[dict[str, Any], float]:
    """A contender's answer, and the cores that other programs used in the meantime."""
    assert process.stdin
    started = time.perf_counter()
    before = _foreign_seconds()
    print("go", file=process.stdin, flush=True)
    answer_of_turn = _listen(contender, process, log)
    if answer_of_turn["idle"] > 0.1:
        print(
            f"{contender.name} used {answer_of_turn['idle']:.1f} s of CPU while it waited",
            file=sys.stderr,
        )
    return answer_of_turn, (_foreign_seconds() - before) / (time.perf_counter() - started)


def peak_megabytes() -> float:
    """Peak resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with what the process that started this one had taken
        return 1.024e-3 * int(status.read_text().split("VmHWM:")[1].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_of(arguments: Sequence[str]) -> float:
    """Peak resident memory, in MB, of a process that runs `bestiary` with these arguments."""
    code = (
        "import sys; from bestiary.cli import main; from harness.paired import peak_megabytes; "
        "status = main(sys.argv[1:]); print(peak_megabytes()); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    """The environment of a process that imports the modules of this folder."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path}


def _foreign_seconds() -> float:
    """CPU seconds of all other processes but this one and its children; 0 except on Linux."""
    if not Path("/proc/stat").exists():
        return 0.0
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split()[1:9]
    )
    times = {}
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since it was listed
            continue
        number = int(stat.parent.name)
        times[number] = sum(map(int, fields[11:15]))
        parents[number] = int(fields[1])
    ours = {os.getpid()}
    while more := {number for number, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return (
        user + nice + system + irq + softirq + steal - sum(times[number] for number in ours)
    ) / tick


def _listen(contender: Contender, process: "subprocess.Popen[str]", log: Path) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise SystemExit(
            f"{contender.name} failed:\n" + "\n".join(log.read_text().splitlines()[-15:])
        )
    return dict(json.loads(line))


def report(speeds: dict[str, list[float]]) -> None:
    """Print each contender's median speed, and how many times as fast the first is."""
    (name, ours), *others = speeds.items()
    width = max(map(len, speeds))
    print(f"{name:{width}}  {spread(ours)} images/s, n = {len(ours)}")
    for other, theirs in others:
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"{other:{width}}  {spread(theirs)} images/s; {name} is {spread(ratios)} times as fast"
        )


def ratios(speeds: dict[str, list[float]]) -> dict[str, list[float]]:
    """How many times as fast the first contender is as each other, round by round."""
    (_, ours), *others = speeds.items()
    return {name: [a / b for a, b in zip(ours, of, strict=True)] for name, of in others}


def spread(values: Sequence[float]) -> str:
    """Median, minimum and maximum."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def machine() -> str:
    """The machine and the relevant versions, in one line."""
    import torch

    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
            model,
        )
    bf16 = "with" if torch.cpu.get_capabilities().get("avx512_bf16") else "without"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm"))
    processor = f"{os.cpu_count()} cores of {model} {bf16} AVX-512 bf16"
    return f"{processor}, {gpu}; Python {platform.python_version()}, {libraries}"
