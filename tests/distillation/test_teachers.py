"""Distillation: teachers that are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bestiary.run.run import Run


def test_unfinished_teacher_is_refused(
    small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    card = json.loads((run / "ensemble.json").read_text())
    del card["calibration"]
    (run / "ensemble.json").write_text(json.dumps(card))
    assert "not all of its folds have ended" in fails("distill", run, tmp_path / "new", "--quiet")


def test_a_label_that_is_no_class_is_refused(
    small: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = Run(Path(shutil.copytree(small.path, tmp_path / "run")))
    (run.path / "SHA256SUMS").unlink()
    manifest = run.read_table("manifest.parquet")
    label = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("dragon")).otherwise("label")
    metadata = {"root": run.read_recorded_root()}
    run.write_table("manifest.parquet", manifest.with_columns(label=label), metadata)
    line = fails("distill", run.path, tmp_path / "new", "--data", beasts, "--quiet")
    assert "label 'dragon' of the manifest is none of the classes of the logits" in line
