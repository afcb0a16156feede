"""The classifier: preprocess, features and stages; its file gives the same network back."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bestiary.errors import RunError, WeightsError
from bestiary.model.classifier import (
    Classifier,
    build_classifier,
    load_member,
    open_member,
    save_member,
)
from bestiary.model.compute import memory_format
from bestiary.model.image_sizes import input_size_errors

Randomize = Callable[[nn.Module, int], nn.Module]
NETWORKS = [
    "torchvision/shufflenet_v2_x0_5",
    "timm/test_resnet",
    "timm/test_vit",
    "offline/efficientnet_lite0",
]


@pytest.fixture
def small(randomize: Randomize) -> Classifier:
    classifier = build_classifier("torchvision/shufflenet_v2_x0_5", 4, "none")
    randomize(classifier.network, 7)
    return classifier.eval()


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    """Three views of 160 x 160 random pixels."""
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_preprocess_scales_and_normalizes(name: str, views: torch.Tensor) -> None:
    classifier = build_classifier(name, 4, "none")
    mean = classifier.mean.double().view(3)
    std = classifier.std.double().view(3)
    images = classifier.preprocess(views)
    assert images.dtype == torch.float32 and images.shape == (3, 3, 160, 160)
    for channel in range(3):
        expected = (views[..., channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(images[:, channel].double(), expected, atol=1e-5, rtol=1e-5)


def test_torchvision_preprocess_is_imagenet() -> None:
    classifier = build_classifier("torchvision/resnet18", 4, "none")
    torch.testing.assert_close(classifier.mean.view(3), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(classifier.std.view(3), torch.tensor([0.229, 0.224, 0.225]))


def test_preprocess_without_normalization(views: torch.Tensor) -> None:
    classifier = build_classifier("timm/test_resnet", 4, "none", normalize=False)
    torch.testing.assert_close(classifier.preprocess(views), views.permute(0, 3, 1, 2) / 255)
    assert classifier.preprocess(
        torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)
    ).unique().tolist() == [1.0]


def test_mean_and_std_are_saved_and_not_trained(small: Classifier) -> None:
    assert {"mean", "std"} <= small.state_dict().keys()
    assert not {"mean", "std"} & {name for name, _ in small.named_parameters()}


@pytest.mark.parametrize(
    "name", [*NETWORKS, "torchvision/mobilenet_v3_small", "timm/test_convnext"]
)
def test_head_of_features_gives_logits(
    name: str, views: torch.Tensor, randomize: Randomize
) -> None:
    classifier = build_classifier(name, 4, "none")
    classifier.eval()
    with torch.inference_mode():
        images = classifier.preprocess(views)
        features = classifier.features(images)
        logits = classifier(images)
        torch.testing.assert_close(classifier.head_layer(features), logits)
    assert features.shape == (3, classifier.head_layer.in_features)
    assert logits.shape == (3, 4)
    assert not classifier.head_layer._forward_pre_hooks


def test_features_remove_hook_after_a_failure(small: Classifier) -> None:
    with pytest.raises(RuntimeError):
        small.features(torch.zeros(1, 5, 8, 8))
    assert not small.head_layer._forward_pre_hooks


def kinds(classifier: Classifier) -> list[list[str]]:
    children = {id(child): name for name, child in classifier.network.named_modules()}
    return [[children[id(part)] for part in stage] for stage in classifier.stages()]


def test_stages_of_resnet() -> None:
    assert kinds(build_classifier("torchvision/resnet18", 4, "none")) == [
        ["conv1", "bn1", "relu", "maxpool"],
        ["layer1"],
        ["layer2"],
        ["layer3"],
        ["layer4", "avgpool", "fc"],
    ]


def test_stages_of_efficientnet_lite() -> None:
    stages = kinds(build_classifier("offline/efficientnet_lite0", 4, "none"))
    assert stages[0] == ["conv_stem", "bn1"]
    assert [stage[0] for stage in stages[1:]] == [f"blocks.{i}" for i in range(7)]
    assert (
        stages[-1][0] == "blocks.6" and stages[-1][-1] == "classifier" and "conv_head" in stages[-1]
    )


@pytest.mark.parametrize(
    "name",
    [
        *NETWORKS,
        "torchvision/mobilenet_v3_small",
        "torchvision/efficientnet_b0",
        "torchvision/convnext_tiny",
        "torchvision/vit_b_16",
        "torchvision/densenet121",
        "timm/vit_tiny_patch16_224",
        "timm/convnext_atto",
        "timm/resnest14d",
    ],
)
def test_stages_hold_every_parameter_once(name: str) -> None:
    with torch.device("meta"):
        classifier = build_classifier(name, 4, "none")
    stages = [[id(parameter) for parameter in stage] for stage in classifier.stage_parameters()]
    in_stages = [parameter for stage in stages for parameter in stage]
    assert sorted(in_stages) == sorted(id(p) for p in classifier.network.parameters())
    assert 4 <= len(stages) == len(classifier.stages())
    assert stages[0], "freezing one stage would freeze nothing"
    assert id(classifier.head_layer.weight) in stages[-1]
    bare = {id(p) for p in classifier.network.parameters(recurse=False)}  # such as a class token
    assert bare <= set(stages[0])


@pytest.mark.parametrize(
    ("name", "side", "error"),
    [
        ("timm/vit_tiny_patch16_224", 160, "Input height (160) doesn't match model (224)."),
        ("torchvision/vit_b_16", 160, "Wrong image height! Expected 224 but got 160!"),
        ("timm/vit_tiny_patch16_224", 224, None),
        ("torchvision/resnet18", 77, None),
    ],
)
def test_input_size_errors(name: str, side: int, error: str | None) -> None:
    assert list(input_size_errors(name, [side])) == [error]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("normalize", [True, False])
def test_save_and_load_member_bit_for_bit(
    tmp_path: Path, views: torch.Tensor, randomize: Randomize, name: str, normalize: bool
) -> None:
    classifier = build_classifier(name, 4, "none", normalize)
    randomize(classifier.network, 9)
    classifier.to(memory_format=torch.channels_last).eval()
    save_member(classifier, tmp_path / "fold-0" / "weights.safetensors")
    loaded = load_member(tmp_path / "fold-0" / "weights.safetensors")
    assert not loaded.training and loaded.name == name and loaded.head == classifier.head
    assert (loaded.interpolation, loaded.origin) == (classifier.interpolation, classifier.origin)
    before = classifier.state_dict()
    after = loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (loaded.mean.unique().tolist() == [0.0]) == (not normalize)
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(loaded.preprocess(views)), classifier(classifier.preprocess(views))
        )


def test_a_copy_with_tensors_is_the_member(tmp_path: Path) -> None:
    """Of the second member of a kind no network is built; the first stays as it is."""
    members = [build_classifier("timm/test_vit", 4, "none").eval() for _ in range(2)]
    files = [tmp_path / f"{index}.safetensors" for index in range(2)]
    for member, file in zip(members, files, strict=True):
        save_member(member, file)
    first, second = (open_member(file) for file in files)
    assert first.kind == second.kind
    built = [first.build()]
    built.append(second.build(like=built[0]))
    for member, other in zip(members, built, strict=True):
        assert not other.training
        for name, tensor in member.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    other_head = build_classifier("timm/test_vit", 5, "none")
    save_member(other_head, files[1])
    assert open_member(files[1]).kind != first.kind


def test_member_keeps_interpolation_and_origin(tmp_path: Path, small: Classifier) -> None:
    small.interpolation = "bicubic"
    small.origin = "torchvision IMAGENET1K_V1"
    small.mean.fill_(0.25)
    save_member(small, tmp_path / "m.safetensors")
    loaded = load_member(tmp_path / "m.safetensors")
    assert (loaded.interpolation, loaded.origin) == ("bicubic", "torchvision IMAGENET1K_V1")
    assert loaded.mean.unique().tolist() == [0.25]


def test_member_file_is_tensors_and_card(tmp_path: Path, small: Classifier) -> None:
    file = tmp_path / "m.safetensors"
    save_member(small, file)
    with safe_open(file, "pt") as archive:
        assert (
            json.loads(archive.metadata()["bestiary"])["backbone"]
            == "torchvision/shufflenet_v2_x0_5"
        )
    assert load_file(file).keys() == small.state_dict().keys()
    assert [child.name for child in tmp_path.iterdir() if "tmp" in child.name] == []


def refusal(file: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_member(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_truncated_member_is_refused(tmp_path: Path, small: Classifier, share: float) -> None:
    file = tmp_path / "m.safetensors"
    save_member(small, file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert "is not a whole member" in refusal(file)


def test_missing_or_foreign_member_is_refused(tmp_path: Path) -> None:
    assert "is not a whole member" in refusal(tmp_path / "gone.safetensors")
    (tmp_path / "text.safetensors").write_text("<html>404</html>")
    refusal(tmp_path / "text.safetensors")
    save_file({"weight": torch.ones(3)}, tmp_path / "foreign.safetensors")
    refusal(tmp_path / "foreign.safetensors")
    save_file({"weight": torch.ones(3)}, tmp_path / "noted.safetensors", metadata={"format": "pt"})
    refusal(tmp_path / "noted.safetensors")


def test_member_that_does_not_fit_its_card(tmp_path: Path, small: Classifier) -> None:
    card = {"backbone": "timm/test_resnet", "interpolation": "bilinear", "origin": "none"}
    save_file(
        small.state_dict(), tmp_path / "other.safetensors", metadata={"bestiary": json.dumps(card)}
    )
    assert "does not fit timm/test_resnet" in refusal(tmp_path / "other.safetensors")
    odd = {**small.state_dict(), "network.fc.weight": torch.tensor(1.0)}
    card["backbone"] = small.name
    save_file(odd, tmp_path / "odd.safetensors", metadata={"bestiary": json.dumps(card)})
    refusal(tmp_path / "odd.safetensors")


def test_member_of_unknown_backbone_is_refused(tmp_path: Path, small: Classifier) -> None:
    small.name = "timm/resnet9000_by_nobody"
    save_member(small, tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="timm/resnet9000_by_nobody"):
        load_member(tmp_path / "m.safetensors")


def test_memory_format() -> None:
    assert memory_format(True) is torch.channels_last
    assert memory_format(False) is torch.contiguous_format
