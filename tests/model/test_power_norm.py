"""Power normalization: the signed root, members that use it, and probes of its features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import bestiary
from bestiary.model.classifier import build_classifier, load_member, save_member
from bestiary.model.power_norm import signed_sqrt
from bestiary.run.oof import read_oof


def test_signed_sqrt_is_odd_and_differentiable() -> None:
    features = torch.tensor([-4.0, -0.01, 0.0, 0.01, 4.0], requires_grad=True)
    roots = signed_sqrt(features)
    torch.testing.assert_close(roots, -signed_sqrt(-features))
    torch.testing.assert_close(roots.detach()[-1], torch.tensor(2.0), atol=0.11, rtol=0)
    roots.sum().backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


def test_power_norm_member_predicts_alike_from_file(tmp_path: Path) -> None:
    file = tmp_path / "member.safetensors"
    classifier = build_classifier("torchvision/resnet18", 3, "none", power_norm=True).eval()
    images = torch.rand(2, 3, 32, 32)
    save_member(classifier, file)
    with torch.inference_mode():
        features = classifier.features(images)
        head = classifier.head_layer
        expected = functional.linear(features, head.weight, head.bias)
        torch.testing.assert_close(load_member(file)(images), expected)
    plain = build_classifier("torchvision/resnet18", 3, "none").eval()
    plain.load_state_dict(classifier.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(signed_sqrt(plain.features(images)), features)


@pytest.mark.slow
def test_power_norm_probe_fits_its_features(beasts: Path, tmp_path: Path) -> None:
    options = ["view.size=32", "model.power_norm=true", "train.precision=float32"]
    run = bestiary.probe(beasts, tmp_path / "run", overrides=options, folds=3, quiet=True)
    table, _ = read_oof(run.fold(0))
    scored = bestiary.load(run).iter_logits([beasts / path for path in table["path"]])
    logits = np.concatenate([batch.logits[0] for batch in scored])
    np.testing.assert_allclose(logits, table["logits"].to_numpy(), atol=1e-3)
