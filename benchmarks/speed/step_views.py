"""What views that are made on demand take from training steps on a CPU.

Steps of recipe `best` on one batch that stays in memory, in turns with the same steps when the
loader's threads make a batch of views from the store before each. Then the same with an OpenMP team
in each of these threads: more threads than cores make OpenMP's own threads sleep between two
operations of a step.

    python benchmarks/speed/step_views.py [DATA] [--rounds 7] [--steps 6]
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bestiary.cores import cores
from bestiary.data.decode import Pixels, claimed_size
from bestiary.data.loader import load_batches, loader_threads, split_batches, train_views
from bestiary.data.store import ImageStore
from bestiary.data.views import TrainView
from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.step_timing import build_step

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording
from harness.workload import WORKS, lay_out_job

CLAIMS = {
    "steps-between-views": {
        "statement": "Making views between training steps takes little from them",
        "unit": "of the speed on one resident batch",
        "watches": ("@training",),
    },
}
COMMANDS = ("{data}",)


WORK = WORKS["efficientnet_lite0@224"]
CPU = torch.device("cpu")
Turn = Callable[[int], None]  # number of the turn -> some steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="photographs; without, beasts are drawn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    print(machine())
    torch.set_num_threads(cores())
    images = args.steps * WORK.batch
    with tempfile.TemporaryDirectory() as scratch, keep_freed_memory(CPU):
        job = lay_out_job(WORK, args.data, Path(scratch), images)
        turns = ways(job, Path(scratch), args.steps)
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        of_cores: dict[str, list[float]] = {name: [] for name in turns}
        for number in range(args.rounds + 1):
            for name, turn in turns.items():
                started = (time.perf_counter(), time.process_time())
                turn(number)
                if number:  # the first warms up
                    seconds[name].append((time.perf_counter() - started[0]) / args.steps)
                    of_cores[name].append((time.process_time() - started[1]) / args.steps)
    one_batch = seconds["one batch"]
    shares = {
        name: [a / b for a, b in zip(one_batch, of, strict=True)]
        for name, of in seconds.items()
        if name.startswith("with")
    }
    for name, values in shares.items():
        print(f"{name}: {spread(values)} of the speed on one batch, n = {args.rounds}")
    record(
        "steps-between-views",
        shares,
        args.rounds,
        "rounds",
        details={"s a step": seconds, "s of a core, a step": of_cores},
        data=args.data or ("drawn beasts", images),
    )


def ways(job: dict[str, object], place: Path, steps: int) -> dict[str, Turn]:
    """Build what is timed: steps alone, views alone, and both."""
    options = [f"model.backbone={WORK.network}", f"view.size={WORK.size}"]
    recipe = load_recipe(WORK.recipe, options)
    config = ComputeConfig("bf16", threads=cores(), folded_norms=True, fast_depthwise=True)
    classes = int(str(job["classes"]))
    step = build_step(recipe, classes, config, CPU, WORK.batch)

    files = sorted(Path(str(job["data"])).glob("train/*/*"))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    store = ImageStore(place / "store", round(1.5 * WORK.size))
    sizes = [claimed_size(file.read_bytes()) for file in files]
    store.fill(list(zip(digests, files, strict=True)), sizes, 1 << 40)
    view = TrainView.of(recipe.view)
    batches = split_batches(np.arange(len(files)), WORK.batch)

    def stored(row: int) -> Pixels:
        pixels = store.get(digests[row])
        assert pixels is not None
        return pixels

    def with_team(row: int) -> Pixels:
        torch.set_num_threads(cores())
        return stored(row)

    def views_between(pixels_of: Callable[[int], Pixels], compute: Callable[[], None]) -> Turn:
        def turn(number: int) -> None:
            view_of = train_views(pixels_of, view, 0, 0, number)
            for _ in load_batches(batches, view_of, loader_threads("cpu")):
                compute()

        return turn

    def steps_alone(_: int) -> None:
        for _ in range(steps):
            step()

    return {
        "one batch": steps_alone,
        "views alone": views_between(stored, lambda: None),
        "with views": views_between(stored, step),
        "with views by OpenMP teams": views_between(with_team, step),
    }


if __name__ == "__main__":
    recording(main, __file__)
