"""Pickles and copies of an ensemble: loaded again from its run, or refused."""

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bestiary.ensemble import reloading
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, RunError
from bestiary.model.classifier import load_member, save_member
from bestiary.model.tensor_card import claimed_checksum
from bestiary.run.run import Run
from bestiary.storage.files import StoredFolder


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    """Each test reads the run itself."""
    reloading._cache.clear()


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return shutil.copytree(trained.path, tmp_path / "copy")


@pytest.fixture(scope="module")
def images(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))[:5]


def again(ensemble: Ensemble) -> Any:
    return pickle.loads(pickle.dumps(ensemble))


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_pickle_answers_alike(
    run: Path, images: list[Path], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    ensemble = Ensemble.load(run.name, device="cpu", engine=engine, tta=2)
    monkeypatch.chdir(run)  # the run is found by its absolute path
    content = pickle.dumps(ensemble)
    assert len(content) < 2000
    for loaded in (pickle.loads(content), copy.deepcopy(ensemble), copy.copy(ensemble)):
        assert (loaded.engine, loaded.tta, loaded.device) == (ensemble.engine, 2, ensemble.device)
        np.testing.assert_array_equal(loaded.predict_proba(images), ensemble.predict_proba(images))
        assert (
            repr(loaded)
            == repr(ensemble)
            == (f"<Ensemble {run}: 3 members, 3 classes, {ensemble.engine}>")
        )


def test_pickle_of_a_method_and_of_a_pickle(trained: Run, images: list[Path]) -> None:
    ensemble = Ensemble.load(trained, engine="torch")
    predict = pickle.loads(pickle.dumps(ensemble.predict))
    assert predict(images).tolist() == ensemble.predict(images).tolist()
    assert again(again(ensemble)).predict(images).tolist() == predict(images).tolist()


def test_changes_survive(trained: Run, images: list[Path]) -> None:
    ensemble = Ensemble.load(trained, engine="torch")
    usual = ensemble.predict_proba(images)
    ensemble.average = "vote"
    ensemble.calibration = None
    ensemble.classes_ = np.array(["a", "b", "c"])
    ensemble.note = "of mine"  # type: ignore[attr-defined]
    loaded = again(again(ensemble))
    assert (loaded.average, loaded.calibration, loaded.note) == ("vote", None, "of mine")
    assert loaded.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(loaded.predict_proba(images), ensemble.predict_proba(images))
    other = again(Ensemble.load(trained, engine="torch"))
    np.testing.assert_array_equal(other.predict_proba(images), usual)
    assert not hasattr(other, "note")


@pytest.mark.parametrize(
    ("name", "value"),
    [("tta", 5), ("device", torch.device("meta")), ("precision", "fp16"), ("members", [])],
)
def test_changes_that_would_be_lost_are_refused(trained: Run, name: str, value: Any) -> None:
    ensemble = Ensemble.load(trained, engine="torch")
    setattr(ensemble, name, value)
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ArgumentError, match=f"^{name}: was changed on this ensemble.*load"):
            act(ensemble)


def test_changed_weights_are_refused(trained: Run) -> None:
    ensemble = Ensemble.load(trained, engine="torch")
    content = pickle.dumps(ensemble)
    first = pickle.loads(content)
    for changed in (ensemble, first):
        with torch.no_grad():
            changed.members[0].head_layer.weight.zero_()
        with pytest.raises(RunError, match="or it was changed in memory; load the run"):
            again(changed)
    assert pickle.loads(content).members[0].head_layer.weight.any()  # not that of `first`


def new_weights(run: Path) -> None:
    file = run / "fold-1" / "weights.safetensors"
    member = load_member(file)
    with torch.no_grad():
        member.head_layer.bias.add_(1)
    save_member(member, file)
    card = json.loads((run / "ensemble.json").read_text())
    card["members"][1]["digest"] = claimed_checksum(file)  # as when the run is finished again
    (run / "ensemble.json").write_text(json.dumps(card))


def new_card(**values: Any) -> Callable[[Path], None]:
    def write(run: Path) -> None:
        card = json.loads((run / "ensemble.json").read_text())
        (run / "ensemble.json").write_text(json.dumps(card | values))

    return write


def fewer_members(run: Path) -> None:
    card = json.loads((run / "ensemble.json").read_text())
    card["members"].pop()
    del card["calibration"]
    (run / "ensemble.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "change",
    [new_weights, new_card(average="vote"), new_card(tta=2), new_card(classes=["a", "b", "c"]),
     fewer_members, new_card(precision="bf16")],
)  # fmt: skip
def test_changed_run_is_refused(run: Path, change: Callable[[Path], None]) -> None:
    content = pickle.dumps(Ensemble.load(run, engine="torch"))
    change(run)
    with pytest.raises(RunError, match=rf"^{run}: is not what the pickled ensemble") as raised:
        pickle.loads(content)
    assert "\n" not in str(raised.value)


def test_missing_run_is_named(run: Path) -> None:
    content = pickle.dumps(Ensemble.load(run, engine="torch"))
    run.rename(run.with_name("elsewhere"))
    with pytest.raises(RunError, match=f"^{run}: no such run"):
        pickle.loads(content)


def test_without_run_is_refused(plain: Ensemble) -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ArgumentError, match=r"not loaded from a run, .* bestiary.load\(RUN\)"):
            act(plain)
    assert repr(plain) == "<Ensemble 2 members, 3 classes, PyTorch float32>"


def test_pool_of_jobs_loads_once(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(Ensemble.load(trained, engine="torch"))
    loads: list[object] = []
    load = reloading._load
    monkeypatch.setattr(reloading, "_load", lambda saved: loads.append(saved) or load(saved))
    ensembles = [pickle.loads(content) for _ in range(3)]
    assert len(loads) == 1
    ensembles[0].average = "vote"
    ensembles[0].members.pop()
    assert ensembles[1].average != "vote"
    assert len(ensembles[1].members) == 3


def test_run_in_a_store_is_loaded_by_address(
    trained: Run, images: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    import bestiary

    address = f"file://{tmp_path}/store/run"
    shutil.copytree(trained.path, tmp_path / "store" / "run")
    assert StoredFolder(address).is_dir()
    ensemble = bestiary.load(address)
    assert address in repr(ensemble)
    loaded = again(ensemble)
    np.testing.assert_array_equal(loaded.predict_proba(images), ensemble.predict_proba(images))
    shutil.rmtree(tmp_path / "store")
    reloading._cache.clear()
    with pytest.raises(RunError, match=f"^{address}: "):
        again(ensemble)
