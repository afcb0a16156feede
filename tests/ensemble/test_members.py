"""Members' files: networks are built where they are needed, and nothing in a run is believed."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.members import describe_first_start
from bestiary.errors import DamagedError, RunError
from bestiary.model import engine
from bestiary.model.classifier import SavedMember, load_member, save_member
from bestiary.model.tensor_card import claimed_checksum
from bestiary.recipe.choices import Engine
from bestiary.run.layout import ENSEMBLE
from bestiary.run.run import Run

needs_openvino = pytest.mark.skipif(
    not engine.openvino_is_installed(), reason="openvino is not installed"
)


@pytest.fixture
def no_networks(known: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: SavedMember) -> None:
        pytest.fail("a network was built")

    monkeypatch.setattr(SavedMember, "build", fail)


@pytest.fixture
def known(trained: Run, files: list[Path], tmp_path: Path) -> Run:
    """A copy of a run whose graph is in the cache."""
    Ensemble.load(trained, device="cpu", engine="openvino").predict(files)
    return Run(shutil.copytree(trained.path, tmp_path / "known"))


@needs_openvino
@pytest.mark.usefixtures("no_networks")
def test_known_members_need_no_network(known: Run, files: list[Path]) -> None:
    ensemble = Ensemble.load(known, device="cpu", engine="openvino")
    assert ensemble.predict_proba(files).shape == (len(files), 3)
    again = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(again.predict_proba(files), ensemble.predict_proba(files))
    assert again.digest == ensemble.digest


@needs_openvino
def test_digest_is_that_of_networks(known: Run) -> None:
    ensemble = Ensemble.load(known, device="cpu", engine="openvino")
    before = ensemble.digest
    del ensemble.digest
    assert ensemble.members
    assert ensemble.digest == before
    assert pickle.loads(pickle.dumps(ensemble)).digest == before  # networks are no change of it


@needs_openvino
def test_changed_file_of_known_member(known: Run) -> None:
    """The card claims the checksum of the cached graph still; other weights are found out."""
    file = known.fold(1).weights
    content = bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError, match="its checksum does not hold"):
        Ensemble.load(known, device="cpu", engine="openvino")


@pytest.mark.parametrize("engine_name", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_a_member_of_another_run_is_refused(
    trained: Run, known: Run, files: list[Path], engine_name: Engine
) -> None:
    """It fits in all shapes, and its classes may be others: only its digest tells."""
    here, there = known.fold(0).weights, trained.fold(1).weights
    shutil.copyfile(there, here)
    with pytest.raises(RunError, match=r"fold 0 has another member than ensemble\.json"):
        Ensemble.load(known, device="cpu", engine=engine_name)

    card = known.read_json(ENSEMBLE)
    for member in card["members"]:
        del member["digest"]  # as an earlier version wrote it
    known.write_json(ENSEMBLE, card)
    assert Ensemble.load(known, device="cpu", engine=engine_name).predict(files).shape == (
        len(files),
    )


def test_a_card_of_another_run_is_refused(trained: Run, known: Run) -> None:
    card = trained.read_json(ENSEMBLE)
    card["members"][1]["digest"] = "0" * 64
    known.write_json(ENSEMBLE, card)
    with pytest.raises(RunError, match="--resume"):
        Ensemble.load(known, device="cpu", engine="torch")


@needs_openvino
def test_other_weights_have_another_graph(known: Run, files: list[Path]) -> None:
    before = Ensemble.load(known, device="cpu", engine="openvino").predict_proba(files)
    file = known.fold(1).weights
    member = load_member(file)
    with torch.no_grad():
        member.head_layer.bias[0] += 3
    save_member(member, file)
    card = known.read_json(ENSEMBLE)
    card["members"][1]["digest"] = claimed_checksum(file)  # as when the run is finished again
    known.write_json(ENSEMBLE, card)
    changed = Ensemble.load(known, device="cpu", engine="openvino").predict_proba(files)
    assert np.abs(changed - before).max() > 1e-3
    by_torch = Ensemble.load(known, device="cpu", engine="torch").predict_proba(files)
    np.testing.assert_allclose(changed, by_torch, atol=0.05)


@needs_openvino
def test_only_a_first_start_is_said(
    known: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert describe_first_start(known, "auto") == ""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "empty"))
    assert "its network is built" in describe_first_start(known, "auto")
    assert describe_first_start(known, "torch") == ""
