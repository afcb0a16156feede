"""A backbone's name -> a network whose last layer has the classes asked for, and the input that its
weights expect.

Names are ``torchvision/NAME``, ``timm/NAME[.tag]`` and ``offline/efficientnet_lite0`` to ``lite2``.
Weights are loaded by the libraries' own code from the places where those look. Knows nothing of
images or training.
"""

import difflib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from bestiary.errors import WeightsError
from bestiary.model import offline
from bestiary.model.weights import load_weights_file, reason_of

OFFLINE_HINT = (
    f"or use a backbone that needs no connection: --set model.backbone=offline/{offline.NAMES[0]}"
)
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network and what its weights expect of an image.

    Attributes:
        network: maps float (n, 3, height, width) to logits (n, classes).
        head: dotted name of its last linear layer.
        mean: per channel, of images scaled to 0...1.
        std: per channel.
        interpolation: how images smaller than the view are enlarged.
        origin: where the weights came from, in words.
    """

    network: nn.Module
    head: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Interpolation
    origin: str


def build_backbone(name: str, classes: int, weights: str = "default") -> Backbone:
    """Build the network `name` with `classes` outputs.

    Args:
        name: ``torchvision/NAME``, ``timm/NAME[.tag]`` or ``offline/efficientnet_lite0`` to
            ``lite2``.
        classes: number of outputs.
        weights: ``default``, ``none``, the name of a torchvision weights entry such as
            ``IMAGENET1K_V1``, or the path of a .safetensors or .pth file with a state dict.

    Raises:
        WeightsError: the name is unknown, or the weights are missing, not to be had without a
            connection, or do not fit.
    """
    library, slash, architecture = name.partition("/")
    builders = {"torchvision": _from_torchvision, "timm": _from_timm, "offline": _from_offline}
    if not slash or library not in builders:
        raise WeightsError(
            f"model.backbone = {name!r}: must start with torchvision/, timm/ or offline/, "
            "for example torchvision/resnet50"
        )
    file = Path(weights) if weights.endswith((".safetensors", ".pth", ".pt")) else None
    backbone = builders[library](architecture, classes, "none" if file else weights)
    if file is None:
        return backbone
    load_weights_file(backbone.network, file, backbone.head)
    return Backbone(
        backbone.network,
        backbone.head,
        backbone.mean,
        backbone.std,
        backbone.interpolation,
        f"file {file.name}",
    )


def weights_are_here(name: str) -> bool:
    """Whether the default weights of the backbone `name` can be had without a connection; nothing
    is fetched or built.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):  # an unknown name is told; takes no memory
        build_backbone(name, 2, "none")
    library, _, architecture = name.partition("/")
    if library == "offline":
        with suppress(WeightsError):
            return offline.weights_file(architecture).is_file()
        return False
    if library == "torchvision":
        from torchvision import models

        entry = models.get_model_weights(architecture).DEFAULT
        return _torchvision_file(entry).is_file()
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(architecture)
    return bool(config and config.hf_hub_id) and isinstance(
        try_to_load_from_cache(config.hf_hub_id, "model.safetensors"), str
    )


def last_linear(network: nn.Module) -> str:
    """The dotted name of the network's last linear layer, its head."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise WeightsError(
            "this backbone has no linear last layer, so that its classes cannot be changed; choose "
            "another"
        )
    return str(names[-1])


def enlarging(interpolation: str) -> Interpolation:
    """The nearer of the two ways that bestiary enlarges images by."""
    return "bicubic" if interpolation == "bicubic" else "bilinear"


def _from_torchvision(architecture: str, classes: int, weights: str) -> Backbone:
    from torchvision import models

    if architecture not in models.list_models(module=models):
        raise _unknown("torchvision", architecture, models.list_models(module=models))
    if architecture in ("googlenet", "inception_v3"):
        raise WeightsError(
            f"model.backbone = 'torchvision/{architecture}': trains with further outputs, which "
            f"bestiary does not; "
            f"choose another, for example timm/{architecture}"
        )
    entries = models.get_model_weights(architecture)
    if weights == "none":
        entry = None
    elif weights == "default":
        entry = entries.DEFAULT
    elif weights in entries.__members__:
        entry = entries[weights]
    else:
        known = ", ".join(["default", "none", *entries.__members__])
        raise WeightsError(f"model.weights = {weights!r}: torchvision/{architecture} has {known}")
    network = models.get_model(architecture, weights=None)
    if entry is not None:
        network.load_state_dict(_torchvision_state(entry))
    head = last_linear(network)
    old = network.get_submodule(head)
    assert isinstance(old, nn.Linear)
    network.set_submodule(head, nn.Linear(old.in_features, classes, bias=old.bias is not None))
    expected = (entry or entries.DEFAULT).transforms()
    return Backbone(
        network,
        head,
        tuple(expected.mean),
        tuple(expected.std),
        enlarging(expected.interpolation.value),
        f"torchvision {entry.name}" if entry else "none",
    )


def _torchvision_state(entry: Any) -> Mapping[str, torch.Tensor]:
    place = _torchvision_file(entry)
    try:
        # weights_only: what lies at that place may have been put there by anybody
        state: Mapping[str, torch.Tensor] = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # urllib, pickle and the file system each raise their own
        what = "is damaged" if place.exists() else "is not here and cannot be fetched"
        raise WeightsError(
            f"weights file {place.name} {what} ({reason_of(error)}); put it at {place}, "
            f"{OFFLINE_HINT}"
        ) from None
    return state


def _torchvision_file(entry: Any) -> Path:
    """Where torchvision keeps a file of weights that it has fetched."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(entry.url).name)


def _from_timm(architecture: str, classes: int, weights: str) -> Backbone:
    import timm

    if weights not in ("default", "none"):
        raise WeightsError(
            f"model.weights = {weights!r}: timm/{architecture} takes default, none or a file; "
            "timm's other weights are chosen by the tag in the name, timm/NAME.TAG"
        )
    base, _, tag = architecture.partition(".")
    if not timm.is_model(base):
        raise _unknown("timm", architecture, timm.list_models())
    if tag and architecture not in timm.list_pretrained(f"{base}.*"):
        raise _unknown("timm", architecture, timm.list_pretrained(f"{base}.*"))
    try:
        network = timm.create_model(
            architecture, pretrained=weights == "default", num_classes=classes
        )
    except Exception as error:  # the hub, the file system and the state dict each raise their own
        raise WeightsError(
            f"{_wanted_timm_file(architecture)} ({reason_of(error)}); {OFFLINE_HINT}"
        ) from None
    if not isinstance(network.get_classifier(), nn.Linear):
        raise WeightsError(
            f"model.backbone = 'timm/{architecture}': has no single linear last layer; choose "
            f"another"
        )
    config = timm.data.resolve_model_data_config(network)
    origin = (
        f"timm {network.pretrained_cfg.get('tag') or 'default'}" if weights == "default" else "none"
    )
    return Backbone(
        network,
        last_linear(network),
        tuple(config["mean"]),
        tuple(config["std"]),
        enlarging(config["interpolation"]),
        origin,
    )


def _wanted_timm_file(architecture: str) -> str:
    import timm
    from huggingface_hub.constants import HF_HUB_CACHE

    config = timm.get_pretrained_cfg(architecture)
    if config is None or not config.hf_hub_id:
        return f"weights of timm/{architecture} are not here and cannot be fetched"
    folder = Path(HF_HUB_CACHE) / f"models--{config.hf_hub_id.replace('/', '--')}"
    return (
        f"weights file model.safetensors of {config.hf_hub_id} is not here and cannot be fetched; "
        f"put its snapshot "
        f"into {folder}, or name the file by --set model.weights=FILE.safetensors"
    )


def _from_offline(architecture: str, classes: int, weights: str) -> Backbone:
    import timm

    if architecture not in offline.NAMES:
        raise _unknown("offline", architecture, list(offline.NAMES))
    if weights not in ("default", "none"):
        raise WeightsError(
            f"model.weights = {weights!r}: offline/{architecture} takes default, none or a file"
        )
    network = timm.create_model(f"tf_{architecture}", pretrained=False)
    if weights == "default":
        network.load_state_dict(offline.package_state(architecture, network))
    network.reset_classifier(classes)
    origin = offline.package_of(architecture) if weights == "default" else "none"
    return Backbone(
        network, last_linear(network), offline.MEAN, offline.STD, offline.INTERPOLATION, origin
    )


def _unknown(library: str, architecture: str, known: list[str]) -> WeightsError:
    near = difflib.get_close_matches(architecture, known, 3, 0.3)
    hint = (
        f"did you mean {', '.join(f'{library}/{n}' for n in near)}?"
        if near
        else f"see {library}'s list of models"
    )
    return WeightsError(
        f"model.backbone = '{library}/{architecture}': {library} has no such network; {hint}"
    )
