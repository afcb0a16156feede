"""LoRA in a run: members are plain networks, and a resumed run gives the same bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

import bestiary
from bestiary.display import TrainingDisplay
from bestiary.errors import RecipeError
from bestiary.model.classifier import load_member
from bestiary.run.oof import read_oof
from bestiary.run.run import Run

pytestmark = pytest.mark.slow
pytest.importorskip("peft")
OPTIONS = [
    "model.backbone=timm/test_vit",
    "model.weights=none",
    "model.head=random",
    "model.lora=2",
    "view.size=160",
    "train.epochs=2",
    "train.batch_size=8",
    "train.wise_ft=0.25",
    "train.ema=0.5",
    "optimizer.lr=1e-2",
    "train.precision=float32",
]


def written(run: Run) -> tuple[bytes, bytes]:
    """The member of fold 0, and its held-out logits."""
    files = run.fold(0)
    return files.weights.read_bytes(), read_oof(files)[0]["logits"].to_numpy().tobytes()


@pytest.fixture(scope="module")
def adapted(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("lora") / "run"
    return bestiary.train(
        beasts, place, recipe="foundation", overrides=OPTIONS, folds=3, only_fold=[0], quiet=True
    )


def test_only_linear_layers_have_changed(adapted: Run) -> None:
    """Norms, embeddings and patches are those that training began with."""
    files = adapted.fold(0)
    before, after = (load_member(file) for file in (files.initial, files.weights))
    old, new = before.state_dict(), after.state_dict()
    changed = {key for key, value in new.items() if not torch.equal(value, old[key])}
    assert "network.blocks.0.attn.qkv.weight" in changed
    assert all(key.endswith(".weight") or key.startswith("network.head.") for key in changed)
    assert not any("norm" in key or "patch_embed" in key or "pos_embed" in key for key in changed)


def test_member_predicts_without_peft(
    adapted: Run, beasts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bestiary.model.lora._import_peft", None)
    images = sorted(beasts.rglob("*.jpg"))[:3]
    assert np.isfinite(bestiary.load(adapted.path).predict_proba(images)).all()


def test_resumed_adapters_have_the_same_bits(
    beasts: Path, adapted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_epoch = TrainingDisplay.end_epoch

    def stop_after_first(self: TrainingDisplay, *arguments: object) -> None:
        end_epoch(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    run = tmp_path / "run"
    options = {"recipe": "foundation", "overrides": OPTIONS, "folds": 3}
    with monkeypatch.context() as patch:
        patch.setattr(TrainingDisplay, "end_epoch", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            bestiary.train(beasts, run, only_fold=[0], quiet=True, **options)  # type: ignore[arg-type]
    assert not Run(run).fold(0).ended
    resumed = bestiary.train(beasts, run, only_fold=[0], resume=True, quiet=True)
    for mine, theirs in zip(*map(written, (resumed, adapted)), strict=True):
        assert mine == theirs


def test_wrong_backbone_is_refused_before_images(tmp_path: Path) -> None:
    options = [*OPTIONS, "model.backbone=timm/test_resnet"]
    with pytest.raises(RecipeError, match="timm/test_resnet has no linear layers besides its head"):
        bestiary.train(tmp_path, tmp_path / "run", recipe="foundation", overrides=options)
