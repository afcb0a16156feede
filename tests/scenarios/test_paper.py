"""Recipe `paper` against its course report, PyTorch's own classes and torchvision's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models
from torchvision.transforms import v2

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.eval_view import EvalView
from bestiary.data.views import TrainView
from bestiary.model.classifier import load_member
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.training.loss import build_loss
from bestiary.training.optimizer import build_optimizer
from bestiary.training.schedule import schedule_factor

PAPER = load_recipe("paper")
WEIGHTS = models.ResNeXt101_64X4D_Weights.IMAGENET1K_V1
BALANCED = torch.tensor(0.01)  # every class is as frequent as any other


def test_backbone_is_resnext101_v1() -> None:
    assert PAPER.model.backbone == "torchvision/resnext101_64x4d"
    assert PAPER.model.weights == WEIGHTS.name
    assert PAPER.model.head == "random"
    assert PAPER.model.freeze == 0
    assert not PAPER.model.freeze_norms


def test_training_view_is_flip_rotation_crop() -> None:
    view = TrainView.of(PAPER.view)
    crop = v2.RandomResizedCrop(224)
    assert (view.flip, view.rotation, view.augment) == (0.5, 15.0, "none")
    assert (view.size, view.size) == tuple(crop.size)
    assert view.scale == crop.scale
    assert view.ratio == pytest.approx(crop.ratio)


def test_validation_view_is_squashed_to_224() -> None:
    view = EvalView.of(PAPER.view, "bilinear")
    assert view == EvalView(224, "squash", PAPER.view.eval_crop, "bilinear")
    assert PAPER.predict.tta == 1
    assert not PAPER.model.normalize


def test_mixup_or_cutmix_in_every_batch() -> None:
    assert (PAPER.mix.probability, PAPER.mix.mixup, PAPER.mix.cutmix) == (1.0, 1.0, 1.0)


def test_loss_is_pytorchs_cross_entropy() -> None:
    torch.manual_seed(0)
    logits = torch.randn(8, 100)
    targets = torch.rand(8, 100).softmax(dim=1)
    expected = torch.nn.CrossEntropyLoss()(logits, targets)
    assert PAPER.loss.label_smoothing == 0
    torch.testing.assert_close(build_loss(PAPER.loss, BALANCED)(logits, targets), expected)


class SmallNetwork(torch.nn.Module):
    """What an optimizer needs to know of a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(4, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head_layer = torch.nn.Linear(4, 2)

    def stage_parameters(self) -> list[list[torch.nn.Parameter]]:
        return [list(self.parameters())]


def test_optimizer_is_pytorchs_adamw() -> None:
    """With PyTorch's default weight decay, on all parameters."""
    optimizer = build_optimizer(SmallNetwork(), PAPER.optimizer)  # type: ignore[arg-type]
    reference = torch.optim.AdamW(SmallNetwork().parameters(), lr=1e-4)
    assert len(optimizer.param_groups) == 1
    group = optimizer.param_groups[0]
    expected = reference.param_groups[0]
    for key in ("lr", "betas", "eps", "weight_decay", "amsgrad"):
        assert group[key] == expected[key]
    assert len(group["params"]) == len(expected["params"])


def test_schedule_is_pytorchs_warm_restarts() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2)
    expected = []
    for _ in range(80):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    epochs = PAPER.train.epochs
    ours = [
        PAPER.optimizer.lr * schedule_factor(PAPER.schedule, epoch, 7, 100, epochs)
        for epoch in range(epochs)
    ]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-15)
    # The 71st epoch restarts.
    assert [epoch for epoch in range(epochs) if ours[epoch] == 1e-4] == [0, 10, 30, 70]


def test_epochs_checkpoints_folds_and_averaging() -> None:
    assert (PAPER.train.batch_size, PAPER.train.epochs, PAPER.folds.n) == (64, 80, 5)
    assert (PAPER.train.save_every, PAPER.train.keep_best) == (20, True)
    assert PAPER.predict.average == "logits"


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss.kind=focal"],
        ["model.normalize=true"],
        ["view.augment=randaugment"],
        ["view.augment=trivialaugment"],
        ["mix.probability=0"],
        ["model.backbone=torchvision/resnet152"],
        ["model.backbone=timm/resnest200e.in1k", "model.weights=default"],
    ],
)
def test_papers_ablations_are_recipe_values(overrides: list[str]) -> None:
    changed = load_recipe("paper", overrides)
    assert PAPER.differences(changed) == [override.partition("=")[0] for override in overrides]


@pytest.mark.slow
def test_paper_trains_from_torchvisions_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights lie where torchvision downloads its own.
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    torch.manual_seed(0)
    network = models.resnext101_64x4d(weights=None)
    file = tmp_path / "hub" / "checkpoints" / Path(WEIGHTS.url).name
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)

    data = tmp_path / "data"
    draw_sample(data, species=100, per_species=2, size=32)
    options = ["train.epochs=1", "train.batch_size=50", "train.save_every=1", "view.size=32"]
    options += ["train.precision=float32", "train.layout=contiguous"]  # nothing is to be timed
    run = bestiary.train(
        data,
        tmp_path / "run",
        recipe="paper",
        overrides=options,
        folds=2,
        only_fold=[0],
        quiet=True,
    )

    member = load_member(Run.open(run.path).fold(0).weights)
    assert member.head_layer.out_features == 100
    assert sum(parameter.numel() for parameter in member.parameters()) == 81_611_172
    assert run.fold(0).epoch(1).exists()
    assert run.fold(0).ended
    # Training started from the file, and steps of 1e-4 changed its weights a little.
    trained = member.state_dict()["network.layer1.0.conv1.weight"]
    change = (trained - network.state_dict()["layer1.0.conv1.weight"]).abs().max().item()
    assert 0 < change < 0.01
