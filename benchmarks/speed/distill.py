"""Claim: a student is within a point of its ensemble on new images, and four times as fast.

Holds out a fifth of the labeled photographs of DATA at random, trains `best` with five folds on the
others, and distills the run with the fifth as test data; near duplicates of trained images are left
out. Then distills again with a part of the run's own images held out, to see how far that figure
can be trusted.

    python benchmarks/speed/distill.py DATA [--share 0.2] [--seed 0] [--recipe best]
                                       [--set KEY=VALUE ...] [--place DIR]

A run of `probe` or `fast` has one network already, and is refused.
--place keeps the runs: a second call only measures the speed again.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import bestiary
from bestiary.data.decode import decode, read_image
from bestiary.display import Display
from bestiary.distillation.latency import compare_speed
from bestiary.distillation.student import DistillResult
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording
from harness.workload import set_aside

CLAIMS = {
    "distill-accuracy": {
        "statement": "A student is within a point of its ensemble on new images",
        "unit": "points",
        "bar": ("least", -1.0, "what one network in place of five may cost"),
        "watches": ("src/bestiary/distillation/*.py",),
    },
    "distill-speed": {
        "statement": "A student answers several times as fast as its ensemble",
        "unit": "times as fast",
        "bar": ("least", 4.0, "five members are one"),
        "watches": (
            "src/bestiary/distillation/*.py",
            "src/bestiary/model/engine.py",
            "src/bestiary/model/openvino_runtime.py",
        ),
    },
}
COMMANDS = ("{data}",)


def minutes_of(started: float) -> float:
    return (time.perf_counter() - started) / 60


def student_of(place: Path, name: str, **options: object) -> DistillResult:
    """Distill the student `name` unless it exists, and print the result."""
    started = time.perf_counter()
    exists = (place / name).exists()
    student = bestiary.distill(place / "run", place / name, resume=exists, quiet=True, **options)
    print(
        f"\n{name}: {minutes_of(started):.1f} minutes{' (was exists)' if exists else ''}\n{student}"
    )
    return student


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    parser.add_argument("--place", type=Path)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        if not (place / "known.csv").exists():
            set_aside(args.data, place, args.share, args.seed)
        started = time.perf_counter()
        exists = (place / "run").exists()
        options = [f"data.root={args.data.resolve()}", *args.overrides]
        new_options = {} if exists else {"recipe": args.recipe, "overrides": options}
        if exists and (place / "run" / "metrics.json").exists():
            run = Run.open(place / "run")
        else:
            run = bestiary.train(
                place / "known.csv", place / "run", resume=exists, quiet=True, **new_options
            )
        print(
            f"run: {minutes_of(started):.1f} "
            f"minutes{' (was exists)' if exists else ''}\n{run.score_line}"
        )
        student = student_of(place, "student", test_data=place / "new")
        frugal = student_of(place, "frugal")
        print(
            f"frugal on the held-out images: "
            f"{bestiary.evaluate(frugal.run.path, place / 'new', quiet=True)}"
        )
        first = bestiary.load(run)
        second = bestiary.load(student.run)
        view = first.view
        files = sorted((place / "new").rglob("*.*"))[:16]
        images = [view(decode(read_image(file))) for file in files]
        print(
            f"\ntimed again: {first.engine} and {second.engine}, {len(first.members)} members and "
            f"one"
        )
        speeds = compare_speed(first, second, images, Display(quiet=True), rounds=15)
        print(*speeds, sep="\n")
    found = student.findings
    lost = tuple(100 * found["difference"][key] for key in ("value", "low", "high"))
    scores = {"ensemble": found["before"]["value"], "student": found["after"]["value"]}
    record(
        "distill-accuracy",
        lost,
        found["before"]["n"],
        "new images",
        case=args.recipe,
        spread="95 % interval",
        details={"accuracy": scores},
        data=args.data,
    )
    gains = {f"{speed.images} at a time": (speed.ratio, speed.low, speed.high) for speed in speeds}
    n = speeds[0].rounds
    record("distill-speed", gains, n, "rounds", case=args.recipe, spread="least to most")


if __name__ == "__main__":
    recording(main, __file__)
