"""A run directory: opened or refused, its starting files checked, its tables read once."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from bestiary.errors import ArgumentError, DamagedError, RunError
from bestiary.recipe.options import Recipe
from bestiary.run.images import UnknownRoot
from bestiary.run.layout import (
    CHECKSUMS,
    ENSEMBLE,
    FOLDS,
    MANIFEST,
    METRICS,
    RECIPE,
    TRAIN_ONLY,
)
from bestiary.run.opening import opened_run
from bestiary.run.run import Run

ACCURACY = {"value": 0.95, "low": 0.9375, "high": 0.9625, "n": 1764, "groups": 1764}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two folds that has begun."""
    run = Run(tmp_path / "run")
    paths = ["a.jpg", "b.jpg", "c.jpg"]
    manifest = pl.DataFrame(
        {
            "path": paths,
            "label": ["lynx", "fox", "fox"],
            "group": ["1", "2", None],
            "sha256": ["1", "2", "3"],
            "duplicate_group": ["", "", ""],
            "height": [48, 48, 48],
            "width": [64, 64, 64],
            "label_conflict": [False, False, False],
        }
    )
    run.write_table(MANIFEST, manifest, {"root": str(tmp_path)})
    run.write_table(FOLDS, pl.DataFrame({"path": paths, "fold": [1, 0, TRAIN_ONLY]}))
    run.write_recipe(Recipe())
    return run


def test_open_finds_a_run(run: Run) -> None:
    assert Run.open(run.path) == run
    assert Run.open(str(run.path)).name == "run"


def test_open_without_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run; check the path, or make one with"):
        Run.open(tmp_path / "none")


def test_open_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run \(it has no recipe.toml\)"):
        Run.open(tmp_path)


def test_images_in_an_impossible_place_are_one_line(run: Run) -> None:
    with (
        pytest.raises(ArgumentError, match=r"cannot be read .*File name too long"),
        opened_run(run.path, data="x" * 5000),
    ):
        pass


def test_place_and_name_of_an_address(tmp_path: Path) -> None:
    run = Run(tmp_path, "s3://bucket/runs/one")
    assert run.place == "s3://bucket/runs/one"
    assert run.name == "one"


def test_vacant_folder(run: Run, tmp_path: Path) -> None:
    assert not run.is_vacant, "it has begun"
    run.file(RECIPE).unlink()
    (run.path / ".lock").touch()
    assert run.is_vacant, "an interrupted start"
    (run.path / "notes.txt").touch()
    assert not run.is_vacant
    assert not Run(tmp_path / "none").is_vacant


def test_load_reads_the_starting_files(run: Run, tmp_path: Path) -> None:
    snapshot = run.load()
    assert snapshot.run == run
    assert snapshot.recipe == run.read_recipe() == Recipe()
    assert snapshot.manifest.equals(run.read_table(MANIFEST))
    assert snapshot.fold_table.equals(run.read_table(FOLDS))
    assert run.read_recorded_root() == str(tmp_path)
    assert snapshot.folds == run.fold_numbers() == [0, 1]


def test_snapshot_does_not_read_again(run: Run) -> None:
    snapshot = run.load()
    shutil.rmtree(run.path)
    assert snapshot.folds == [0, 1]
    assert snapshot.recipe.train.epochs == Recipe().train.epochs


@pytest.mark.parametrize("name", [RECIPE, MANIFEST, FOLDS])
def test_changed_starting_file_is_refused(name: str, run: Run) -> None:
    run.file(name).write_bytes(run.file(name).read_bytes() + b"\n")
    with pytest.raises(DamagedError, match=f"{name}: has changed since the run was begun"):
        run.load()


def test_starting_file_without_checksum_passes(run: Run) -> None:
    run.file(CHECKSUMS).unlink()
    changed = Recipe().with_values({"train.epochs": 9})
    run.file(RECIPE).write_text(changed.to_toml())
    assert run.read_recipe().train.epochs == 9


def test_damaged_checksums_are_refused(run: Run) -> None:
    run.file(CHECKSUMS).write_text("no checksum\n")
    with pytest.raises(DamagedError, match=f"{CHECKSUMS}: cannot be read"):
        run.read_recipe()


def test_old_recipe_key_names_the_new_one(run: Run) -> None:
    run.file(CHECKSUMS).unlink()
    run.file(RECIPE).write_text("[mix]\nuntil = 0.5\n")
    with pytest.raises(RunError, match=r"mix\.until is called mix\.stop_at now"):
        run.read_recipe()


def test_begin_like_copies_images_and_folds(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "other")
    other.begin_like(run, Recipe().with_values({"train.seed": 1}))
    assert other.load().fold_table.equals(run.load().fold_table)
    assert other.read_recipe().differences(run.read_recipe()) == ["train.seed"]


def test_check_ended_names_the_first_fold(run: Run) -> None:
    snapshot = run.load()
    with pytest.raises(RunError, match="fold 0 has not ended; go on with bestiary train"):
        snapshot.check_ended()
    for fold in run.fold_numbers():
        run.fold(fold).folder.mkdir()
        run.fold(fold).weights.touch()
        run.fold(fold).oof.touch()
    snapshot.check_ended()


def test_missing_json_names_the_command(run: Run) -> None:
    with pytest.raises(RunError, match=r"has no ensemble\.json yet; finish a fold with"):
        run.read_classes()


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_damaged_json_is_refused(text: str, run: Run) -> None:
    run.file(ENSEMBLE).write_text(text)
    with pytest.raises(RunError, match=r"ensemble\.json: (cannot be read|is not what)"):
        run.read_json(ENSEMBLE)


def test_json_roundtrip_keeps_umlauts(run: Run) -> None:
    run.write_json(ENSEMBLE, {"classes": ["größe"]})
    assert run.read_classes() == ["größe"]
    assert "größe" in run.file(ENSEMBLE).read_text(encoding="utf-8")


def test_score_line_without_metrics(run: Run) -> None:
    assert run.score_line is None
    assert str(run) == (f"{run.path}: 0 of 2 folds ended; see bestiary show {run.path}")


def test_score_line_and_next_commands(run: Run) -> None:
    run.write_json(METRICS, {"oof": {"accuracy": ACCURACY}})
    line = "Out-of-fold accuracy 95.0\xa0% (95 % interval 93.8\u201396.2\xa0%), 1,764 images"
    assert run.score_line == line
    assert str(run).splitlines() == [
        line,
        "What next:",
        f"  bestiary report {run.path}",
        f"  bestiary labels {run.path}",
        f"  bestiary predict {run.path} IMAGES",
        f"  bestiary evaluate {run.path} LABELED_IMAGES",
    ]


def test_next_commands_say_what_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.path.parent)
    run.write_json(METRICS, {"oof": {"accuracy": ACCURACY}})
    lines = str(Run(Path(run.path.name))).splitlines()
    assert lines[2].split("  ")[-1].strip() == "the page: errors, trust, classes"
    assert max(map(len, lines)) <= 80


def test_no_run_says_so(tmp_path: Path) -> None:
    assert str(Run(tmp_path)) == f"{tmp_path}: no run has begun here"


def test_score_line_counts_groups(run: Run) -> None:
    run.write_json(METRICS, {"oof": {"accuracy": ACCURACY | {"groups": 300}}})
    assert str(run.score_line).endswith("1,764 images in 300 groups")


def test_score_line_of_damaged_metrics(run: Run) -> None:
    run.file(METRICS).write_text(json.dumps({"oof": {}}))
    with pytest.raises(DamagedError, match=r"metrics\.json: is not what bestiary writes"):
        _ = run.score_line


def test_recorded_root_is_not_opened(run: Run) -> None:
    """A run may come from a stranger, so it names no place to read from."""
    assert isinstance(run.read_root(), UnknownRoot)
    assert not (run.read_root() / "a.jpg").is_file()
    assert str(run.load().root) == "DATA"


def test_root_that_the_user_names_is_opened(run: Run, tmp_path: Path) -> None:
    assert replace(run, data=str(tmp_path)).read_root() == tmp_path


def test_root_that_the_user_has_named_is_known_wherever_the_run_moves(
    run: Run, tmp_path: Path
) -> None:
    assert run.remember_root(str(tmp_path))
    moved = Run(run.path.rename(tmp_path / "moved"))
    assert moved.read_root() == tmp_path


def test_root_of_another_manifest_is_not_known(run: Run, tmp_path: Path) -> None:
    run.remember_root(str(tmp_path))
    table = run.read_table(MANIFEST)
    run.write_table(MANIFEST, table, {"root": "/"})
    assert run.named_root() == ""


def test_state_that_cannot_be_written_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path / "file"))
    assert not run.remember_root(str(tmp_path))
