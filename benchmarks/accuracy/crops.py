"""Claim: at new sites, crops of boxes make at most 0.6 of the errors of whole images.

    python benchmarks/accuracy/crops.py [SEEDS] [--sites N] [--species N] [--images N]

Draws camera traps with small animals (`bestiary sample --cameras`), and probes them twice for each
seed with the same folds of sites: on whole images, and on the boxes of the drawn detector. An image
counts as right in the second where the box that the detector is surest of has the right class; an
image that has animals and no box counts as wrong. Prints both errors of each seed, and their ratio.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import bestiary
from bestiary.data.detections.read import read_detections
from bestiary.evaluation.results import read_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "crops-errors": {
        "statement": "At new sites, crops of boxes make fewer errors than whole images",
        "unit": "of the errors on whole images",
        "bar": ("most", 0.6, "animals are small in the image"),
        "watches": (
            "src/bestiary/data/detections/*.py",
            "src/bestiary/data/crops.py",
        ),
    },
}
COMMANDS = ("3 --images 30",)


FOLDS = 4


def errors(data: Path, run: Path, seed: int, boxes: Path | None) -> pl.DataFrame:
    """Probe a table, and return image and hit of each out-of-fold answer."""
    options = [f"folds.seed={seed}", f"train.seed={seed}", f"folds.n={FOLDS}"]
    options += ["folds.rare_classes=keep", "data.burst_seconds=0"]
    if boxes is not None:
        options.append(f"data.boxes={boxes}")
    bestiary.probe(data, run, overrides=options, quiet=True)
    results = read_results(bestiary.Run.open(run))
    table = results.table
    image = pl.col("image") if "image" in table.columns else pl.col("path")
    detection = pl.col("detection") if "detection" in table.columns else pl.lit(1.0)
    hits = pl.Series("hit", results.predicted == results.labels)
    return table.select(image.alias("image"), detection.alias("detection"), hits)


def measure(seed: int, sites: int, species: int, images: int) -> tuple[float, float, int]:
    """Errors on whole images and on crops, and the number of images."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        bestiary.sample(
            data, cameras=sites, species=species, per_species=images, seed=seed, quiet=True
        )
        table = pl.read_csv(data / "images.csv")
        shown = table.filter(pl.col("label").is_not_null() & (pl.col("label") != "empty"))
        shown = shown.with_columns(pl.col("site").alias("group"))
        shown.write_csv(data / "shown.csv")
        boxes = data / "detections.json"
        n_boxes = read_detections(boxes, 0.2).boxes.height
        whole = errors(data / "shown.csv", Path(folder, "whole"), seed, None)
        crops = errors(data / "shown.csv", Path(folder, "crops"), seed, boxes)
        surest = crops.sort("detection", descending=True).unique("image", keep="first")
        both = whole.join(surest, on="image", how="left", suffix="_crop")
        hit = both["hit_crop"].fill_null(False)
        print(f"seed {seed}: {whole.height} images of {sites} sites, {n_boxes} boxes")
        return 1 - float(both["hit"].mean()), 1 - float(hit.mean()), both.height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=3)
    parser.add_argument("--sites", type=int, default=12)
    parser.add_argument("--species", type=int, default=8)
    parser.add_argument("--images", type=int, default=40)
    options = parser.parse_args()
    ratios = []
    shares: dict[str, list[float]] = {"whole images": [], "boxes": []}
    for seed in range(options.seeds):
        whole, crops, n = measure(seed, options.sites, options.species, options.images)
        ratios.append(crops / whole)
        shares["whole images"].append(whole)
        shares["boxes"].append(crops)
        print(
            f"  error on whole images {whole:.3f}, on crops {crops:.3f}, n = {n}: {ratios[-1]:.2f}"
        )
    data = ("drawn camera traps", n)
    record("crops-errors", ratios, options.seeds, "seeds", details={"error": shares}, data=data)
    print(f"ratio {np.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), bar 0.6")


if __name__ == "__main__":
    recording(main, __file__)
