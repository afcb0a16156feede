"""A user's weights file: loaded where it fits, refused otherwise, and never executed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bestiary.errors import WeightsError
from bestiary.model.backbone import build_backbone

NAME = "timm/test_resnet"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state(randomize: Callable[[nn.Module, int], nn.Module]) -> State:
    """Weights of the network with five classes."""
    return randomize(timm.create_model("test_resnet", num_classes=5), 3).state_dict()


def write(state: object, file: Path) -> Path:
    if file.suffix == ".safetensors":
        save_file(state, file)  # type: ignore[arg-type]
    else:
        torch.save(state, file)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        build_backbone(NAME, 5, str(file))
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_fitting_file_is_loaded_with_head(tmp_path: Path, state: State, suffix: str) -> None:
    backbone = build_backbone(NAME, 5, str(write(state, tmp_path / f"mine{suffix}")))
    loaded = backbone.network.state_dict()
    assert loaded.keys() == state.keys() and all(
        torch.equal(loaded[key], state[key]) for key in state
    )
    assert backbone.origin == f"file mine{suffix}"
    assert backbone.mean == build_backbone(NAME, 5, "none").mean


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_head_of_other_size_stays_new(tmp_path: Path, state: State, suffix: str) -> None:
    backbone = build_backbone(NAME, 9, str(write(state, tmp_path / f"mine{suffix}")))
    loaded = backbone.network.state_dict()
    assert loaded[f"{backbone.head}.weight"].shape[0] == 9
    assert all(
        torch.equal(loaded[k], state[k]) for k in state if not k.startswith(f"{backbone.head}.")
    )


def test_file_without_head_is_loaded(tmp_path: Path, state: State) -> None:
    body = {key: value for key, value in state.items() if not key.startswith("fc.")}
    loaded = build_backbone(
        NAME, 5, str(write(body, tmp_path / "body.safetensors"))
    ).network.state_dict()
    assert all(torch.equal(loaded[key], body[key]) for key in body)


def test_wrapped_state_dict_is_loaded(tmp_path: Path, state: State) -> None:
    file = write({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pth")
    assert torch.equal(
        build_backbone(NAME, 5, str(file)).network.state_dict()["fc.bias"], state["fc.bias"]
    )


def test_misfit_weights_are_named(tmp_path: Path, state: State) -> None:
    first = next(iter(state))
    lacking = {key: value for key, value in state.items() if key != first}
    assert f"lacks {first};" in refusal(write(lacking, tmp_path / "a.pth"))
    assert "has the unknown extra.x;" in refusal(
        write({**state, "extra.x": torch.ones(1)}, tmp_path / "b.pth")
    )
    other = {**state, first: torch.ones(1, 2, 3, 4)}
    assert f"has another shape for {first};" in refusal(write(other, tmp_path / "c.safetensors"))
    foreign = timm.create_model("test_vit", num_classes=5).state_dict()
    line = refusal(write(foreign, tmp_path / "d.safetensors"))
    assert "lacks" in line and "more; is it of this backbone?" in line


def test_code_in_weights_file_is_not_run(tmp_path: Path, state: State, malice) -> None:  # type: ignore[no-untyped-def]
    for index, content in enumerate(({**state, "extra": malice}, malice, [malice])):
        line = refusal(write(content, tmp_path / f"malicious{index}.pth"))
        assert "could run code, and is refused" in line and ".safetensors" in line
        assert not malice.file.exists()
    torch.load(tmp_path / "malicious1.pth", weights_only=False)
    assert malice.file.exists()  # without weights_only, the file does run code


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights_file_is_refused(
    tmp_path: Path, state: State, suffix: str, share: float
) -> None:
    file = write(state, tmp_path / f"cut{suffix}")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert "is not a whole weights file" in refusal(file)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "content",
    [b"<html>404 not found</html>", b"plain text\n", bytes(100)],
    ids=["html", "text", "zeros"],
)
def test_file_without_weights_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"page{suffix}").write_bytes(content)
    assert "is not a whole weights file" in refusal(tmp_path / f"page{suffix}")


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": 1}, torch.ones(3), {"state_dict": {"a": "text"}}]
)
def test_non_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    assert "is no state dict" in refusal(write(content, tmp_path / "other.pth"))


def test_missing_weights_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone.safetensors")
    (tmp_path / "folder.pth").mkdir()
    assert "no such file" in refusal(tmp_path / "folder.pth")


@pytest.mark.parametrize("name", ["torchvision/shufflenet_v2_x0_5", "offline/efficientnet_lite0"])
def test_every_library_loads_a_weights_file(
    tmp_path: Path, name: str, randomize: Callable[[nn.Module, int], nn.Module]
) -> None:
    donor = randomize(build_backbone(name, 11, "none").network, 4).state_dict()
    backbone = build_backbone(name, 3, str(write(donor, tmp_path / "mine.safetensors")))
    loaded = backbone.network.state_dict()
    assert all(
        torch.equal(loaded[k], donor[k]) for k in donor if not k.startswith(f"{backbone.head}.")
    )
    assert loaded[f"{backbone.head}.weight"].shape[0] == 3
