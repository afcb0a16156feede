"""Claim: every part of `best` raises accuracy, and none of the removed parts would.

The remedy for uneven classes raises their balanced accuracy.

    python benchmarks/accuracy/parts.py [DATA] [--size 96] [--seeds 0,1,2] [--vary KEY=VALUE ...]
                                     [--place DIR]
    python benchmarks/accuracy/parts.py --imbalance 50

Runs `bestiary ablate` on `best`: each variant lacks one part or has one of the removed parts, on
the same images, folds and seeds. Differences are paired, with intervals over images and seeds. With
--imbalance, class sizes form a geometric series, the largest so many times the smallest, and test
data have equally many new images of each class: then the held-out accuracy is the balanced
accuracy. Without DATA, on drawn beasts of 20 species.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import polars as pl

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.listing import list_labeled
from bestiary.evaluation.ablation import AblationRow

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "parts-of-best": {
        "statement": "Every part of `best` raises accuracy",
        "unit": "difference of accuracy without it",
        "bar": ("most", 0.0, "a part that lowers accuracy is taken out"),
        "watches": ("@best",),
    },
    "uneven-classes-remedy": {
        "statement": (
            "Equal means in the head raise the balanced accuracy of uneven classes by three points"
        ),
        "unit": "difference of balanced accuracy without them",
        "bar": ("most", -0.03, "three points"),
        "watches": (
            "src/bestiary/training/lda_head.py",
            "src/bestiary/training/loss.py",
        ),
    },
}
COMMANDS = (
    "",
    "{data}",
    "--imbalance 50 --set folds.n=3",
)


WITHOUT = (
    "model.head=random",
    "model.power_norm=false",
    "model.head_tau_norm=false",
    "model.freeze_norms=false",
    "train.epochs=0",
    "train.wise_ft=0",
    "view.eval_scale=1",
    "predict.tta=1",
    "optimizer.layer_decay=1",
    "view.augment=none",
    "mix.probability=0",
    "schedule.warmup=0",
)
TAKEN_OUT = (
    "train.ema=0.99",
    "optimizer.decay_norm_and_bias=false",
    "view.scale=[0.5,1.0]",
)
# The remedy of `best`, and a removed one.
REMEDIES = (
    "model.head_tau_norm=false",
    "loss.logit_adjustment=1",
)
# Drawn, of each species; NEW more of each judge uneven classes
SPECIES = 20
TRAIN_IMAGES = 100
TEST_IMAGES = 25


def draw_uneven(place: Path, imbalance: float) -> tuple[Path, Path]:
    """Tables of drawn beasts: uneven classes to train on, and even new ones to test on."""
    folder = place / "uneven"
    known = place / "known.csv"
    test_data = place / "new.csv"
    if not folder.exists():
        draw_sample(folder, species=SPECIES, per_species=TRAIN_IMAGES + TEST_IMAGES)
    table = (
        list_labeled(folder)
        .table.select("path", "label")
        .with_columns(
            ("uneven/" + pl.col("path")).alias("path"),
            pl.int_range(pl.len()).over("label").alias("number"),
        )
    )
    rank = pl.col("label").rank("dense").cast(pl.Float64) - 1
    class_size = (TRAIN_IMAGES * imbalance ** (-rank / (SPECIES - 1))).round()
    table.filter(pl.col("number") < class_size).select("path", "label").write_csv(known)
    table.filter(pl.col("number") >= TRAIN_IMAGES).select("path", "label").write_csv(test_data)
    return known, test_data


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
    args = parser.parse_args()
    print(machine())
    options = [f"view.size={args.size}", *args.overrides]
    vary = args.vary or (REMEDIES if args.imbalance else [*WITHOUT, *TAKEN_OUT])
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        data = args.data or place / "beasts"
        test_data = None
        if args.imbalance:
            data, test_data = draw_uneven(place, args.imbalance)
            options.append("folds.rare_classes=keep")
        elif args.data is None and not data.exists():
            draw_sample(data, species=SPECIES, per_species=40)
        runs = place / f"ablation-{data.stem}"
        ablation = bestiary.ablate(
            data,
            runs,
            recipe="best",
            overrides=options,
            vary=vary,
            seeds=args.seeds,
            test_data=test_data,
            resume=runs.exists(),
            quiet=True,
        )
    print(ablation)
    record_rows(ablation.rows, args)


def record_rows(rows: list[AblationRow], args: argparse.Namespace) -> None:
    wanted = "held out" if args.imbalance else "out of fold"
    own = [row for row in rows if row.evaluated_on == wanted]
    changes = {row.variant: row.difference for row in own if row.difference is not None}
    remedy = "model.head_tau_norm=false"
    judged = {remedy: changes.pop(remedy)} if args.imbalance else changes
    details = {"accuracy": {row.variant: row.accuracy for row in own}}
    if args.imbalance and changes:
        details["difference, others"] = changes
    record(
        "uneven-classes-remedy" if args.imbalance else "parts-of-best",
        judged,
        own[0].seeds,
        "seeds",
        case=f"{args.data.name if args.data else 'drawn beasts'}, {args.size} px",
        spread="95 % interval",
        details=details,
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
