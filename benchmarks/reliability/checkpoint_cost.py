"""Claim: checkpoints, locks and checksums cost at most 2 % of training time.

Trains one fold on drawn images with the default checkpoints (every five minutes and after epochs),
and with one every second. Within one process, adds up the time of checkpoints, locks, checksums and
loss checks, and divides it by the time of the whole verb. So no second run at another speed of a
shared machine is compared.

    python benchmarks/reliability/checkpoint_cost.py [--images 240] [--repeats 3] [--work NAME ...]

The first and last checkpoint of a fold are written however short it is. Those in between take a
hundredth of the time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run import run as run_files
from bestiary.run.layout import FoldFiles
from bestiary.run.run import Run
from bestiary.training import checkpointer, crossval
from bestiary.training import fold as fold

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "checkpoint-cost": {
        "statement": "Checkpoints, locks and checksums cost little of the training time",
        "unit": "% of the time",
        "bar": ("most", 2, "safety must not be switched off"),
        "watches": ("@checkpoints",),
    },
}
COMMANDS = (
    "OMP_NUM_THREADS=1",
    "OMP_NUM_THREADS=1 --images 800 --repeats 1",
)


WORK = {
    "fast, 224 px": ["train.epochs=3"],
    "resnet50, 128 px, all trained": [
        "model.backbone=torchvision/resnet50",
        "model.weights=none",
        "model.head=random",
        "model.freeze=0",
        "model.freeze_norms=false",
        "view.size=128",
        "train.epochs=3",
    ],
}


class Clock:
    """Seconds spent in the watched functions; nested calls count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_inside = False

    def watch(self, owner: object, name: str) -> None:
        """Count the time of the function `name` of `owner`."""
        original: Callable[..., object] = getattr(owner, name)

        def timed(*arguments: object, **more: object) -> object:
            if self.is_inside:
                return original(*arguments, **more)
            self.is_inside = True
            started = time.perf_counter()
            try:
                return original(*arguments, **more)
            finally:
                self.seconds += time.perf_counter() - started
                self.is_inside = False

        setattr(owner, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK))
    args = parser.parse_args()
    clock = Clock()
    for owner, name in (
        (checkpointer, "write_checkpoint"),
        (checkpointer, "check_losses"),
        (checkpointer, "check_weights"),
        (FoldFiles, "lock"),
        (Run, "lock"),
        (run_files, "verify"),
        (crossval, "is_fold_complete"),
        (fold, "remove_leftovers"),
        (fold, "_drop_damaged_fold"),
    ):
        clock.watch(owner, name)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        draw_sample(place / "data", species=10, per_species=args.images // 10, size=256)
        for work in args.work:
            for every in ("5min", "1s"):
                shares = []
                durations = []
                for repeat in range(args.repeats):
                    run = place / f"{work[:4]}-{every}-{repeat}"
                    clock.seconds = 0.0
                    started = time.perf_counter()
                    bestiary.train(
                        place / "data",
                        run,
                        recipe="fast",
                        overrides=WORK[work],
                        folds=2,
                        only_fold=[0],
                        checkpoint_every=every,
                        quiet=True,
                    )
                    durations.append(time.perf_counter() - started)
                    shares.append(clock.seconds / durations[-1])
                size = (run / "fold-0/last/state.safetensors").stat().st_size / 1e6
                print(
                    f"{work}, a state of {size:.0f} MB every {every}: "
                    f"{statistics.median(shares):.2%} of the time, "
                    f"{min(shares):.2%} to {max(shares):.2%}, n = {len(shares)} of "
                    f"{statistics.median(durations):.0f} s",
                    flush=True,
                )
                record(
                    "checkpoint-cost",
                    [100 * share for share in shares],
                    args.repeats,
                    "folds",
                    case=f"{work}, a state every {every}, {args.images} images",
                    details={"MB of a state": size, "s of a fold": durations},
                    data=("drawn beasts", args.images),
                )


if __name__ == "__main__":
    recording(main, __file__)
