"""Architecture of a tower: what a file says of a network -> the network, with random weights.

What is said may come from a stranger, in a member's card or in a repository on the hub. So it is
bounded, names no file, and is given to the builders of timm and open_clip alone, which read nothing
then. Knows nothing of weights and of the hub.
"""

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import torch
from torch import nn

from bestiary.errors import WeightsError, one_line

MAX_ARGUMENTS = 40
MAX_NUMBER = 20_000
# Arguments that make timm or open_clip read a file or another network.
_FORBIDDEN = re.compile(r"pretrained|checkpoint|path|cache|file|url|dir$|classes|chans|scriptable")
_NETWORK_NAME = re.compile(r"[A-Za-z0-9_.-]{0,100}")
MAX_LAYERS = 200
BUILD_ERRORS = (
    RuntimeError,
    AssertionError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ZeroDivisionError,
)


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a tower is built from.

    Attributes:
        library: whose code builds it.
        name: of the architecture in timm; empty for open_clip.
        arguments: of timm's `create_model`, or open_clip's vision configuration.
        embedding: outputs of an open_clip tower.
        quick_gelu: whether an open_clip tower has OpenAI's activation.
    """

    library: Literal["timm", "open_clip"]
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    embedding: int = 0
    quick_gelu: bool = False

    @classmethod
    def of(cls, content: object) -> "Architecture":
        """Check what a file says, which may come from a stranger.

        Raises:
            WeightsError: it cannot be an architecture.
        """
        try:
            architecture = cls(**cast(dict[str, Any], content))
        except TypeError:
            raise foreign_architecture("it is not an architecture") from None
        architecture.check()
        return architecture

    def check(self) -> None:
        """Refuse what bestiary never writes.

        Raises:
            WeightsError: an argument names a file or is out of range.
        """
        if self.library not in ("timm", "open_clip") or not isinstance(self.name, str):
            raise foreign_architecture("it is of no library that bestiary knows")
        if not isinstance(self.arguments, dict) or len(self.arguments) > MAX_ARGUMENTS:
            raise foreign_architecture("its arguments are not a table of usual size")
        if not _is_plain([self.embedding, self.quick_gelu]):
            raise foreign_architecture("its embedding is out of range")
        for key, value in self.arguments.items():
            if _FORBIDDEN.search(str(key)) or not _is_plain(value) or _is_too_deep(key, value):
                raise foreign_architecture(f"its argument {str(key)[:40]!r} is not allowed")
        # A name with a prefix would be looked up on the hub or in a folder.
        for name in (self.name, self.arguments.get("timm_model_name") or ""):
            if not _NETWORK_NAME.fullmatch(str(name)):
                raise foreign_architecture(f"{str(name)[:40]!r} is no name of a network")


class TowerNetwork(nn.Module):
    """A tower of open_clip with a linear head."""

    def __init__(self, tower: nn.Module, embedding: int, classes: int) -> None:
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(embedding, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits (n, classes) of images (n, 3, side, side)."""
        return cast(torch.Tensor, self.head(self.tower(images)))


def build_network(architecture: Architecture, classes: int) -> nn.Module:
    """Build a network with random weights. Reads nothing.

    Args:
        architecture: checked.
        classes: number of outputs.

    Raises:
        WeightsError: the library does not know it, or is not installed.
    """
    try:
        if architecture.library == "timm":
            return _timm_network(architecture, classes)
        return _open_clip_network(architecture, classes)
    except BUILD_ERRORS as error:
        raise WeightsError(
            f"{architecture.name or 'the tower'}: cannot be built ({one_line(error, 100)}); choose "
            "another backbone"
        ) from None


def _timm_network(architecture: Architecture, classes: int) -> nn.Module:
    import timm

    if not timm.is_model(architecture.name):
        raise ValueError(f"timm has no {architecture.name!r}")
    network = timm.create_model(
        architecture.name, pretrained=False, num_classes=classes, **architecture.arguments
    )
    if not isinstance(network.get_classifier(), nn.Linear):
        raise ValueError("it has no single linear last layer")
    return cast(nn.Module, network)


def _open_clip_network(architecture: Architecture, classes: int) -> nn.Module:
    import_open_clip()
    from open_clip.model import _build_vision_tower  # the text tower is not needed

    tower = _build_vision_tower(
        architecture.embedding, dict(architecture.arguments), architecture.quick_gelu
    )
    return TowerNetwork(tower, architecture.embedding, classes)


def import_open_clip() -> Any:
    """Import open_clip, which is an extra.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import open_clip
    except ImportError:
        raise WeightsError(
            "towers of open_clip need the package open_clip_torch; pip install "
            "'bestiary[foundation]'"
        ) from None
    return open_clip


def _is_too_deep(key: str, value: object) -> bool:
    """Tell whether a number of layers would take minutes to build."""
    counts = value if isinstance(value, list | tuple) else [value]
    is_count = "depth" in key or "layers" in key
    return is_count and any(isinstance(one, int | float) and one > MAX_LAYERS for one in counts)


def _is_plain(value: object, depth: int = 0) -> bool:
    """Tell whether a value is a number of usual size, a short text, or a short list or table."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= MAX_NUMBER
    if isinstance(value, str):
        return len(value) <= 100
    if depth == 2 or not isinstance(value, list | tuple | dict) or len(value) > MAX_ARGUMENTS:
        return False
    inner = value.values() if isinstance(value, dict) else value
    return all(_is_plain(one, depth + 1) for one in inner)


def foreign_architecture(reason: str) -> WeightsError:
    """Make the error for a description that bestiary does not follow, with the reason."""
    return WeightsError(f"the description of the backbone is not usable: {reason}; choose another")


def to_json(architecture: Architecture) -> dict[str, Any]:
    """Write an architecture for a member's card; `Architecture.of` reads it."""
    return asdict(architecture)
