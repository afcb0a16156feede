"""The recipe `paper` against the described system, line by line, and against PyTorch's and
torchvision's own code.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision import models
from torchvision.ops import sigmoid_focal_loss
from torchvision.transforms import v2

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.views import EvalView, TrainView
from bestiary.model.classifier import load_member
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import LossOptions
from bestiary.run.run import Run
from bestiary.training.loss import build_loss, focal
from bestiary.training.optimizer import build_optimizer
from bestiary.training.schedule import schedule_factor, set_learning_rate

PAPER = load_recipe("paper")
EVEN = torch.tensor(0.01)  # every class as frequent as any other


def test_backbone_is_resnext101_with_imagenet_v1_weights() -> None:
    assert PAPER.model.backbone == "torchvision/resnext101_64x4d"
    assert PAPER.model.weights == models.ResNeXt101_64X4D_Weights.IMAGENET1K_V1.name
    assert PAPER.model.head == "random"
    assert PAPER.model.freeze == 0
    assert not PAPER.model.freeze_norms


def test_training_view_is_flip_then_rotation_then_torchvisions_default_crop() -> None:
    view = TrainView.of(PAPER.view)
    crop = v2.RandomResizedCrop(224)
    assert (view.flip, view.rotation, view.augment) == (0.5, 15.0, "none")
    assert (view.size, view.size) == tuple(crop.size)
    assert view.scale == crop.scale
    assert view.ratio == pytest.approx(crop.ratio)


def test_validation_view_squashes_to_224_and_does_nothing_else() -> None:
    assert EvalView.of(PAPER.view, "bilinear") == EvalView(
        224, "squash", PAPER.view.eval_crop, "bilinear"
    )
    assert PAPER.predict.tta == 1
    assert not PAPER.model.normalize


def test_every_batch_is_mixed_by_mixup_or_cutmix_with_alpha_1() -> None:
    assert (PAPER.mix.probability, PAPER.mix.mixup, PAPER.mix.cutmix) == (1.0, 1.0, 1.0)


def test_loss_is_pytorchs_cross_entropy_on_soft_targets() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(8, 100), torch.rand(8, 100).softmax(dim=1)
    expected = torch.nn.CrossEntropyLoss()(logits, targets)
    assert PAPER.loss.label_smoothing == 0
    torch.testing.assert_close(build_loss(PAPER.loss, EVEN)(logits, targets), expected)


def test_optimizer_is_pytorchs_adamw_with_its_default_decay_on_everything() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm = torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)
            self.head_layer = torch.nn.Linear(4, 2)

        def stage_parameters(self) -> list[list[torch.nn.Parameter]]:
            return [list(self.parameters())]

    optimizer = build_optimizer(Net(), PAPER.optimizer)  # type: ignore[arg-type]
    plain = torch.optim.AdamW(Net().parameters(), lr=1e-4)
    assert len(optimizer.param_groups) == 1
    group, expected = optimizer.param_groups[0], plain.param_groups[0]
    for key in ("lr", "betas", "eps", "weight_decay", "amsgrad"):
        assert group[key] == expected[key]
    assert len(group["params"]) == len(expected["params"])


def test_schedule_equals_pytorchs_warm_restarts_over_80_epochs() -> None:
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
    assert [epoch for epoch in range(epochs) if ours[epoch] == 1e-4] == [
        0,
        10,
        30,
        70,
    ]  # 71st epoch restarts


def test_set_learning_rate_keeps_each_groups_factor() -> None:
    a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW(
        [{"params": [a], "factor": 1.0}, {"params": [b], "factor": 10.0}], lr=1.0
    )
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 5.0]


def test_budget_checkpoints_folds_and_averaging() -> None:
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
def test_the_reports_ablations_are_recipe_values(overrides: list[str]) -> None:
    changed = load_recipe("paper", overrides)
    assert PAPER.differences(changed) == [override.partition("=")[0] for override in overrides]


def test_focal_loss_with_gamma_0_is_cross_entropy_and_matches_torchvision_for_two_classes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(16, 5)
    targets = functional.one_hot(torch.randint(5, (16,)), 5).float()
    torch.testing.assert_close(
        focal(logits, targets, 0.0), functional.cross_entropy(logits, targets)
    )
    # a softmax over (0, x) is a sigmoid of x, for which torchvision has the loss
    x, y = torch.randn(32), torch.randint(2, (32,)).float()
    two = torch.stack([torch.zeros(32), x], dim=1)
    expected = sigmoid_focal_loss(x, y, alpha=-1, gamma=2.0, reduction="mean")
    torch.testing.assert_close(focal(two, torch.stack([1 - y, y], dim=1), 2.0), expected)


def test_label_smoothing_agrees_with_pytorch_in_both_losses() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(8, 6), torch.rand(8, 6).softmax(dim=1)
    plain = build_loss(LossOptions(kind="cross_entropy", label_smoothing=0.1), EVEN)(
        logits, targets
    )
    through_focal = build_loss(LossOptions(kind="focal", gamma=0.0, label_smoothing=0.1), EVEN)(
        logits, targets
    )
    torch.testing.assert_close(plain, through_focal)


def test_paper_trains_resnext101_from_a_file_with_torchvisions_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    draw_sample(data, species=100, per_species=2, size=32)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    torch.manual_seed(0)
    network = models.resnext101_64x4d(weights=None)
    file = (
        tmp_path
        / "hub"
        / "checkpoints"
        / Path(models.ResNeXt101_64X4D_Weights.IMAGENET1K_V1.url).name
    )
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)

    options = ["train.epochs=1", "train.batch_size=16", "train.save_every=1", "view.eval_size=64"]
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
    first = "network.layer1.0.conv1.weight"
    moved = (
        (member.state_dict()[first] - network.state_dict()[first.removeprefix("network.")])
        .abs()
        .max()
        .item()
    )
    assert 0 < moved < 0.01  # it started from the file, and steps of 1e-4 took it a little way
