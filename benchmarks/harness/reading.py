"""Files of a finished run, and tables next to it -> the functions that read them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bestiary.data.fixes import read_fixes
from bestiary.data.folds import read_fold_file
from bestiary.data.listing import list_labeled
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.finish import finish_run
from bestiary.evaluation.labels import review_labels
from bestiary.evaluation.summary import summarize
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.training.autotune import autotune_compute
from bestiary.training.checkpoint import read_checkpoint
from bestiary.training.crossval import is_fold_complete
from bestiary.training.dataset import TrainingSet, check_images_exist
from bestiary.training.request import begin_or_resume
from harness.faulting import Workspace


def make_run(place: Workspace) -> Path:
    """A finished run with tables and a recipe next to its files, without its checksums."""
    run = place.folder / "fuzzed"
    status, output = place.train(run)
    if status:
        raise SystemExit(output)
    (run / "SHA256SUMS").unlink()  # whoever forges a file forges its checksum too
    shutil.copy(place.recipe, run / "asked.toml")
    table = pl.read_parquet(run / "manifest.parquet").select("path", "label", "group", "split")
    table.write_csv(run / "table.csv")
    table.write_parquet(run / "table.parquet")
    folds = pl.read_parquet(run / "folds.parquet")
    folds.write_csv(run / "own.csv")
    folds.write_parquet(run / "own.parquet")
    fixes = table.select("path", pl.col("label").alias("given"), pl.col("label").alias("suggested"))
    fixes.with_columns(pl.lit(0.5).alias("score"), pl.lit("keep").alias("action")).write_csv(
        run / "mine.csv"
    )
    return run


def _list(name: str) -> Callable[[Path], object]:
    def read(run: Path) -> object:
        return list_labeled(run / name)

    return read


def _own_folds(name: str) -> Callable[[Path], object]:
    return lambda run: read_fold_file(run / name, pl.Series("path", ["a", "b"]))


def _resume(run: Path) -> object:
    opened = Run.open(run)
    begun = begin_or_resume(
        opened.read_recorded_root(), run, None, (), None, (), True, Display(True)
    )
    data = TrainingSet.of(
        begun.read_recipe(),
        begun.read_table("manifest.parquet"),
        begun.read_root(),
        begun.read_table("folds.parquet"),
    )
    return check_images_exist(data)


def _state(run: Path) -> object:
    return read_checkpoint(Run(run).fold(0), lambda _: None)


def _arithmetic(run: Path) -> object:
    return autotune_compute(Run(run), 100, 3, Display(True))


def _ended(run: Path) -> object:
    oof = (run / "fold-0/oof.parquet").read_bytes()
    try:
        return is_fold_complete(Run(run).fold(0), Display(True))
    finally:
        (run / "fold-0/oof.parquet").write_bytes(oof)


def _score(run: Path) -> object:
    return finish_run(Run(run)), review_labels(Run(run), run / "labels")


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("table.csv", _list("table.csv")),
    ("table.parquet", _list("table.parquet")),
    ("own.csv", _own_folds("own.csv")),
    ("own.parquet", _own_folds("own.parquet")),
    ("mine.csv", lambda run: read_fixes(run / "mine.csv")),
    ("asked.toml", lambda run: load_recipe(run / "asked.toml")),
    ("recipe.toml", _resume),
    ("recipe.toml", lambda run: str(summarize(Run.open(run)))),
    ("manifest.parquet", _resume),
    ("manifest.parquet", lambda run: str(summarize(Run.open(run)))),
    ("folds.parquet", _resume),
    ("ensemble.json", Ensemble.load),
    ("compute.json", _arithmetic),
    ("metrics.json", lambda run: str(summarize(Run.open(run)))),
    ("quarantine.csv", lambda run: str(summarize(Run.open(run)))),
    ("fold-0/history.csv", lambda run: str(summarize(Run.open(run)))),
    ("fold-0/oof.parquet", _score),
    ("fold-0/oof.parquet", _ended),
    ("fixes.csv", _score),
    ("fold-0/weights.safetensors", Ensemble.load),
    ("fold-0/last/state.safetensors", _state),
]
