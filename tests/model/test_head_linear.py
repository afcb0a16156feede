"""Head layer: float32 logits on a GPU, and the same bits as `nn.Linear` on a CPU."""

import pytest
import torch
from torch import nn

from bestiary.model import head_linear
from bestiary.model.classifier import build_classifier
from bestiary.model.head_linear import HeadLinear
from bestiary.model.power_norm import PowerNormLinear, signed_sqrt


def test_head_is_nn_linear_on_a_cpu() -> None:
    layer = nn.Linear(7, 3)
    features = torch.randn(5, 7)
    head = HeadLinear.from_linear(layer)
    assert head.weight is layer.weight
    assert torch.equal(head(features), layer(features))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(features), layer(features))
        assert head(features).dtype == torch.bfloat16
    rooted = PowerNormLinear.from_linear(layer)
    assert torch.equal(rooted(features), layer(signed_sqrt(features)))


@pytest.mark.parametrize("power_norm", [False, True])
def test_logits_are_float32_on_a_gpu(power_norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_linear, "FLOAT32_DEVICES", {"cpu"})  # as if it were a GPU
    classifier = build_classifier("timm/test_resnet", 3, "none", power_norm=power_norm).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = classifier(images)
        features = classifier.features(images).float()
    assert logits.dtype == torch.float32
    head = classifier.head_layer
    exact = nn.functional.linear(features, head.weight, head.bias)
    torch.testing.assert_close(logits, exact, atol=2e-2 if power_norm else 1e-5, rtol=0)
    assert not torch.equal(logits, logits.bfloat16().float()), "more than 8 bits"
