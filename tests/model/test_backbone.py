"""Backbones: networks by name, weights where each library keeps them, one line if missing."""

import os
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from bestiary.errors import WeightsError
from bestiary.model.backbone import build_backbone, last_linear
from bestiary.model.classifier import build_classifier

Randomize = Callable[[nn.Module, int], nn.Module]
SMALL = "torchvision/shufflenet_v2_x0_5"
WEIGHTS = models.ShuffleNet_V2_X0_5_Weights


def refusal(name: str, weights: str = "none") -> str:
    with pytest.raises(WeightsError) as caught:
        build_backbone(name, 7, weights)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def checkpoint(hub: Path, randomize: Randomize) -> dict[str, torch.Tensor]:
    """The small network's state, in the file that torchvision would have downloaded."""
    state = randomize(models.shufflenet_v2_x0_5(), 1).state_dict()
    hub.mkdir(parents=True)
    torch.save(state, hub / Path(WEIGHTS.DEFAULT.url).name)
    return state


@pytest.mark.parametrize(
    "name", [SMALL, "torchvision/resnet18", "timm/test_resnet", "timm/test_vit.r160_in1k"]
)
def test_build_backbone_sets_number_of_classes(name: str) -> None:
    backbone = build_backbone(name, 7, "none")
    assert backbone.network.eval()(torch.rand(2, 3, 160, 160)).shape == (2, 7)
    head = backbone.network.get_submodule(backbone.head)
    assert isinstance(head, nn.Linear) and head.out_features == 7
    assert backbone.origin == "none"
    assert len(backbone.mean) == len(backbone.std) == 3


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("torchvision/resnet5", "torchvision/resnet50"),
        ("torchvision/resnext101_64x4", "torchvision/resnext101_64x4d"),
        ("timm/resnest200", "timm/resnest200e"),
        ("timm/efficientnet-b0", "timm/efficientnet_b0"),
    ],
)
def test_unknown_network_suggests_the_nearest(name: str, near: str) -> None:
    line = refusal(name)
    assert f"'{name}'" in line and "no such network; did you mean" in line and near in line


def test_hopeless_name_points_to_model_list() -> None:
    assert "see torchvision's list of models" in refusal("torchvision/")
    assert "see timm's list of models" in refusal("timm/@@@@")


@pytest.mark.parametrize("weights", ["default", "none"])
def test_unknown_timm_tag_suggests_the_nearest(weights: str) -> None:
    line = refusal("timm/test_resnet.r160_in2k", weights)
    assert "no such network" in line and "timm/test_resnet.r160_in1k" in line


@pytest.mark.parametrize(
    "name", ["resnet50", "keras/resnet50", "", "/resnet50", "offline", "TORCHVISION/resnet50"]
)
def test_backbone_name_needs_its_library(name: str) -> None:
    line = refusal(name)
    assert (
        f"{name!r}" in line
        and "must start with torchvision/, timm/" in line
        and "torchvision/resnet50" in line
    )


def test_unknown_offline_name_suggests_nearest() -> None:
    assert "did you mean offline/efficientnet_lite2" in refusal("offline/efficientnet_lite20")


def test_network_without_linear_head_is_refused() -> None:
    assert "no linear last layer" in refusal("torchvision/squeezenet1_0")


def test_network_with_two_heads_is_refused() -> None:
    # Its logits are the mean of two linear layers, so replacing one of them would be wrong.
    assert "linear last layer" in refusal("timm/deit_tiny_distilled_patch16_224")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_outputs_are_refused(name: str) -> None:
    try:
        network = build_backbone(f"torchvision/{name}", 7, "none").network
    except WeightsError:
        return
    assert isinstance(network.train()(torch.rand(2, 3, 96, 96)), torch.Tensor)


def test_segmentation_networks_are_refused() -> None:
    assert "no such network" in refusal("torchvision/fcn_resnet50")
    assert "no such network" in refusal("torchvision/fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "default", "DEFAULT"])
def test_torchvision_weights_with_new_head(
    checkpoint: dict[str, torch.Tensor], weights: str
) -> None:
    backbone = build_backbone(SMALL, 7, weights)
    state = backbone.network.state_dict()
    for key, value in checkpoint.items():
        if not key.startswith("fc."):
            assert torch.equal(state[key], value), key
    assert state["fc.weight"].shape == (7, 1024) and state["fc.bias"].shape == (7,)
    assert backbone.head == "fc" and backbone.origin == "torchvision IMAGENET1K_V1"
    transform = WEIGHTS.DEFAULT.transforms()
    assert (backbone.mean, backbone.std) == (tuple(transform.mean), tuple(transform.std))
    assert backbone.interpolation == "bilinear"


def test_weights_none_loads_none(checkpoint: dict[str, torch.Tensor]) -> None:
    state = build_backbone(SMALL, 7, "none").network.state_dict()
    assert not torch.equal(state["conv1.0.weight"], checkpoint["conv1.0.weight"])


def test_unknown_weights_name_lists_names() -> None:
    line = refusal("torchvision/resnet50", "IMAGENET1K_V3")
    assert "'IMAGENET1K_V3'" in line and "IMAGENET1K_V1, IMAGENET1K_V2" in line
    for name in ("timm/test_resnet", "offline/efficientnet_lite0"):
        assert "default, none or a file" in refusal(name, "IMAGENET1K_V1")


def test_missing_torchvision_file_names_remedy(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    line = refusal(SMALL, "default")
    file = Path(WEIGHTS.DEFAULT.url).name
    assert f"weights file {file} is not here and cannot be fetched" in line
    assert str(hub / file) in line and "Name or service not known" in line
    assert "model.backbone=offline/efficientnet_lite0" in line


def test_paper_weights_are_requested_by_name(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[str] = []

    def note(url: str, *_: object, **__: object) -> None:
        urls.append(url)
        raise urllib.error.URLError("offline")

    monkeypatch.setattr(torch.hub, "download_url_to_file", note)
    # A small layer instead of 84 M parameters.
    monkeypatch.setattr(models, "get_model", lambda name, weights: nn.Linear(1, 1))
    line = refusal("torchvision/resnext101_64x4d", "IMAGENET1K_V1")
    assert urls == [models.ResNeXt101_64X4D_Weights.IMAGENET1K_V1.url]
    assert str(hub / Path(urls[0]).name) in line


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(1000)])
def test_damaged_torchvision_file_is_named(hub: Path, content: bytes) -> None:
    hub.mkdir(parents=True)
    (hub / Path(WEIGHTS.DEFAULT.url).name).write_bytes(content)
    line = refusal(SMALL, "default")
    assert "is damaged" in line and str(hub) in line


def test_truncated_torchvision_file_is_damaged(
    hub: Path, checkpoint: dict[str, torch.Tensor]
) -> None:
    file = hub / Path(WEIGHTS.DEFAULT.url).name
    file.write_bytes(file.read_bytes()[:-5000])
    assert "is damaged" in refusal(SMALL, "default")


def test_code_in_torchvision_file_is_not_run(hub: Path, malice) -> None:  # type: ignore[no-untyped-def]
    hub.mkdir(parents=True)
    torch.save({"fc.weight": malice}, hub / Path(WEIGHTS.DEFAULT.url).name)
    assert "is damaged" in refusal(SMALL, "default")
    assert not malice.file.exists()


TIMM = """
import sys
from pathlib import Path
import timm, torch
from safetensors.torch import save_file
from huggingface_hub.constants import HF_HUB_CACHE
from bestiary.errors import WeightsError
from bestiary.model.backbone import build_backbone

name = "test_resnet.r160_in1k"
try:
    build_backbone("timm/" + name, 7)
except WeightsError as error:
    print("MISSING", error)
torch.manual_seed(5)
donor = timm.create_model(name, pretrained=False)
repository = Path(HF_HUB_CACHE) / "models--timm--test_resnet.r160_in1k"
snapshot = repository / "snapshots" / ("0" * 40)
snapshot.mkdir(parents=True)
(repository / "refs").mkdir()
(repository / "refs" / "main").write_text("0" * 40)
save_file(donor.state_dict(), snapshot / "model.safetensors")
backbone = build_backbone("timm/" + name, 7)
state, head = backbone.network.state_dict(), backbone.head
body = [k for k in donor.state_dict() if not k.startswith(head + ".")]
assert len(body) > 20 and all(torch.equal(state[k], donor.state_dict()[k]) for k in body)
print("LOADED", backbone.origin, state[head + ".weight"].shape[0], head)
without_tag = build_backbone("timm/test_resnet", 7).network.state_dict()
assert all(torch.equal(without_tag[k], donor.state_dict()[k]) for k in body)
(snapshot / "model.safetensors").write_bytes(b"<html>404</html>")
try:
    build_backbone("timm/" + name, 7)
except WeightsError as error:
    print("DAMAGED", error)
"""


@pytest.mark.slow
def test_timm_weights_from_hugging_face_cache(
    tmp_path: Path,
) -> None:
    # In a process of its own: the hub's library reads its environment when it is imported.
    home = {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "TORCH_HOME": str(tmp_path / "torch"),
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | home
    done = subprocess.run(
        [sys.executable, "-c", TIMM], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    missing, loaded, damaged = done.stdout.splitlines()
    folder = str(tmp_path / "hf" / "hub" / "models--timm--test_resnet.r160_in1k")
    assert missing.startswith(
        "MISSING weights file model.safetensors of timm/test_resnet.r160_in1k is not here"
    )
    assert folder in missing and "model.weights=FILE.safetensors" in missing
    assert "model.backbone=offline/efficientnet_lite0" in missing
    assert loaded == "LOADED timm r160_in1k 7 fc"
    assert damaged.startswith("DAMAGED") and "model.safetensors" in damaged


def test_timm_preprocessing_is_of_the_weights() -> None:
    backbone = build_backbone("timm/tf_efficientnet_lite0.in1k", 3, "none")
    assert backbone.mean == (0.5, 0.5, 0.5) and backbone.std == (0.5, 0.5, 0.5)
    assert backbone.interpolation == "bicubic"
    assert build_backbone("timm/test_vit.r160_in1k", 3, "none").mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "name", ["torchvision/resnet152", "timm/resnest200e", "timm/seresnextaa101d_32x8d"]
)
def test_published_networks_can_be_built(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, 100, "none")
    assert backbone.network.get_submodule(backbone.head).out_features == 100  # type: ignore[union-attr]


def test_paper_network_has_81_6_m_parameters() -> None:
    classifier = build_classifier("torchvision/resnext101_64x4d", 100, "none")
    assert sum(p.numel() for p in classifier.parameters()) == 81_611_172  # "81.6 M"
    assert classifier.head_layer.out_features == 100 and classifier.head == "fc"
    assert classifier.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 100)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("torchvision/vit_b_16", "heads.head"),
        ("torchvision/mobilenet_v3_small", "classifier.3"),
        ("torchvision/densenet121", "classifier"),
        ("torchvision/convnext_tiny", "classifier.2"),
        ("timm/convnext_atto", "head.fc"),
        ("timm/vit_tiny_patch16_224", "head"),
    ],
)
def test_head_is_last_linear_layer(name: str, head: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, 5, "none")
    assert backbone.head == head == last_linear(backbone.network)
    assert backbone.network.get_submodule(head).out_features == 5  # type: ignore[union-attr]
