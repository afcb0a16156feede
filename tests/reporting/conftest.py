"""Fixtures of the tests of reports: runs in which classes have other names."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bestiary.run.oof import read_oof, write_oof
from bestiary.run.run import Run


@pytest.fixture
def renamed(trained: Run, tmp_path: Path) -> Callable[..., Run]:
    """Copies the run; its first classes have other names."""

    def rename(*names: str) -> Run:
        run = Run(Path(shutil.copytree(trained.path, tmp_path / "renamed")))
        classes = run.read_classes()
        new_names = [*names, *classes[len(names) :]]
        change = pl.col("label").replace(dict(zip(classes, new_names, strict=True)))
        manifest = run.read_table("manifest.parquet")
        run.write_table(
            "manifest.parquet", manifest.with_columns(change), {"root": str(trained.read_root())}
        )
        run.write_recipe(run.read_recipe())  # renew the checksums
        run.write_json("ensemble.json", run.read_json("ensemble.json") | {"classes": new_names})
        for fold in run.fold_numbers():
            table, _ = read_oof(run.fold(fold))
            write_oof(run.fold(fold), table.with_columns(change), new_names)
        return run

    return rename
