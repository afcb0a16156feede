"""A classifier: a backbone with its preprocessing inside, saved as one safetensors file.

`Classifier.preprocess` scales uint8 pixels to 0...1 and normalizes them by the mean and standard
deviation that the weights expect. Preprocessing is part of the network, and of every exported
graph, so training, prediction and export cannot disagree on it. A trained classifier is a member
of an ensemble. Knows nothing of images on disk or of training.
"""

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bestiary.errors import DamagedError, RunError, one_line
from bestiary.model.architecture import to_json
from bestiary.model.backbone import (
    Backbone,
    build_backbone,
    nearest_interpolation,
    untrained_backbone,
)
from bestiary.model.head_linear import HeadLinear
from bestiary.model.power_norm import PowerNormLinear, signed_sqrt
from bestiary.model.tensor_file import read_shapes, read_verified, write_tensors
from bestiary.model.undrawn import Undrawn

MAX_OTHER_VALUES = 10_000  # in a member's file besides its network: mean and std of the input
MAX_OUTPUTS = 1_000_000
_NUMBERED_STAGE = re.compile(r"(layer|stage)\d")  # ResNet's layer1, ShuffleNet's stage2
# What torchvision and timm call the sequence of a network's stages.
_STAGE_CONTAINERS = ("blocks", "features", "stages", "layers")


class Classifier(nn.Module):
    """A network with its preprocessing.

    Args:
        name: of the backbone, see `build_backbone`.
        backbone: the network, the name of its head and its preprocessing.
        normalize: with false, preprocessing only scales pixels to 0...1.
        power_norm: give the head signed square roots, see `bestiary.model.power_norm`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, name: str, backbone: Backbone, normalize: bool = True, power_norm: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.network = backbone.network
        self.head = backbone.head
        self.power_norm = power_norm
        layer = self.head_layer
        if power_norm:
            self.network.set_submodule(self.head, PowerNormLinear.from_linear(layer))
        elif type(layer) is nn.Linear:  # a layer with a method of its own keeps it
            self.network.set_submodule(self.head, HeadLinear.from_linear(layer))
        self.interpolation = backbone.interpolation
        self.architecture = backbone.architecture
        self.origin = backbone.origin
        mean = backbone.mean if normalize else (0.0,) * 3
        std = backbone.std if normalize else (1.0,) * 3
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def preprocess(self, views: torch.Tensor) -> torch.Tensor:
        """Preprocess views: scale the pixels to 0...1 and normalize them.

        Args:
            views: uint8 (n, size, size, 3).

        Returns:
            float32 (n, 3, size, size).
        """
        # In place: each new tensor of this size costs more than the arithmetic in it.
        images = views.permute(0, 3, 1, 2).to(torch.float32, copy=True)
        return images.mul_(1 / (255.0 * self.std)).add_(-self.mean / self.std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits.

        Args:
            images: preprocessed, float (n, 3, size, size).

        Returns:
            float (n, classes).
        """
        return cast(torch.Tensor, self.network(images))

    @property
    def head_layer(self) -> nn.Linear:
        """The last linear layer."""
        return cast(nn.Linear, self.network.get_submodule(self.head))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the features that the head weighs.

        Args:
            images: preprocessed, float (n, 3, size, size).

        Returns:
            float (n, features); signed square roots if the head has power normalization.
        """
        with _capture_input(self.head_layer) as inputs:
            self(images)
        return signed_sqrt(inputs[0]) if self.power_norm else inputs[0]

    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage: the stem first, the head in the last."""
        stages: list[list[nn.Module]] = [[]]
        for name, child in self.network.named_children():
            container = _stage_container(name, child)
            if container is not None:
                stages += [[stage] for stage in container]
                if container is not child:
                    stages[-1] += [part for part in child.children() if part is not container]
            elif _NUMBERED_STAGE.match(name):
                stages.append([child])
            else:
                stages[-1].append(child)
        return [stage for stage in stages if stage]

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """List the parameters of each stage. The stem has those of no module, as a class token."""
        staged = [
            [parameter for module in stage for parameter in module.parameters()]
            for stage in self.stages()
        ]
        ids = {id(parameter) for stage in staged for parameter in stage}
        staged[0] += [parameter for parameter in self.parameters() if id(parameter) not in ids]
        return staged


def _stage_container(name: str, child: nn.Module) -> nn.Sequential | nn.ModuleList | None:
    """The sequence of stages in a child of the network, or the child itself, or None."""
    inner = next((getattr(child, key) for key in _STAGE_CONTAINERS if hasattr(child, key)), None)
    container = child if inner is None and name in _STAGE_CONTAINERS else inner
    return container if isinstance(container, (nn.Sequential, nn.ModuleList)) else None


def build_classifier(
    name: str,
    classes: int,
    weights: str = "default",
    normalize: bool = True,
    power_norm: bool = False,
) -> Classifier:
    """Build a backbone by name, with its preprocessing.

    Args:
        name: of the backbone, see `build_backbone`.
        classes: number of outputs.
        weights: see `build_backbone`.
        normalize: with false, preprocessing only scales pixels to 0...1.
        power_norm: give the head signed square roots, see `bestiary.model.power_norm`.

    Returns:
        The classifier.

    Raises:
        WeightsError: the name is unknown, or the weights are missing or do not fit.
    """
    backbone = build_backbone(name, classes, weights)
    return Classifier(name, backbone, normalize, power_norm)


def count_stages(name: str) -> int:
    """Count the stages of a backbone. Takes no memory.

    Args:
        name: of the backbone, see `build_backbone`.

    Returns:
        The number of stages.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):
        return len(build_classifier(name, 2, "none").stages())


def save_member(
    classifier: Classifier, file: Path, tensors: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Save a classifier as safetensors, mean and std included, with a card to build it again.

    Args:
        classifier: to save.
        file: to write.
        tensors: by name, those that the classifier had earlier; None: those that it has.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    card = {
        "backbone": classifier.name,
        "interpolation": classifier.interpolation,
        "origin": classifier.origin,
        "rooted": classifier.power_norm,
    }
    if classifier.architecture is not None:
        card["architecture"] = to_json(classifier.architecture)
    write_tensors(file, classifier.state_dict() if tensors is None else tensors, card)


def load_member(file: Path) -> Classifier:
    """Build the classifier that `save_member` saved.

    Args:
        file: of a member.

    Returns:
        The classifier, in eval mode.

    Raises:
        RunError: the file is missing, damaged, or not that of a classifier.
        WeightsError: this installation does not know the backbone.
    """
    return open_member(file).build()


def check_member(file: Path) -> None:
    """Check a member's file, without taking memory for its network.

    Args:
        file: of a member.

    Raises:
        DamagedError: it is not as `save_member` wrote it.
    """
    open_member(file)


class SavedMember:
    """A member's file, read and verified. Its network is built where it is asked for.

    Attributes:
        tensors: by name, as in the network's state dict.
        digest: SHA-256 of the tensors and of the card.
    """

    def __init__(
        self,
        file: Path,
        tensors: dict[str, torch.Tensor],
        card: dict[str, Any],
        digest: str,
        head: str | None,
    ) -> None:
        self._file = file
        self._card = card
        self._head = head  # name of the last layer's weights; None: not looked for yet
        self.tensors = tensors
        self.digest = digest

    @property
    def outputs(self) -> int:
        """Number of outputs; the first call compares the tensors with the backbone.

        Raises:
            DamagedError: they do not fit.
        """
        if self._head is None:
            shapes = {key: list(tensor.shape) for key, tensor in self.tensors.items()}
            try:
                self._head = _check_fit(self._card, shapes)
            except DamagedError as error:
                raise _damaged_member(self._file, str(error)) from None
        return len(self.tensors[self._head])

    @property
    def kind(self) -> tuple[str, int]:
        """What two members have in common that differ in their tensors alone."""
        return json.dumps(self._card, sort_keys=True), self.outputs

    def build(self, like: Classifier | None = None) -> Classifier:
        """Build the classifier, in eval mode.

        Args:
            like: of a member of the same kind. It is copied, which takes a fraction of the time
                that it takes to build a network module by module.

        Raises:
            RunError: the file is not that of a classifier.
            WeightsError: this installation does not know the backbone.
        """
        classifier = copy.deepcopy(like) if like else self._untrained()
        try:
            classifier.load_state_dict(self.tensors)
        except RuntimeError as error:
            reason = one_line(error, 120)
            raise RunError(f"{self._file}: does not fit {classifier.name} ({reason})") from None
        return classifier.eval()

    def _untrained(self) -> Classifier:
        with Undrawn():
            untrained = untrained_backbone(self._card, self.outputs)
        backbone = replace(
            untrained,
            interpolation=nearest_interpolation(str(self._card["interpolation"])),
            origin=str(self._card["origin"]),
        )
        # The key is absent from members of older versions.
        has_power_norm = self._card.get("rooted") is True
        return Classifier(str(self._card["backbone"]), backbone, power_norm=has_power_norm)


def open_member(file: Path, *, fits: bool = False) -> SavedMember:
    """Read and verify a member's file.

    Args:
        file: of a member.
        fits: it is probably one that was built before, so that its shapes need not be compared with
            its backbone before its tensors are read. A network that is built is always compared.

    Returns:
        The member.

    Raises:
        DamagedError: it is not as `save_member` wrote it.
        WeightsError: this installation does not know the backbone.

    Example:
        >>> open_member(Path("run/fold-0/weights.safetensors")).outputs
        3
    """
    try:
        head = None
        if not fits:
            shapes, card = read_shapes(file)
            head = _check_fit(card, shapes)
        tensors, card, digest = read_verified(file)
        missing = {"backbone", "interpolation", "origin"} - card.keys()
        if missing:
            raise KeyError(min(missing))
        return SavedMember(file, tensors, card, digest, head)
    except (DamagedError, KeyError) as error:
        reason = f"it says no {error}" if isinstance(error, KeyError) else str(error)
        raise _damaged_member(file, reason) from None


def _damaged_member(file: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{file}: is not a whole member ({reason}); remove that fold's folder and train it again"
    )


def _check_fit(card: Mapping[str, Any], shapes: dict[str, list[int]]) -> str:
    """Compare the shapes of a member's tensors with its backbone; return the name of its head.

    Takes no memory: a stranger's file may name a network of gigabytes, or hold other tensors.
    """
    name = str(card["backbone"])
    with torch.device("meta"):
        backbone = untrained_backbone(card, 1)
    expected = {f"network.{key}": value for key, value in backbone.network.state_dict().items()}
    head_prefix = f"network.{backbone.head}."
    for key, value in expected.items():
        shape = shapes.get(key)
        has_shape = shape == list(value.shape)
        if shape is None or not (has_shape or key.startswith(head_prefix)):
            raise DamagedError(
                f"it does not fit {name}: its {key.removeprefix('network.')} is missing or of "
                f"another shape"
            )

    # The last layer has as many rows as there are classes.
    head = f"{head_prefix}weight"
    shape = shapes.get(head, [])
    if len(shape) != 2 or head not in expected or shape[1:] != list(expected[head].shape[1:]):
        raise DamagedError(f"it has no last layer of {name}")
    others = sum(math.prod(shapes[key]) for key in shapes.keys() - expected.keys())
    if others > MAX_OTHER_VALUES or not 1 <= shape[0] <= MAX_OUTPUTS:
        raise DamagedError(f"it does not fit {name}: it holds more than its weights")
    return head


@contextmanager
def _capture_input(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Record what `layer` is given inside the block."""
    captured: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    try:
        yield captured
    finally:
        handle.remove()
