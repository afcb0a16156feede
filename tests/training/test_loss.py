"""Losses against PyTorch's and torchvision's: logit adjustment, focal loss, label smoothing."""

import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from bestiary.recipe.optimization import LossOptions
from bestiary.training.loss import build_loss, focal_loss

BALANCED = torch.tensor(0.01)  # every class is as frequent as any other


def soft_batch(images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and soft targets."""
    torch.manual_seed(0)
    logits = torch.randn(images, classes)
    targets = torch.rand(images, classes).softmax(dim=1)
    return logits, targets


def test_logit_adjustment_adds_log_frequencies() -> None:
    logits, targets = soft_batch(16, 3)
    frequencies = torch.tensor([0.7, 0.3, 0.0])
    # The class without images counts as the rarest that has some.
    offset = 1.5 * torch.tensor([0.7, 0.3, 0.3]).log()
    adjusted = build_loss(LossOptions(logit_adjustment=1.5), frequencies)
    expected = functional.cross_entropy(logits + offset, targets)
    torch.testing.assert_close(adjusted(logits, targets), expected)

    plain = build_loss(LossOptions(), frequencies)
    expected = functional.cross_entropy(logits, targets)
    torch.testing.assert_close(plain(logits, targets), expected)


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits = torch.randn(16, 5)
    targets = functional.one_hot(torch.randint(5, (16,)), 5).float()
    expected = functional.cross_entropy(logits, targets)
    torch.testing.assert_close(focal_loss(logits, targets, 0.0), expected)


def test_focal_loss_of_two_classes_is_torchvisions() -> None:
    torch.manual_seed(0)
    # Softmax over (0, x) is the sigmoid of x, for which torchvision has the loss.
    x = torch.randn(32)
    y = torch.randint(2, (32,)).float()
    logits = torch.stack([torch.zeros(32), x], dim=1)
    targets = torch.stack([1 - y, y], dim=1)
    expected = sigmoid_focal_loss(x, y, alpha=-1, gamma=2.0, reduction="mean")
    torch.testing.assert_close(focal_loss(logits, targets, 2.0), expected)


def test_label_smoothing_is_alike_in_both_losses() -> None:
    logits, targets = soft_batch(8, 6)
    cross_entropy = LossOptions(kind="cross_entropy", label_smoothing=0.1)
    focal = LossOptions(kind="focal", gamma=0.0, label_smoothing=0.1)
    torch.testing.assert_close(
        build_loss(cross_entropy, BALANCED)(logits, targets),
        build_loss(focal, BALANCED)(logits, targets),
    )
