"""Claim: every part of `best` raises its accuracy, its remedy for uneven classes their balanced
accuracy, and none of the parts that were tried and taken out would raise it further.

    python benchmarks/bench_parts.py [DATA] [--size 96] [--seeds 0,1,2] [--vary KEY=VALUE ...] [--place DIR]
    python benchmarks/bench_parts.py --imbalance 50

`bestiary ablate` on `best`, each variant without one of its parts or with one of those that were
taken out, on the same images, folds and seeds; differences are paired, with intervals over images
and seeds. With --imbalance images are dealt to classes in a geometric row, the most frequent class
so many times as often as the least, and judged by new images, as many of each class: then the
accuracy of what is called held out is the balanced accuracy. Without DATA on drawn beasts of 20
species.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.listing import list_labeled
from paired import machine

WITHOUT = (
    "model.head=random",
    "model.power_norm=false",
    "model.head_tau_norm=false",
    "model.freeze_norms=false",
    "train.epochs=0",
    "train.wise_ft=0",
    "view.eval_scale=1",
    "predict.tta=1",
)
TAKEN_OUT = (
    "train.ema=0.99",
    "optimizer.layer_decay=0.7",
    "mix.probability=0.5",
    "optimizer.decay_norm_and_bias=false",
    "schedule.warmup=0.1",
    "view.scale=[0.5,1.0]",
)
REMEDIES = (
    "model.head_tau_norm=false",
    "loss.logit_adjustment=1",
)  # the one of `best`, and one taken out
SPECIES, IMAGES, NEW = (
    20,
    100,
    25,
)  # drawn, of each species; NEW more of each judge uneven classes


def draw_uneven(place: Path, imbalance: float) -> tuple[Path, Path]:
    """Tables of drawn beasts: uneven ones to train on, and as many new ones of each class."""
    folder, known, new = place / "uneven", place / "known.csv", place / "new.csv"
    if not folder.exists():
        draw_sample(folder, species=SPECIES, per_species=IMAGES + NEW)
    table = (
        list_labeled(folder)
        .table.select("path", "label")
        .with_columns(
            ("uneven/" + pl.col("path")).alias("path"),
            pl.int_range(pl.len()).over("label").alias("number"),
        )
    )
    rank = pl.col("label").rank("dense").cast(pl.Float64) - 1
    most = (IMAGES * imbalance ** (-rank / (SPECIES - 1))).round()
    table.filter(pl.col("number") < most).select("path", "label").write_csv(known)
    table.filter(pl.col("number") >= IMAGES).select("path", "label").write_csv(new)
    return known, new


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--vary", nargs="*")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    parser.add_argument("--imbalance", type=float)
    parser.add_argument("--place", type=Path)
    asked = parser.parse_args()
    print(machine())
    options = [f"view.size={asked.size}", *asked.overrides]
    over = asked.over or (REMEDIES if asked.imbalance else [*WITHOUT, *TAKEN_OUT])
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        data, new = asked.data or place / "beasts", None
        if asked.imbalance:
            data, new = draw_uneven(place, asked.imbalance)
            options.append("folds.rare_classes=keep")
        elif asked.data is None and not data.exists():
            draw_sample(data, species=SPECIES, per_species=40)
        runs = place / f"ablation-{data.stem}"
        print(bestiary.ablate(
            data, runs, recipe="best", overrides=options, vary=over, seeds=asked.seeds, test_data=new,
            resume=runs.exists(), quiet=True,
        ))  # fmt: skip


if __name__ == "__main__":
    main()
