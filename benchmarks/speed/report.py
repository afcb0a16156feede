"""Claim: the report of 100 classes and 10,000 images takes a minute at most and is below 15 MB.

    python benchmarks/speed/report.py [--place FOLDER]

Nothing is trained. Writes a run directory with drawn beasts (ten of each species, each under ten
names), artificial out-of-fold logits, wrong for about one image in nine, mostly among neighboring
classes, and curves of 5 folds x 20 epochs. Saliency is left out, as it needs networks. Prints time,
processor time and size of the page; --place keeps it.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import bestiary
from bestiary.data.manifest import SCHEMA, natural_classes
from bestiary.recipe.load import load_recipe
from bestiary.rng import keyed_rng
from bestiary.run.layout import RUN_FORMAT
from bestiary.run.oof import write_oof
from bestiary.run.run import Run
from bestiary.run.tables import write_table

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "report-time": {
        "statement": "The report of 100 classes and 10,000 images takes a minute at most",
        "unit": "s",
        "bar": ("most", 60, "one waits for it"),
        "watches": (
            "src/bestiary/reporting/*.py",
            "src/bestiary/reporting/charts/*.py",
        ),
    },
    "report-size": {
        "statement": "The report of 100 classes is small enough to send",
        "unit": "MB",
        "bar": ("most", 15, "what mail takes"),
        "watches": (
            "src/bestiary/reporting/*.py",
            "src/bestiary/reporting/charts/*.py",
        ),
    },
}
COMMANDS = ("",)


CLASSES = 100
IMAGES_PER_CLASS = 10
NAMES_PER_IMAGE = 10
FOLDS = 5
EPOCHS = 20


def build_run(place: Path) -> Run:
    """Write the artificial run."""
    images = place / "images"
    rng = keyed_rng(0, "report")
    bestiary.sample(images, species=CLASSES, per_species=IMAGES_PER_CLASS, size=160, quiet=True)
    rows = []
    for folder in sorted(path for path in images.iterdir() if path.is_dir()):
        for image in sorted(folder.iterdir()):
            digest = hashlib.sha256(image.read_bytes()).hexdigest()
            for copy in range(NAMES_PER_IMAGE):
                name = image.with_stem(f"{image.stem}-{copy}")
                if not name.exists():
                    os.link(image, name)
                rows.append((f"{folder.name}/{name.name}", folder.name, digest))
    run = Run(place / "run")
    run.path.mkdir(exist_ok=True)
    table = pl.DataFrame(rows, schema=["path", "label", "sha256"], orient="row").with_columns(
        pl.lit(None, pl.String).alias("group"),
        pl.lit(None, pl.String).alias("split"),
        pl.lit(9000, pl.Int64).alias("size_bytes"),
        pl.lit(160, pl.Int32).alias("height"),
        pl.lit(160, pl.Int32).alias("width"),
        pl.col("path").alias("pixel_sha256"),
        pl.lit(None, pl.String).alias("warning"),
        pl.lit(None, pl.String).alias("duplicate_group"),
        pl.lit(False).alias("label_conflict"),
    )
    table = table.select(*SCHEMA).sort("path")
    folds = rng.permutation(np.arange(table.height) % FOLDS)
    run.write_table("manifest.parquet", table, {"root": str(images.resolve())})
    run.write_table("folds.parquet", table.select("path").with_columns(pl.Series("fold", folds)))
    for name, columns in (
        ("quarantine.csv", "path,reason"),
        ("warnings.csv", "path,reason"),
        ("fixes.csv", "path"),
    ):
        run.file(name).write_text(columns + "\n")
    classes = natural_classes(table["label"])
    labels = np.array([classes.index(label) for label in table["label"]])
    logits = artificial_logits(labels, rng)
    for fold in range(FOLDS):
        write_fold(run, fold, table.filter(folds == fold), logits[folds == fold], classes, rng)
    run.write_json("ensemble.json", {"format": RUN_FORMAT, "classes": classes})
    run.write_recipe(load_recipe("fast", [f"train.epochs={EPOCHS}", "train.keep_best=true"]))
    return run


def artificial_logits(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    logits = rng.standard_normal((len(labels), CLASSES)) * 1.5
    logits[np.arange(len(labels)), labels] += 7
    neighbor = labels ^ 1  # classes come in pairs that are hard to tell apart
    logits[np.arange(len(labels)), neighbor] += rng.normal(2.5, 2.5, len(labels))
    return logits


def write_fold(
    run: Run,
    fold: int,
    table: pl.DataFrame,
    logits: np.ndarray,
    classes: list[str],
    rng: np.random.Generator,
) -> None:
    files = run.fold(fold)
    epochs = np.arange(1, EPOCHS + 1)
    files.folder.mkdir(exist_ok=True)
    files.weights.write_bytes(b"")
    column = pl.Series("logits", logits.astype(np.float32), dtype=pl.Array(pl.Float32, CLASSES))
    write_oof(files, table.select("path", "label").with_columns(column), classes)
    rise = 1 - np.exp(-epochs / 4)
    history = {
        "epoch": epochs,
        "lr": 1e-4 * (1 + np.cos(np.pi * epochs / EPOCHS)) / 2,
        "train_loss": 2.5 - 2.0 * rise + rng.normal(0, 0.02, EPOCHS),
        "val_loss": 1.5 - 1.0 * rise + rng.normal(0, 0.02, EPOCHS),
        "val_accuracy": 0.5 + 0.39 * rise + rng.normal(0, 0.004, EPOCHS),
        "images_per_second": rng.normal(80, 2, EPOCHS),
        "seconds": rng.normal(100, 2, EPOCHS),
    }
    write_table(files.history, pl.DataFrame(history))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--place", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = build_run(args.place or Path(scratch))
        started, started_cpu = time.perf_counter(), time.process_time()
        written = bestiary.report(
            run.path, data=run.path.parent / "images", no_saliency=True, quiet=True
        )
        seconds = time.perf_counter() - started
        cpu = time.process_time() - started_cpu
        size = written.files[0].stat().st_size / 1e6
        right = float(written.results.hits.mean())
        print(
            f"10,000 images, 100 classes, accuracy {right:.3f}: {seconds:.1f} s "
            f"({cpu:.1f} s of processor time), {size:.1f} MB"
        )
        data = ("drawn beasts", 10_000)
        record("report-time", seconds, 1, "reports", details={"s of a core": cpu}, data=data)
        record("report-size", size, 1, "reports", data=data)


if __name__ == "__main__":
    recording(main, __file__)
