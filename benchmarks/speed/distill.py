"""Claim: a student is within a point of its ensemble on new images, and four times as fast.

Holds out a fifth of the labeled photographs of DATA at random, trains `fast` with five folds on the
others, and distills the run with the fifth as test data; near duplicates of trained images are left
out. Then distills again with a part of the run's own images held out, to see how far that figure
can be trusted.

    python benchmarks/speed/distill.py DATA [--share 0.2] [--seed 0] [--recipe fast]
                                       [--set KEY=VALUE ...] [--place DIR]

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
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.workload import set_aside


def minutes_of(started: float) -> float:
    return (time.perf_counter() - started) / 60


def student_of(place: Path, name: str, **options: object) -> bestiary.Run:
    """Distill the student `name` unless it exists, and print the result."""
    started = time.perf_counter()
    exists = (place / name).exists()
    student = bestiary.distill(place / "run", place / name, resume=exists, quiet=True, **options)  # type: ignore[arg-type]
    print(
        f"\n{name}: {minutes_of(started):.1f} minutes{' (was exists)' if exists else ''}\n{student}"
    )
    return student.run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="fast")
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
            )  # type: ignore[arg-type]
        print(
            f"run: {minutes_of(started):.1f} "
            f"minutes{' (was exists)' if exists else ''}\n{run.score_line}"
        )
        student = student_of(place, "student", test_data=place / "new")
        frugal = student_of(place, "frugal")
        print(
            f"frugal on the held-out images: "
            f"{bestiary.evaluate(frugal.path, place / 'new', quiet=True)}"
        )
        first = bestiary.load(run)
        second = bestiary.load(student)
        view = first.view
        files = sorted((place / "new").rglob("*.*"))[:16]
        images = [view(decode(read_image(file))) for file in files]
        print(
            f"\ntimed again: {first.engine} and {second.engine}, {len(first.members)} members and "
            f"one"
        )
        for speed in compare_speed(first, second, images, Display(quiet=True), rounds=15):
            print(speed)


if __name__ == "__main__":
    main()
