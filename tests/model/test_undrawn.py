"""Undrawn: a network whose weights are loaded is the same, and no random number is drawn for it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bestiary.model.classifier import build_classifier, load_member, save_member
from bestiary.model.undrawn import Undrawn

# Convolutions; attention whose index of positions is in no file.
NETWORKS = ["torchvision/shufflenet_v2_x0_5", "torchvision/swin_v2_t", "timm/test_vit"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_member_is_loaded_as_it_was(name: str, tmp_path: Path) -> None:
    saved = build_classifier(name, 3, "none").eval()
    save_member(saved, tmp_path / "weights.safetensors")
    loaded = load_member(tmp_path / "weights.safetensors")
    ours, theirs = (dict(network.named_buffers()) for network in (loaded, saved))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    state = saved.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


def test_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    with Undrawn():
        network = build_classifier("torchvision/shufflenet_v2_x0_5", 3, "none")
    assert torch.equal(torch.get_rng_state(), before)
    convolution = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
    assert not convolution.weight.any(), "left as it lay in memory"


def test_buffers_are_drawn() -> None:
    with Undrawn():
        buffer = torch.empty(8).uniform_(1, 2)
    assert (buffer >= 1).all()
