"""LoRA: which layers get adapters, what merging keeps, and what is refused."""

import sys

import pytest
import torch

from bestiary.errors import RecipeError
from bestiary.model.architecture import Architecture, build_network
from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.lora import add_lora, merged

pytest.importorskip("peft")
SIDE = 32
CLIP = {"image_size": SIDE, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
TIMM = {
    "vit_tiny_patch16_224": {"depth": 2, "img_size": SIDE},
    "eva02_tiny_patch14_224": {"depth": 2, "img_size": 28},
    "beit_base_patch16_224": {"depth": 1, "img_size": SIDE, "embed_dim": 48, "num_heads": 3},
}


def tower(name: str) -> tuple[Classifier, int]:
    """A small transformer with random weights, and the side of its images."""
    torch.manual_seed(0)
    if name == "open_clip":
        pytest.importorskip("open_clip")
        network = build_network(Architecture("open_clip", "", CLIP, 24), 3)
    else:
        network = build_network(Architecture("timm", name, TIMM[name]), 3)
    backbone = Backbone(network, "head", (0.5,) * 3, (0.5,) * 3, "bicubic", "none")
    return Classifier(name, backbone).eval(), TIMM.get(name, {}).get("img_size", SIDE)


@pytest.mark.parametrize("name", ["open_clip", *TIMM])
def test_every_adapter_learns_and_is_merged(name: str) -> None:
    """Some towers read a layer's weight without calling it: an adapter there would do nothing."""
    classifier, side = tower(name)
    keys = set(classifier.state_dict())
    images = torch.randn(4, 3, side, side)
    before = classifier(images)
    add_lora(classifier, 2, side)
    torch.testing.assert_close(classifier(images), before)

    # One step of every trainable weight, large enough to see.
    trained = {key for key, one in classifier.named_parameters() if one.requires_grad}
    assert all(".lora_" in key or key.startswith("network.head.") for key in trained)
    for _ in range(2):  # the second of two matrices is zero at first, which hides the other's
        classifier(images).square().sum().backward()
        with torch.no_grad():
            for key, value in classifier.named_parameters():
                if key in trained and value.grad is not None:
                    value -= 0.05 * value.grad.sign()
    silent = [
        key
        for key, value in classifier.named_parameters()
        if key in trained and (value.grad is None or not value.grad.any())
    ]
    assert not silent

    # The merged copy answers alike, and is a network like any other.
    after = classifier(images)
    plain = merged(classifier)
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(plain(images), after, rtol=1e-4, atol=1e-4)
    assert set(plain.state_dict()) == keys
    assert not any(type(module).__module__.startswith("peft") for module in plain.modules())
    torch.testing.assert_close(classifier(images), after)


def test_weights_of_adapters_follow_the_seed() -> None:
    def adapters(seed: int) -> list[torch.Tensor]:
        classifier, side = tower("vit_tiny_patch16_224")
        torch.manual_seed(99 + seed)  # what came before must not matter
        add_lora(classifier, 2, side, seed)
        return [value for key, value in classifier.named_parameters() if "lora_A" in key]

    first, again, other = adapters(5), adapters(5), adapters(6)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_network_without_linear_layers_is_refused() -> None:
    classifier = build_classifier("timm/test_resnet", 3, "none")
    words = r"model\.lora = 4: timm/test_resnet has no linear layers besides its head; choose a tr"
    with pytest.raises(RecipeError, match=words):
        add_lora(classifier, 4, SIDE)


def test_missing_peft_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    classifier, side = tower("vit_tiny_patch16_224")
    words = r"model\.lora = 4: needs the package peft; pip install 'bestiary\[lora\]'"
    with pytest.raises(RecipeError, match=words):
        add_lora(classifier, 4, side)
