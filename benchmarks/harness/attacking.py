"""Verbs on a hostile run, in a child under limits -> what went wrong, one line each.

Each verb is the command line, in a process that was forked for one run. Memory and time are
limited. An audit hook of Python reports every program that is started, every connection, and every
file outside that is opened; what lies outside is compared before and after, since libraries write
without Python.

    python benchmarks/harness/attacking.py WORKPLACE NAME ...
        as reliability/hostile_runs.py starts it
"""

import contextlib
import hashlib
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bestiary.cli import main as run_command

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.hostile import HOSTILE, Places, make_hostile

MEMORY_BYTES = 3 << 30
SECONDS = 20  # of computing; other programs of a busy machine do not count
LOOK_EVERY = 1.0  # seconds
IDLE = 0.02  # seconds of computing between two looks: a verb that hangs has less
MAX_IDLE = 90  # looks until a verb that hangs is ended
HACKED = Path("/tmp/bestiary-was-hacked")
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
REQUESTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
# Programs that libraries start to learn about the machine.
USUAL_PROGRAMS = ("lscpu", "uname", "ldconfig", "gcc", "g++", "nvidia-smi")


class Watch:
    """What an audit hook sees. `outside` must be neither read nor written."""

    def __init__(self) -> None:
        self.outside = ""
        self.seen: list[str] = []

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.outside:
            return
        if (event in PROGRAMS and not any(name in repr(arguments) for name in USUAL_PROGRAMS)) or (
            event in REQUESTS and "AF_UNIX" not in repr(arguments)
        ):
            self.seen.append(f"{event} {arguments!r:.120}")
        elif event == "open" and str(arguments[0]).startswith(self.outside):
            self.seen.append(f"open {arguments!r:.160}")


def commands(run: Path, places: Places, out: Path) -> dict[str, list[str]]:
    """Every verb that opens a run; those that write into it come last."""
    r, good, o = str(run), str(places.run), str(out)
    data = str(places.data)
    image = str(next(places.new.rglob("*.jpg")))
    ablation = out / "ablation"
    return {
        "show": ["show", r],
        "compare": ["compare", r, good, "--out", f"{o}/compare"],
        "compare second": ["compare", good, r],
        "predict": ["predict", r, image, "--out", f"{o}/p.csv"],
        "evaluate": ["evaluate", r, str(places.new)],
        "labels": ["labels", r, "--out", f"{o}/labels"],
        "report": ["report", r, "--out", f"{o}/report.html"],
        "report data": ["report", r, "--data", data, "--out", f"{o}/data.html", "--no-saliency"],
        "export": ["export", r, f"{o}/model.pt2", "--format", "torch"],
        "distill": ["distill", r, f"{o}/student", "--data", data],
        "ablate": [
            *("ablate", data, str(ablation), "--recipe", r + "/recipe.toml", "--resume"),
            *("--vary", "train.seed=1"),
        ],
        "labels inside": ["labels", r],
        "report inside": ["report", r, "--format", "md"],
        "train": ["train", data, r, "--resume"],
    }


QUICK = ("show", "predict", "labels", "report", "report data", "labels inside", "report inside")
"""Verbs that train nothing and trace nothing, for the tests."""


def attack(name: str, places: Places, scratch: Path, verbs: tuple[str, ...] = ()) -> list[str]:
    """Run verbs on one hostile run.

    Args:
        name: of `HOSTILE`.
        places: the good run and what hostile ones aim at.
        scratch: a folder for the run and the results, removed afterwards.
        verbs: of `commands`, and serve; empty: all.

    Returns:
        A line for everything that went wrong.
    """
    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    out.mkdir(parents=True)
    os.environ["BESTIARY_STATE"] = str(folder / "state")
    run = _make_in_child(name, places, folder)
    before = _fingerprint(places)
    failures = []
    for verb, command in commands(run, places, out).items():
        if verbs and verb not in verbs:
            continue
        if verb == "ablate":
            shutil.copytree(run, out / "ablation/base/seed-0", symlinks=True, ignore=_no_specials)
        failures += [f"{name}: {verb}: {line}" for line in _in_child(command, places)]
    if not verbs:
        failures += [f"{name}: serve: {line}" for line in _in_child(["serve", str(run)], places)]
    if _fingerprint(places) != before:
        failures.append(f"{name}: a file outside has changed")
    if HACKED.exists():
        HACKED.unlink()
        failures.append(f"{name}: a command was executed")
    shutil.rmtree(folder, ignore_errors=True)
    return failures


def _make_in_child(name: str, places: Places, folder: Path) -> Path:
    """Make the run in a child: the threads of polars do not survive a fork."""
    child = os.fork()
    if child == 0:
        make_hostile(name, places, folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"{name}: could not be made")
    return folder / name.replace(" ", "-")


def _no_specials(folder: str, names: list[str]) -> list[str]:
    """Names that cannot be copied: FIFOs, sockets and huge files."""
    paths = {name: Path(folder, name) for name in names}
    return [
        name
        for name, path in paths.items()
        if not path.is_symlink()
        and not path.is_dir()
        and (not path.is_file() or path.stat().st_size > 1 << 30)
    ]


def _in_child(command: list[str], places: Places) -> list[str]:
    """Run one command in a forked child; give what went wrong."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            json.dump(_guarded(command, places), pipe)
            pipe.flush()
            os._exit(0)
    os.close(writer)
    hangs = _has_hung(child, reader)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    ended = "hangs" if hangs else f"ended by status {status}"
    failures = json.loads(text) if text else [f"{ended}, after {seconds:.0f} s of computing"]
    if seconds > SECONDS:
        failures.append(f"took {seconds:.0f} s")
    if usage.ru_maxrss * 1024 > MEMORY_BYTES:
        failures.append(f"took {usage.ru_maxrss / 1e6:.1f} GB")
    return list(failures)


def _has_hung(child: int, pipe: int) -> bool:
    """Wait until a child answers or ends; one that does not compute is ended with its own.

    Looks are counted and not seconds: a busy machine, or one that sleeps, hangs nobody.
    """
    idle, before = 0, 0.0
    while not select.select([pipe], [], [], LOOK_EVERY)[0]:
        now = _computed(child)
        idle += now - before < IDLE
        before = now
        if idle >= MAX_IDLE:
            os.killpg(child, signal.SIGKILL)
            return True
    return False


def _computed(child: int) -> float:
    """Seconds that a process has computed, with its children that have ended; Linux."""
    words = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def _guarded(command: list[str], places: Places) -> list[str]:
    """Run one command in this process under limits."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    os.setpgid(0, 0)
    watch = Watch()
    sys.addaudithook(watch.hook)
    watch.outside = str(places.outside)
    printed = io.StringIO()
    try:
        with _captured(printed):
            code = _serve(command[1]) if command[0] == "serve" else run_command(command)
    except BaseException:
        return [traceback.format_exc()[-1500:], *watch.seen]
    watch.outside = ""
    return [*_wrong_text(code, printed.getvalue()), *watch.seen]


@contextlib.contextmanager
def _captured(printed: io.StringIO) -> Iterator[None]:
    """Capture what Python and what libraries print."""
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(printed):
        os.dup2(null.fileno(), 2)
        with contextlib.redirect_stderr(printed):
            yield


def _wrong_text(code: int, text: str) -> list[str]:
    failures = []
    lines = text.splitlines()
    if code not in (0, 1, 2):
        failures.append(f"exit status {code}")
    if code == 2 and not (lines and lines[-1].startswith("bestiary: ")):
        failures.append(f"no line that says why: {lines[-3:]}")
    if "Traceback" in text or "panicked" in text:
        failures.append(f"a traceback: {text[-300:]}")
    if any(character in text for character in "\x1b\x07\u202e"):
        failures.append(f"control characters: {text[:200]!r}")
    long = [line for line in lines if len(line) > 2000]
    if long:
        failures.append(f"a line of {len(long[0]):,} characters: {long[0][:80]!r}")
    return failures


def _serve(run: str) -> int:
    """Do what `serve` does with a run, and ask for an explanation, without a port."""
    from starlette.testclient import TestClient

    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.errors import BestiaryError
    from bestiary.run.opening import opened_run
    from bestiary.serving.application import application_for_run
    from bestiary.serving.limits import Limits
    from bestiary.serving.server import Address

    try:
        with opened_run(run) as opened:
            ensemble = Ensemble.load(opened, engine="torch")
            app = application_for_run(
                opened, ensemble, Limits(), None, Address("127.0.0.1", 0), True, Display()
            )
        with TestClient(app, base_url="http://127.0.0.1") as client:
            client.get("/v1/model")
    except BestiaryError as error:
        print(f"bestiary: {error}")
        return 2
    return 0


def _fingerprint(places: Places) -> str:
    """Digest of every file outside, and of the good run and its images."""
    digest = hashlib.sha256()
    for root in (places.outside, places.data, places.run):
        for file in sorted(root.rglob("*")):
            status = file.lstat()
            digest.update(f"{file} {status.st_mode} {status.st_size}".encode())
            if file.is_file():
                digest.update(file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    folder = Path(sys.argv[1])
    names = sys.argv[3:] or list(HOSTILE)
    verbs = QUICK if sys.argv[2] == "quick" else ()
    places = Places(folder / "run", folder / "data", folder / "new", folder / "outside")
    _import_all()
    for name in names:
        before = _of_children()
        failures = attack(name, places, folder, verbs)
        seconds = _of_children() - before
        print(json.dumps({"name": name, "failures": failures, "seconds": seconds}), flush=True)


def _of_children() -> float:
    """Seconds that the children that have ended have computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _import_all() -> None:
    """Import what the verbs need, once for all children. Nothing is computed here."""
    import cleanlab.filter  # noqa: F401
    import openvino  # noqa: F401

    import bestiary.api.distill
    import bestiary.api.report
    import bestiary.distillation.student
    import bestiary.ensemble.watch
    import bestiary.evaluation.held_out
    import bestiary.evaluation.labels
    import bestiary.exporting.export
    import bestiary.reporting.compare_page
    import bestiary.reporting.labels_page
    import bestiary.reporting.report
    import bestiary.serving.application
    import bestiary.training.crossval  # noqa: F401


if __name__ == "__main__":
    main()
