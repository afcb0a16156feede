"""Claim: `drift` tells images of other cameras in nine of ten samples, and calls one in twenty
samples of the same cameras changed.

    python benchmarks/honesty/drift_cameras.py [--seeds 0 1 2] [--cameras 12] [--species 8]
        [--images 150]

Drawn camera traps (`bestiary sample --cameras`), whole images. Half of the cameras are trained on
with half of their events (`probe`). New images, one an event: of the other events of the same
cameras, and of the other cameras. Samples of up to 100 of each are tested, 100 times a seed.
Samples of one seed overlap, so the spread between seeds is what to look at.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import bestiary
from bestiary.beasts.camera_sample import draw_cameras
from bestiary.data.events import join_events
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import read_manifest
from bestiary.evaluation.drifting import World
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "drift-other-cameras": {
        "statement": "`drift` tells images of other cameras",
        "unit": "of the samples called changed",
        "bar": ("least", 0.9, "nine of ten samples"),
        "watches": (
            "src/bestiary/stats/drift.py",
            "src/bestiary/evaluation/drifting.py",
        ),
    },
    "drift-same-cameras": {
        "statement": "`drift` lets new events of the same cameras pass",
        "unit": "of the samples called changed",
        "bar": ("within", [0.03, 0.07], "5 %, with noise of 100 samples"),
        "watches": (
            "src/bestiary/stats/drift.py",
            "src/bestiary/evaluation/drifting.py",
        ),
    },
}
COMMANDS = ("",)


DRAWS = 100
IMAGES = 100  # of a sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--cameras", type=int, default=12)
    parser.add_argument("--species", type=int, default=8)
    parser.add_argument("--images", type=int, default=150, help="of each species")
    args = parser.parse_args()
    print(machine())
    found: dict[str, dict[str, float]] = {"same cameras": {}, "other cameras": {}}
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, (share, size) in run_seed(Path(folder), seed, args).items():
                found[name][f"seed {seed}, samples of {size}"] = share
    for name, shares in found.items():
        n = DRAWS * len(args.seeds)
        record(f"drift-{name.replace(' ', '-')}", shares, n, "samples", data="drawn camera traps")


def run_seed(folder: Path, seed: int, args: argparse.Namespace) -> dict[str, tuple[float, int]]:
    """Draw cameras, train on half of them, and test samples of both kinds.

    Returns:
        Kind -> share of the samples that are called changed, and images of a sample.
    """
    draw_cameras(
        folder / "data",
        cameras=args.cameras,
        species=args.species,
        per_species=args.images,
        seed=seed,
    )
    recipe = load_recipe("probe")
    manifest = read_manifest(list_labeled(folder / "data" / "images.csv", recipe.data))
    table = join_events(manifest.table, recipe.data.event_seconds)
    rng = np.random.default_rng(seed)
    sites = rng.permutation(table["site"].unique().sort().to_numpy())
    known = sites[: len(sites) // 2].tolist()
    events = rng.permutation(table.filter(pl.col("site").is_in(known))["event"].unique().sort())
    trained = table.filter(pl.col("event").is_in(events[: len(events) // 2].tolist()))
    labels = trained.select("label").unique()
    trained.select("path", "label", group="event").write_csv(folder / "data" / "train.csv")
    run = bestiary.probe(
        folder / "data" / "train.csv",
        folder / "run",
        overrides=["folds.rare_classes=keep"],
        quiet=True,
    )
    ensemble = bestiary.load(run)
    world = World.of(read_out_of_fold(Run(run.path).load()))
    rest = table.filter(~pl.col("event").is_in(trained["event"].implode()))
    rest = rest.join(labels, on="label").unique("event", keep="first", maintain_order=True)
    shares = {}
    line = [f"seed {seed}: {trained.height} images to train, {len(known)} cameras"]
    for name, is_known in (("same cameras", True), ("other cameras", False)):
        pool = rest.filter(pl.col("site").is_in(known) == is_known)
        files = [folder / "data" / path for path in pool["path"]]
        logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(files)], axis=1)
        size = min(IMAGES, pool.height // 2)
        found = [
            world.compare(logits[:, rng.choice(pool.height, size, replace=False)])
            for _ in range(DRAWS)
        ]
        changed = float(np.mean([drift.changed for drift in found]))
        shares[name] = (changed, size)
        auc = np.mean([drift.auc.value for drift in found])
        line.append(
            f"{name}: changed in {100 * changed:.0f} of 100 samples of {size} (of {pool.height} "
            f"events), AUC {auc:.2f}"
        )
    print("; ".join(line), flush=True)
    return shares


if __name__ == "__main__":
    recording(main, __file__)
