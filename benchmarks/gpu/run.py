"""What only a GPU shows: stages in order of worth, each a process of its own with a time limit.

    python benchmarks/gpu/run.py                      # all stages, at most nine minutes
    python benchmarks/gpu/run.py --stage paper        # one stage alone
    python benchmarks/gpu/run.py --tiny               # tiny sizes, to try the stages on a CPU
    python benchmarks/speed/gpu.py OUT                # keeps what they measured, as a result

Results are lines of JSON in OUT/results.jsonl, printed as they come; OUT/gpu.csv has the card's
utilization, memory and watts, four times a second, where nvidia-smi is installed. A stage that
fails or hangs stops no other. Run one at a time: each process has a thread for every core. Bars:
`paper` from the store at least 0.97 of the resident batch, from JPEG 0.95; `epochs` at least 0.90
of it; `small` at least 1.5 times the eager step; `peers` at least 2.5 times the report's loop with
4 workers, 2.2 with 16, 1.05 times timm's, 1.0 compiled; `predict` at least 30 times the report's
loop and 0.7 of the ceiling; `resume` the same bits with train.deterministic.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))

from gpu import checks, prediction, speed  # noqa: E402
from gpu.kit import RESULTS, Kit  # noqa: E402

# In order of worth: what a stage runs, and the most seconds that it may take. Up to `small` they
# take about 300 seconds on a card to themselves. What a stage has said by its limit is not lost.
STAGES = {
    "env": (checks.env, 45),
    "images": (checks.images, 60),
    "paper": (speed.paper, 140),
    "epochs": (speed.epochs, 100),
    "predict": (prediction.predict, 100),
    "small": (speed.small, 90),
    "demo": (checks.demo, 120),
    "resume": (checks.resume, 200),
    "switches": (checks.switches, 240),
    "memory": (checks.memory, 60),
    "synthetic": (speed.synthetic, 60),
    "peers": (speed.peers, 240),
    "loader": (prediction.loader, 45),
    "probe": (prediction.probe, 50),
    "serve": (prediction.serve, 60),
    "batches": (speed.batches, 60),
    "compiled": (speed.compiled, 150),
    "device_views": (speed.device_views, 90),
    "processes": (speed.processes, 120),
    "advise": (checks.advise, 90),
}
SHORTEST = 12  # seconds that a stage is begun for
STATISTICS = "timestamp,utilization.gpu,memory.used,power.draw,clocks.sm"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--budget", type=float, default=530.0, help="seconds for all stages")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument(
        "--work", type=Path, help="folder of images, runs and caches; may be used again"
    )
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, without time limits")
    parser.add_argument("--here", action="store_true", help="in this process, without limits")
    args = parser.parse_args()
    base = Path(tempfile.gettempdir()) / "bestiary-gpu"
    out = (args.out or base / "out").resolve()
    work = (args.work or base / "work").resolve()
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BESTIARY_CACHE", str(work / "cache"))
    os.environ["HF_HUB_OFFLINE"] = "1"

    if args.here:
        for stage in args.stage:
            run, _ = STAGES[stage]
            run(Kit(stage, out, work, args.tiny))
        return
    end = time.monotonic() + args.budget
    statuses = []
    with _watched_card(out / "gpu.csv"):
        for stage in args.stage:
            _, limit = STAGES[stage]
            seconds = None if args.tiny else min(limit, end - time.monotonic())
            if seconds is not None and seconds < SHORTEST:
                _note(out, stage, skipped="no time is left")
                continue
            statuses.append(_run_stage(stage, out, work, args.tiny, seconds))
    print(f"{len(statuses)} stages, {sum(map(bool, statuses))} failed; results in {out}")
    sys.exit(int(any(statuses)))


def _run_stage(stage: str, out: Path, work: Path, tiny: bool, limit: float | None) -> int:
    """Run a stage in a process group of its own, of which nothing is left; give its status."""
    command = [sys.executable, __file__, "--here", "--stage", stage]
    command += ["--out", str(out), "--work", str(work), *(["--tiny"] if tiny else [])]
    started = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        status = 124  # as `timeout` says it
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _note(out, stage, status=status, seconds=round(time.monotonic() - started, 1))
    return status


def _note(out: Path, stage: str, **facts: object) -> None:
    line = json.dumps({"stage": stage, **facts})
    print(line, flush=True)
    with (out / RESULTS).open("a") as file:
        print(line, file=file)


@contextmanager
def _watched_card(file: Path) -> Iterator[None]:
    """Let nvidia-smi write the card's statistics while the block runs, where it is installed."""
    if shutil.which("nvidia-smi") is None:
        yield
        return
    command = ["nvidia-smi", f"--query-gpu={STATISTICS}", "--format=csv", "-lms", "250"]
    with file.open("w") as stream, subprocess.Popen(command, stdout=stream) as process:
        try:
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
