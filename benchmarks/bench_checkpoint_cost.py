"""Claim: checkpoints, locks and checksums cost at most 2 % of training time.

Trains one fold on drawn images with the states kept as by default (every five minutes and after
epochs), and every second. Inside the one process, the time that goes into states, locks, checksums
and looking at the loss is added up and divided by the time of the whole verb: no second run whose
speed on a shared machine could be another's.

    python benchmarks/bench_checkpoint_cost.py [--images 240] [--repeats 3] [--work NAME ...]

A fold's first and last states are kept however short it is; the states between them take a
hundredth of the time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run.layout import FoldFiles
from bestiary.run.run import Run
from bestiary.training import checkpointer as checkpointer
from bestiary.training import crossval
from bestiary.training import fold as recovery

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
    """Seconds spent in the functions that are watched, each counted once however they are
    nested.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.inside = False

    def watch(self, home: object, name: str) -> None:
        """Count the time of `home`'s function `name`."""
        whole: Callable[..., object] = getattr(home, name)

        def timed(*arguments: object, **more: object) -> object:
            if self.inside:
                return whole(*arguments, **more)
            self.inside, began = True, time.perf_counter()
            try:
                return whole(*arguments, **more)
            finally:
                self.seconds += time.perf_counter() - began
                self.inside = False

        setattr(home, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK))
    asked = parser.parse_args()
    clock = Clock()
    for home, name in (
        (checkpointer, "save_state"),
        (checkpointer, "check_losses"),
        (checkpointer, "check_weights"),
        (FoldFiles, "lock"),
        (Run, "lock"),
        (Run, "_check_sum"),
        (crossval, "ended_whole"),
        (recovery, "sweep"),
        (recovery, "_drop_damaged"),
    ):
        clock.watch(home, name)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        draw_sample(place / "data", species=10, per_species=asked.images // 10, size=256)
        for work in asked.work:
            for every in ("5min", "1s"):
                shares, lasted = [], []
                for repeat in range(asked.repeats):
                    run = place / f"{work[:4]}-{every}-{repeat}"
                    clock.seconds, began = 0.0, time.perf_counter()
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
                    lasted.append(time.perf_counter() - began)
                    shares.append(clock.seconds / lasted[-1])
                size = (run / "fold-0/last/state.safetensors").stat().st_size / 1e6
                print(
                    f"{work}, a state of {size:.0f} MB every {every}: "
                    f"{statistics.median(shares):.2%} of the time, "
                    f"{min(shares):.2%} to {max(shares):.2%}, n = {len(shares)} of "
                    f"{statistics.median(lasted):.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
