"""Build a backbone by name: a torchvision, timm or offline network with pretrained weights.

Names are ``torchvision/NAME``, ``timm/NAME[.tag]``, ``offline/efficientnet_lite0`` to ``lite2``,
and those of `bestiary.model.towers`: ``hf-hub:ORG/NAME`` and ``open_clip:ARCHITECTURE/TAG``.
The last layer gets one output per class. Each library's own code loads the weights from where it
keeps them. Knows nothing of images or training.
"""

import difflib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bestiary.errors import WeightsError
from bestiary.model import hub, offline, towers
from bestiary.model.architecture import Architecture, build_network
from bestiary.model.towers import TIMM_FILES
from bestiary.model.weights import load_weights_file, short_reason
from bestiary.recipe.choices import Interpolation

OFFLINE_HINT = (
    f"or use a backbone that needs no connection: --set model.backbone=offline/{offline.NAMES[0]}"
)
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")
AUXILIARY_OUTPUTS = ("googlenet", "inception_v3")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network, and the preprocessing that its weights expect.

    Attributes:
        network: maps float (n, 3, height, width) to logits (n, classes).
        head: dotted name of its last linear layer.
        mean: of each channel, of images scaled to 0...1.
        std: of each channel.
        interpolation: how images smaller than the view are enlarged.
        origin: where the weights came from, in words.
        side: of the images that the weights were trained with, in pixels.
        architecture: of a tower, to build it again without the hub; None: the name says all.
    """

    network: nn.Module
    head: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Interpolation
    origin: str
    side: int = 224
    architecture: Architecture | None = None


def build_backbone(name: str, classes: int, weights: str = "default") -> Backbone:
    """Build a network by name.

    Args:
        name: ``torchvision/NAME``, ``timm/NAME[.tag]``, ``offline/efficientnet_lite0`` to
            ``lite2``, ``hf-hub:ORG/NAME`` or ``open_clip:ARCHITECTURE/TAG``.
        classes: number of outputs.
        weights: ``default``, ``none``, the name of a torchvision weights entry such as
            ``IMAGENET1K_V1``, or the path of a .safetensors or .pth file with a state dict.

    Returns:
        The network with its preprocessing. A head of another size starts at random.

    Raises:
        WeightsError: the name is unknown, or the weights are missing, cannot be downloaded or do
            not fit.
    """
    library, slash, architecture = name.partition("/")
    builders: dict[str, Callable[[str, int, str], Backbone]] = {
        "torchvision": _from_torchvision,
        "timm": _from_timm,
        "offline": _from_offline,
    }
    if towers.is_tower(name):
        library, slash, architecture = "tower", "/", name
        builders["tower"] = _from_tower
    if not slash or library not in builders:
        raise WeightsError(
            f"model.backbone = {name!r}: must start with torchvision/, timm/, offline/, "
            "hf-hub: or open_clip:, for example torchvision/resnet50"
        )
    build = builders[library]
    if not weights.endswith(WEIGHTS_SUFFIXES):
        return build(architecture, classes, weights)
    backbone = build(architecture, classes, "none")
    file = Path(weights)
    load_weights_file(backbone.network, file, backbone.head)
    return replace(backbone, origin=f"file {file.name}")


def untrained_backbone(card: Mapping[str, Any], outputs: int) -> Backbone:
    """Build the backbone that a member's card names. Reads nothing from the hub.

    Args:
        card: of `bestiary.model.classifier.save_member`; a tower is built from its architecture.
        outputs: number of outputs.

    Raises:
        WeightsError: this installation does not know it.
    """
    name = str(card["backbone"])
    if not towers.is_tower(name):
        return build_backbone(name, outputs, weights="none")
    architecture = Architecture.of(card.get("architecture"))
    return _tower_backbone(build_network(architecture, outputs), architecture)


def weights_are_local(name: str) -> bool:
    """Return whether a backbone's default weights need no download. Builds and downloads nothing.

    Args:
        name: of the backbone, see `build_backbone`.

    Returns:
        Whether the file of the weights is on this machine.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):  # checks the name; takes no memory
        build_backbone(name, 2, "none")
    if towers.is_tower(name):
        return towers.weights_are_local(name)
    library, _, architecture = name.partition("/")
    if library == "offline":
        with suppress(WeightsError):
            return offline.weights_file(architecture).is_file()
        return False
    if library == "torchvision":
        from torchvision import models

        entry = models.get_model_weights(architecture).DEFAULT
        return _torchvision_file(entry).is_file()
    return _timm_file_is_local(architecture)


def _timm_file_is_local(architecture: str) -> bool:
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(architecture)
    if not config or not config.hf_hub_id:
        return False
    file = try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
    return isinstance(file, str)


def last_linear(network: nn.Module) -> str:
    """Find the head of a network.

    Args:
        network: with a linear last layer.

    Returns:
        The dotted name of the last linear layer.

    Raises:
        WeightsError: the network has no linear layer.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise WeightsError(
            "this backbone has no linear last layer, so that its classes cannot be changed; choose "
            "another"
        )
    return str(names[-1])


def nearest_interpolation(interpolation: str) -> Interpolation:
    """Return the nearer of bestiary's two ways to enlarge images: bicubic, or else bilinear."""
    return "bicubic" if interpolation == "bicubic" else "bilinear"


def _from_torchvision(architecture: str, classes: int, weights: str) -> Backbone:
    from torchvision import models

    names = models.list_models(module=models)
    if architecture not in names:
        raise _unknown("torchvision", architecture, names)
    if architecture in AUXILIARY_OUTPUTS:
        raise WeightsError(
            f"model.backbone = 'torchvision/{architecture}': trains with further outputs, which "
            f"bestiary does not; choose another, for example timm/{architecture}"
        )
    entries = models.get_model_weights(architecture)
    entry = _torchvision_entry(architecture, entries, weights)

    # Load the weights with their own head, then replace the head.
    network = models.get_model(architecture, weights=None)
    if entry is not None:
        network.load_state_dict(_torchvision_state(entry))
    head = last_linear(network)
    _replace_head(network, head, classes)

    preprocessing = (entry or entries.DEFAULT).transforms()
    return Backbone(
        network,
        head,
        tuple(preprocessing.mean),
        tuple(preprocessing.std),
        nearest_interpolation(preprocessing.interpolation.value),
        f"torchvision {entry.name}" if entry else "none",
        preprocessing.crop_size[0],
    )


def _torchvision_entry(architecture: str, entries: Any, weights: str) -> Any | None:
    """Choose the weights entry; None for no weights."""
    if weights == "none":
        return None
    if weights == "default":
        return entries.DEFAULT
    if weights in entries.__members__:
        return entries[weights]
    names = ", ".join(["default", "none", *entries.__members__])
    raise WeightsError(f"model.weights = {weights!r}: torchvision/{architecture} has {names}")


def _replace_head(network: nn.Module, head: str, classes: int) -> None:
    layer = network.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    has_bias = layer.bias is not None
    network.set_submodule(head, nn.Linear(layer.in_features, classes, bias=has_bias))


def _torchvision_state(entry: Any) -> Mapping[str, torch.Tensor]:
    file = _torchvision_file(entry)
    try:
        # weights_only: anybody may have put the file there.
        state: Mapping[str, torch.Tensor] = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # urllib, pickle and the file system each raise their own
        problem = "is damaged" if file.exists() else "is not here and cannot be fetched"
        raise WeightsError(
            f"weights file {file.name} {problem} ({short_reason(error)}); put it at {file}, "
            f"{OFFLINE_HINT}"
        ) from None
    return state


def _torchvision_file(entry: Any) -> Path:
    """Where torchvision keeps a downloaded file of weights."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(entry.url).name)


def _from_timm(architecture: str, classes: int, weights: str) -> Backbone:
    import timm

    _check_timm_name(architecture, weights)
    pretrained = weights == "default"
    if pretrained:
        _say_before_timm_fetches(architecture)
    try:
        network = timm.create_model(architecture, pretrained=pretrained, num_classes=classes)
    except Exception as error:  # the hub, the file system and the state dict each raise their own
        raise WeightsError(
            f"{_missing_timm_file(architecture)} ({short_reason(error)}); {OFFLINE_HINT}"
        ) from None
    if not isinstance(network.get_classifier(), nn.Linear):
        raise WeightsError(
            f"model.backbone = 'timm/{architecture}': has no single linear last layer; choose "
            "another"
        )
    config = timm.data.resolve_model_data_config(network)
    tag = network.pretrained_cfg.get("tag") or "default"
    return Backbone(
        network,
        last_linear(network),
        tuple(config["mean"]),
        tuple(config["std"]),
        nearest_interpolation(config["interpolation"]),
        f"timm {tag}" if pretrained else "none",
        int(config["input_size"][-1]),
    )


def _say_before_timm_fetches(architecture: str) -> None:
    """Say license and size of timm's weights, if they have to be fetched."""
    import timm

    config = timm.get_pretrained_cfg(architecture)
    if config and config.hf_hub_id:
        hub.say_before_download(config.hf_hub_id, TIMM_FILES, config.license or "")


def _from_tower(name: str, classes: int, weights: str) -> Backbone:
    tower = towers.build_tower(name, classes, weights)
    return _tower_backbone(tower.network, tower.architecture, tower)


def _tower_backbone(
    network: nn.Module, architecture: Architecture, tower: towers.Tower | None = None
) -> Backbone:
    """Wrap a tower's network; without `tower`, a member's tensors tell the preprocessing."""
    return Backbone(
        network,
        last_linear(network),
        tower.mean if tower else (0.0,) * 3,
        tower.std if tower else (1.0,) * 3,
        nearest_interpolation(tower.interpolation if tower else "bicubic"),
        tower.origin if tower else "none",
        tower.side if tower else 224,
        architecture,
    )


def _check_timm_name(architecture: str, weights: str) -> None:
    import timm

    if weights not in ("default", "none"):
        raise WeightsError(
            f"model.weights = {weights!r}: timm/{architecture} takes default, none or a file; "
            "timm's other weights are chosen by the tag in the name, timm/NAME.TAG"
        )
    base, _, tag = architecture.partition(".")
    if not timm.is_model(base):
        raise _unknown("timm", architecture, timm.list_models())
    if tag:
        names = timm.list_pretrained(f"{base}.*")
        if architecture not in names:
            raise _unknown("timm", architecture, names)


def _missing_timm_file(architecture: str) -> str:
    """The file that timm could not load, and where to put it."""
    import timm
    from huggingface_hub.constants import HF_HUB_CACHE

    config = timm.get_pretrained_cfg(architecture)
    if config is None or not config.hf_hub_id:
        return f"weights of timm/{architecture} are not here and cannot be fetched"
    folder = Path(HF_HUB_CACHE) / f"models--{config.hf_hub_id.replace('/', '--')}"
    return (
        f"weights file model.safetensors of {config.hf_hub_id} is not here and cannot be fetched; "
        f"put its snapshot into {folder}, or name the file by "
        "--set model.weights=FILE.safetensors"
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
    origin = "none"
    if weights == "default":
        network.load_state_dict(offline.package_state(architecture, network))
        origin = offline.package_of(architecture)
    network.reset_classifier(classes)
    return Backbone(
        network,
        last_linear(network),
        offline.MEAN,
        offline.STD,
        offline.INTERPOLATION,
        origin,
        offline.SIDES[architecture],
    )


def _unknown(library: str, architecture: str, names: list[str]) -> WeightsError:
    matches = difflib.get_close_matches(architecture, names, 3, 0.3)
    suggestions = ", ".join(f"{library}/{name}" for name in matches)
    hint = f"did you mean {suggestions}?" if matches else f"see {library}'s list of models"
    return WeightsError(
        f"model.backbone = '{library}/{architecture}': {library} has no such network; {hint}"
    )
