"""Claim: one student is within a point of its ensemble on images that neither has seen, and four
times as fast.

Sets a fifth of the labeled photographs of DATA aside at random, trains `fast` with five folds on
the others, and distils the run, judged by the fifth; near copies of trained images among these are
left out. Then the same with the run's own images as judges, to see how far that figure can be
trusted.

    python benchmarks/bench_distill.py DATA [--share 0.2] [--seed 0] [--recipe fast] [--set KEY=VALUE ...] [--place DIR]

With --place what is made is kept there, and found there again: a second call only times anew.
"""

import argparse
import tempfile
import time
from pathlib import Path

import bestiary
from bestiary.data.decode import decode, read_image
from bestiary.display import Display
from bestiary.distillation.latency import compare_speed
from bestiary.run.run import Run
from paired import machine
from workload import set_aside


def minutes_of(started: float) -> float:
    return (time.perf_counter() - started) / 60


def student_of(place: Path, name: str, **options: object) -> bestiary.Run:
    """The student `name`, made unless it is there; what was found is printed."""
    started, there = time.perf_counter(), (place / name).exists()
    made = bestiary.distill(place / "run", place / name, resume=there, quiet=True, **options)  # type: ignore[arg-type]
    print(f"\n{name}: {minutes_of(started):.1f} minutes{' (was there)' if there else ''}\n{made}")
    return made.run


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
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        if not (place / "known.csv").exists():
            set_aside(asked.data, place, asked.share, asked.seed)
        started, there = time.perf_counter(), (place / "run").exists()
        options = [f"data.root={asked.data.resolve()}", *asked.overrides]
        named = {} if there else {"recipe": asked.recipe, "overrides": options}
        if there and (place / "run" / "metrics.json").exists():
            run = Run.open(place / "run")
        else:
            run = bestiary.train(
                place / "known.csv", place / "run", resume=there, quiet=True, **named
            )  # type: ignore[arg-type]
        print(
            f"run: {minutes_of(started):.1f} "
            f"minutes{' (was there)' if there else ''}\n{run.score_line}"
        )
        student = student_of(place, "student", held=place / "new")
        frugal = student_of(place, "frugal")
        print(
            f"frugal on the images set aside: "
            f"{bestiary.evaluate(frugal.path, place / 'new', quiet=True)}"
        )
        first, second = bestiary.load(run), bestiary.load(student)
        view = first.view
        files = sorted((place / "new").rglob("*.*"))[:16]
        images = [view(decode(read_image(file))) for file in files]
        print(
            f"\ntimed anew: {first.engine} and {second.engine}, {len(first.members)} members and "
            f"one"
        )
        for speed in compare_speed(first, second, images, Display(quiet=True), rounds=15):
            print(speed)


if __name__ == "__main__":
    main()
