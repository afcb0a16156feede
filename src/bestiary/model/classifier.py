"""A backbone -> a classifier of uint8 views, its normalization inside; saved as one safetensors
file.

Scaling and normalization are part of the network, so that training, prediction and export cannot
disagree on them. Knows nothing of images on disk or of training.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from bestiary.errors import DamagedError, RunError, one_line
from bestiary.model.backbone import Backbone, build_backbone, enlarging
from bestiary.model.power_norm import PowerNormLinear, root
from bestiary.model.tensor_file import read_tensors, write_tensors

_NUMBERED = re.compile(r"(layer|stage)\d")  # ResNet's layer1, ShuffleNet's stage2
_EXPANDED = (
    "blocks",
    "features",
    "stages",
    "layers",
)  # what the libraries call the row of a network's stages


class Classifier(nn.Module):
    """A network with its input's normalization.

    Args:
        name: the backbone's name, see `build_backbone`.
        backbone: the network, its head's name and what its weights expect.
        normalize: with false, views are only scaled to 0...1.
        rooted: the last layer is given the root of the features, see `bestiary.model.power_norm`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, name: str, backbone: Backbone, normalize: bool = True, rooted: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.network = backbone.network
        self.head = backbone.head
        self.rooted = rooted
        if rooted:
            self.network.set_submodule(self.head, PowerNormLinear.instead_of(self.head_layer))
        self.interpolation = backbone.interpolation
        self.origin = backbone.origin
        mean, std = (backbone.mean, backbone.std) if normalize else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def preprocess(self, views: torch.Tensor) -> torch.Tensor:
        """Float input (n, 3, size, size), normalized, of uint8 `views` (n, size, size, 3)."""
        # In place: each new tensor of this size costs more than the arithmetic in it.
        images = views.permute(0, 3, 1, 2).to(torch.float32, copy=True)
        return images.mul_(1 / (255.0 * self.std)).add_(-self.mean / self.std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of prepared images (n, 3, size, size)."""
        return cast(torch.Tensor, self.network(images))

    @property
    def head_layer(self) -> nn.Linear:
        """The last linear layer."""
        return cast(nn.Linear, self.network.get_submodule(self.head))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer weighs, roots where it takes them, (n, features), for prepared
        images.
        """
        with _capture_input(self.head_layer) as captured:
            self(images)
        return root(captured[0]) if self.rooted else captured[0]

    def stages(self) -> list[list[nn.Module]]:
        """The network's parts from the input on: the stem, then each stage; the head comes last."""
        stages: list[list[nn.Module]] = [[]]
        for name, child in self.network.named_children():
            row = next(
                (getattr(child, inner) for inner in _EXPANDED if hasattr(child, inner)), child
            )
            if isinstance(row, (nn.Sequential, nn.ModuleList)) and (
                name in _EXPANDED or row is not child
            ):
                stages += [[part] for part in row]
                stages[-1] += [
                    part for part in child.children() if row is not child and part is not row
                ]
            elif _NUMBERED.match(name):
                stages.append([child])
            else:
                stages[-1].append(child)
        return [stage for stage in stages if stage]

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each of `stages`; what lies in none, as a class token does, belongs
        to the stem.
        """
        found = [
            [parameter for part in stage for parameter in part.parameters()]
            for stage in self.stages()
        ]
        staged = {id(parameter) for stage in found for parameter in stage}
        found[0] += [parameter for parameter in self.parameters() if id(parameter) not in staged]
        return found


def build_classifier(
    name: str, classes: int, weights: str = "default", normalize: bool = True, rooted: bool = False
) -> Classifier:
    """Build backbone and normalization by name; see `build_backbone`."""
    return Classifier(name, build_backbone(name, classes, weights), normalize, rooted)


def count_stages(name: str) -> int:
    """How many stages the backbone `name` has; takes no memory.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):
        return len(build_classifier(name, 2, "none").stages())


def refusals_of(name: str, sides: Iterable[int]) -> Iterator[str | None]:
    """For each of `sides` why the backbone `name` cannot take images of so many pixels; None where
    it can.

    Shapes alone are computed: takes no memory.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):
        network = build_classifier(name, 2, "none").eval()
    for side in sides:
        try:
            with torch.no_grad():
                network(torch.zeros(1, 3, side, side, device="meta"))
        except NotImplementedError:  # an operation whose shapes PyTorch cannot foretell
            yield None
        except (
            RuntimeError,
            AssertionError,
            ValueError,
            TypeError,
        ) as error:  # each library says so in its own way
            yield one_line(error, 100)
        else:
            yield None


def save_member(classifier: Classifier, file: Path) -> None:
    """Write the classifier's tensors, mean and std included, as safetensors, with what is needed
    to build it again.
    """
    card = {
        "backbone": classifier.name,
        "interpolation": classifier.interpolation,
        "origin": classifier.origin,
        "rooted": classifier.rooted,
    }
    write_tensors(file, classifier.state_dict(), card)


def load_member(file: Path) -> Classifier:
    """Build the classifier that `save_member` wrote, in eval mode.

    Raises:
        RunError: the file is missing or damaged, or not of a classifier's.
        WeightsError: the backbone is unknown to this installation.
    """
    state, (name, interpolation, origin), rooted = _read_member(file)
    with torch.device("meta"):  # takes no memory: a stranger's file may name a network of gigabytes
        backbone = build_backbone(name, 1, weights="none")
    for key, value in backbone.network.state_dict().items():
        found = state.get(f"network.{key}")
        if found is None or (
            found.shape != value.shape and not key.startswith(f"{backbone.head}.")
        ):
            raise RunError(
                f"{file}: does not fit {name} (its {key} is missing or of another shape)"
            )
    head = state.get(f"network.{backbone.head}.weight", torch.empty(0))
    if head.ndim != 2:
        raise RunError(
            f"{file}: is not a whole member (it has no last layer of {name}); train that fold again"
        )
    outputs = head.shape[0]
    backbone = build_backbone(name, outputs, weights="none")
    exact = replace(backbone, interpolation=enlarging(interpolation))
    classifier = Classifier(name, replace(exact, origin=origin), rooted=rooted)
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(
            f"{file}: does not fit {name} ({' '.join(str(error).split())[:120]})"
        ) from None
    return classifier.eval()


def check_member(file: Path) -> None:
    """Read a member's file without building its network.

    Raises:
        DamagedError: it is not as `save_member` wrote it.
    """
    _read_member(file)


def _read_member(file: Path) -> tuple[dict[str, torch.Tensor], list[str], bool]:
    """Tensors; backbone, interpolation and origin; whether the last layer is given the root of
    the features.
    """
    try:
        state, card = read_tensors(file)
        named = [str(card[key]) for key in ("backbone", "interpolation", "origin")]
        return state, named, card.get("rooted") is True  # members of older versions do not say
    except (DamagedError, KeyError) as error:
        reason = f"it says no {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedError(
            f"{file}: is not a whole member ({reason}); remove that fold's folder and train it "
            f"again"
        ) from None


def memory_format(channels_last: bool) -> torch.memory_format:
    """The layout of tensors in PyTorch's terms."""
    return torch.channels_last if channels_last else torch.contiguous_format


@contextmanager
def _capture_input(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    captured: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    try:
        yield captured
    finally:
        handle.remove()
