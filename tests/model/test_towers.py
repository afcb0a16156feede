"""Towers of timm and open_clip from a hub's cache that the test fills with random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from bestiary.beasts.sample import draw_sample
from bestiary.errors import BestiaryError, DamagedError, WeightsError
from bestiary.model import hub
from bestiary.model.architecture import Architecture, build_network, to_json
from bestiary.model.backbone import build_backbone, weights_are_local
from bestiary.model.classifier import build_classifier, load_member, save_member
from bestiary.model.image_sizes import with_own_size
from bestiary.model.tensor_file import read_tensors, write_tensors
from bestiary.recipe.load import load_recipe

MEAN = [0.4, 0.5, 0.6]
STD = [0.2, 0.25, 0.3]
TIMM_TOWERS = {
    "vit_small_patch14_reg4_dinov2": {"depth": 1, "img_size": 28},
    "vit_small_patch16_dinov3": {"depth": 1, "img_size": 32},
    "vit_pe_core_tiny_patch16_384": {"depth": 1, "img_size": 32},
    "eva02_tiny_patch14_224": {"depth": 1, "img_size": 28},
    "vit_base_patch16_siglip_224": {"depth": 1, "img_size": 32, "embed_dim": 48, "num_heads": 3},
    "test_convnext": {},
}
CLIP_VISION = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty, and no connection."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    return folder


def put(cache: Path, repository: str, files: dict[str, Any]) -> None:
    """Put files where the hub's library looks."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    for name, content in files.items():
        if name.endswith(".json"):
            (snapshot / name).write_text(json.dumps(content))
        elif name.endswith(".bin"):
            torch.save(content, snapshot / name)
        else:
            save_file({key: value.contiguous() for key, value in content.items()}, snapshot / name)


def put_timm(cache: Path, name: str, arguments: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Put a network of timm with random weights; return these."""
    network = build_network(Architecture("timm", name, arguments), 3)
    state = network.state_dict()
    side = arguments.get("img_size", 64)
    config = {"input_size": [3, side, side], "mean": MEAN, "std": STD, "license": "mit"}
    description = {"architecture": name, "pretrained_cfg": config, "model_args": arguments}
    put(cache, f"org/{name}", {"config.json": description, "model.safetensors": state})
    return state


def put_clip(
    cache: Path, vision: dict[str, Any], file: str = "open_clip_model.safetensors"
) -> dict[str, torch.Tensor]:
    """Put an image tower of open_clip, with a text tower that nobody wants."""
    pytest.importorskip("open_clip")
    network = build_network(Architecture("open_clip", "", vision, 24), 3)
    tower = network.get_submodule("tower").state_dict()
    state = {f"visual.{key}": value for key, value in tower.items()}
    state["text.positional_embedding"] = torch.zeros(3, 3)
    model = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {"hf_model_name": "org/text"}}
    preprocessing = {"mean": MEAN, "std": STD, "interpolation": "bicubic"}
    description = {"model_cfg": model, "preprocess_cfg": preprocessing}
    put(cache, "org/clip", {"open_clip_config.json": description, file: state})
    return tower


@pytest.mark.parametrize("name", TIMM_TOWERS)
def test_timm_tower_has_its_weights(cache: Path, tmp_path: Path, name: str) -> None:
    state = put_timm(cache, name, TIMM_TOWERS[name])
    backbone_name = f"hf-hub:org/{name}"
    assert weights_are_local(backbone_name)
    classifier = build_classifier(backbone_name, 5).eval()
    own = classifier.network.state_dict()
    for key, value in state.items():
        if not key.startswith(f"{classifier.head}."):
            torch.testing.assert_close(own[key], value)
    assert classifier.mean.flatten().tolist() == pytest.approx(MEAN)

    # The member is built again without the hub.
    side = with_own_size(load_recipe("foundation", [f"model.backbone={backbone_name}"])).view.size
    views = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    images = classifier.preprocess(views)
    with torch.no_grad():
        logits = classifier(images)
        assert classifier.features(images).shape == (2, classifier.head_layer.in_features)
    save_member(classifier, tmp_path / "member.safetensors")
    constants.HF_HUB_CACHE = str(tmp_path / "nowhere")
    member = load_member(tmp_path / "member.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(member(member.preprocess(views)), logits)


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_open_clip_tower_has_its_weights(cache: Path, tmp_path: Path, file: str) -> None:
    tower = put_clip(cache, CLIP_VISION, file)
    classifier = build_classifier("hf-hub:org/clip", 5).eval()
    for key, value in classifier.network.get_submodule("tower").state_dict().items():
        torch.testing.assert_close(value, tower[key])
    assert classifier.features(torch.zeros(2, 3, 32, 32)).shape == (2, 24)
    save_member(classifier, tmp_path / "member.safetensors")
    constants.HF_HUB_CACHE = str(tmp_path / "nowhere")
    member = load_member(tmp_path / "member.safetensors")
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(member(images), classifier(images))


@pytest.mark.slow
def test_siglip_of_open_clip_has_its_weights(cache: Path) -> None:
    vision = {
        "image_size": 256,
        "timm_model_name": "vit_base_patch32_siglip_256",
        "timm_pool": "map",
        "timm_proj": "linear",
    }
    put_clip(cache, vision)
    assert build_backbone("hf-hub:org/clip", 2).side == 256


def test_listed_tower_names_its_repository(cache: Path) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(WeightsError, match="ViT-B-32-SigLIP2-256 is not here"):
        build_backbone("open_clip:ViT-B-32-SigLIP2-256/webli", 2)
    with pytest.raises(WeightsError, match="choose open_clip:ViT-B-32-SigLIP2-256/TAG"):
        build_backbone("open_clip:ViT-B-32-SigLIP2-256", 2)
    with pytest.raises(WeightsError, match="has no such network"):
        build_backbone("open_clip:ViT-Z/webli", 2)


def test_missing_tower_is_one_line(
    cache: Path, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    name = "model.backbone=hf-hub:imageomics/bioclip-2"
    line = fails("train", beasts, tmp_path / "run", "--recipe", "foundation", "--set", name)
    assert "open_clip_config.json of imageomics/bioclip-2 is not here" in line
    assert str(cache / "models--imageomics--bioclip-2") in line


def test_missing_open_clip_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(WeightsError, match=r"pip install 'bestiary\[foundation\]'"):
        build_backbone("open_clip:ViT-B-32/openai", 2)


@pytest.mark.parametrize(
    "name", ["hf-hub:one", "hf-hub:../../etc/passwd", "hf-hub:a/b/c", "hf-hub:"]
)
def test_name_that_is_no_repository(name: str) -> None:
    with pytest.raises(WeightsError, match="must look like hf-hub:ORG/NAME"):
        build_backbone(name, 2)


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"library": "timm", "name": "test_vit", "arguments": {"pretrained": True}},
        {"library": "timm", "name": "test_vit", "arguments": {"checkpoint_path": "/etc/passwd"}},
        {"library": "timm", "name": "test_vit", "arguments": {"depth": 10**9}},
        {"library": "timm", "name": "test_vit", "arguments": {"depth": float("nan")}},
        {"library": "timm", "name": "test_vit", "arguments": {str(i): i for i in range(99)}},
        {"library": "timm", "name": "test_vit", "arguments": {"depth": 5000}},
        {"library": "timm", "name": "hf-hub:org/name", "arguments": {}},
        {"library": "open_clip", "arguments": {"timm_model_name": "hf-hub:org/name"}},
        {"library": "os", "name": "system", "arguments": {}},
        {"library": "open_clip", "embedding": 10**9, "arguments": {}},
        {"library": "timm", "name": "test_vit", "extra": 1},
    ],
)
def test_foreign_architecture_is_refused(content: object) -> None:
    with pytest.raises(WeightsError, match="not usable"):
        Architecture.of(content)


def test_strangers_member_fetches_nothing(cache: Path, tmp_path: Path) -> None:
    """A member without its architecture is refused, and not looked up on the hub."""
    put_timm(cache, "test_convnext", {})
    classifier = build_classifier("hf-hub:org/test_convnext", 2)
    file = tmp_path / "member.safetensors"
    save_member(classifier, file)
    tensors, card = read_tensors(file)
    assert card["architecture"] == to_json(Architecture("timm", "test_convnext"))
    del card["architecture"]
    write_tensors(file, tensors, card)
    with pytest.raises(BestiaryError, match="not usable"):
        load_member(file)


def test_member_of_another_architecture_is_refused(cache: Path, tmp_path: Path) -> None:
    put_timm(cache, "test_convnext", {})
    file = tmp_path / "member.safetensors"
    save_member(build_classifier("hf-hub:org/test_convnext", 2), file)
    tensors, card = read_tensors(file)
    card["architecture"]["name"] = "test_resnet"
    write_tensors(file, tensors, card)
    with pytest.raises(DamagedError, match="does not fit"):
        load_member(file)


def test_weights_of_another_tower_are_refused(cache: Path) -> None:
    put_timm(cache, "test_convnext", {})
    put(cache, "org/test_convnext", {"model.safetensors": {"a": torch.zeros(3)}})
    with pytest.raises(WeightsError, match="does not fit hf-hub:org/test_convnext"):
        build_backbone("hf-hub:org/test_convnext", 2)


def test_license_and_size_are_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(hub, "_facts", lambda *_: (372_000_000, "apache-2.0"))
    hub.say_before_download("org/tower", ("model.safetensors",))
    printed = capsys.readouterr()
    assert "weights of org/tower: 372 MB, license apache-2.0" in printed.err + printed.out
    monkeypatch.setattr(hub, "_facts", lambda *_: (0, ""))
    hub.say_before_download("org/tower", ("model.safetensors",))
    printed = capsys.readouterr()
    assert "size unknown, license unknown" in printed.err + printed.out


@pytest.mark.slow
def test_foundation_run_works_downstream(cache: Path, beasts: Path, tmp_path: Path) -> None:
    import bestiary

    put_timm(cache, "vit_small_patch14_reg4_dinov2", {"depth": 1, "img_size": 28})
    name = "model.backbone=hf-hub:org/vit_small_patch14_reg4_dinov2"
    run = bestiary.train(
        beasts, tmp_path / "run", recipe="foundation", overrides=[name], folds=3, quiet=True
    )
    assert run.read_recipe().view.size == 28
    constants.HF_HUB_CACHE = str(tmp_path / "nowhere")
    images = sorted(beasts.rglob("*.jpg"))
    assert len(bestiary.load(run.path).predict(images)) == 27
    bestiary.report(run.path)
    assert "hf-hub:org/vit_small" in str(bestiary.show(run.path))
    exported = bestiary.export(run.path, tmp_path / "model.onnx", quiet=True)
    assert exported is not None
    bestiary.evaluate(run.path, more_beasts(tmp_path), quiet=True)


def more_beasts(tmp_path: Path) -> Path:
    """The same nine images of each species, and two more."""
    draw_sample(tmp_path / "more", species=3, per_species=11, size=48)
    return tmp_path / "more"
