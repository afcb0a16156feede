"""Several classifiers -> one network that computes once what they share.

The members of a `probe` run are one frozen network with five heads: the network is computed once,
and the heads are one matrix product. Members of which only the last stages were trained share the
first ones, and those of a transformer its frozen blocks: torch.fx traces one of them, and
`bestiary.model.merging` merges its graph with itself, once a member. Only what is the same bit for
bit is shared. Members that share nothing, cannot be traced, or whose joint network disagrees with
them, are computed one by one. Knows nothing of engines and of images on disk.
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from bestiary.model.classifier import Classifier
from bestiary.model.compute import without_tf32
from bestiary.model.merging import JointHeads, MemberOrder, Owners, merge

# The largest root mean square difference of merged and single members, as a share of the logits'
# standard deviation. Only the order of sums may differ, which comes to about 1e-6.
TOLERANCE = 1e-4
CHECKED_VIEWS = 2
# Of the views that members are traced with. Another number than above: a graph that holds for this
# number alone fails the comparison.
TRACED_VIEWS = 3
# Counts the batches of training; no output depends on it.
_UNUSED_TENSOR = "num_batches_tracked"
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes -> same size


class JointClassifier(nn.Module):
    """Members as one network, preprocessing inside.

    Args:
        members: classifiers in eval mode, on one device, all with the same outputs.
        size: side of their input in pixels; merged members are compared with the single ones on
            views of that size.

    Attributes:
        name: of the backbones.
        members: as given.
        shares: whether any layer with weights is computed once for several members.

    Example:
        >>> from bestiary.model.classifier import build_classifier
        >>> members = [build_classifier("timm/test_resnet", 3, "none").eval() for _ in range(2)]
        >>> joint = JointClassifier(members, size=32)
        >>> tuple(joint(torch.zeros((4, 32, 32, 3), dtype=torch.uint8)).shape)
        (4, 2, 3)
    """

    def __init__(self, members: Sequence[Classifier], size: int) -> None:
        super().__init__()
        self.members = tuple(members)  # a tuple, so that their weights are not listed twice
        self.name = ", ".join(dict.fromkeys(member.name for member in members))
        kinds = [_kind(member) for member in members]
        groups = [
            [index for index, other in enumerate(kinds) if other == kind]
            for kind in dict.fromkeys(kinds)
        ]
        parts = [_part([members[index] for index in group], size) for group in groups]
        self.parts = nn.ModuleList(parts)
        self.shares = any(part.shares for part in parts)
        self.order = MemberOrder(groups)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Compute each member's logits.

        Args:
            views: uint8 (n, size, size, 3).

        Returns:
            float (n, members, classes).
        """
        return self.order.join([part(views) for part in self.parts])


def smooth_views(count: int, size: int) -> torch.Tensor:
    """Draw smooth random views, to compare networks on.

    They come from a torch generator with a fixed seed and not from `bestiary.rng`, since the
    comparison belongs to no run and has no run's seed. The views must stay the same for a network
    to be accepted or refused alike everywhere.

    Args:
        count: number of views.
        size: their side in pixels.

    Returns:
        uint8 (count, size, size, 3).

    Example:
        >>> tuple(smooth_views(2, 8).shape)
        (2, 8, 8, 3)
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((count, 3, 7, 7), generator=generator)
    smooth = functional.interpolate(noise, size=(size, size), mode="bilinear")
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class _Part(nn.Module):
    """Members of one kind: one preprocessing, and a network -> logits (n, members, classes)."""

    def __init__(self, first: Classifier, network: nn.Module, shares: bool) -> None:
        super().__init__()
        self.register_buffer("mean", first.mean)
        self.register_buffer("std", first.std)
        self.network = network
        self.shares = shares

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        images = Classifier.preprocess(cast(Classifier, self), views)
        return cast(torch.Tensor, self.network(images))


class _OneByOne(nn.Module):
    """Members that share nothing."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(member.network for member in members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([network(images) for network in self.networks], dim=1)


def _kind(member: Classifier) -> tuple[Any, ...]:
    """What two members must have in common to be merged."""
    modules = tuple((name, type(module)) for name, module in member.network.named_modules())
    shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in _tensors(member).items())
    normalization = (*member.mean.flatten().tolist(), *member.std.flatten().tolist())
    return member.name, member.head, modules, shapes, normalization


def _tensors(member: Classifier) -> dict[str, torch.Tensor]:
    """The tensors that a network's output depends on, by name."""
    named = [*member.network.named_parameters(), *member.network.named_buffers()]
    return {name: tensor for name, tensor in named if not name.endswith(_UNUSED_TENSOR)}


def _part(members: Sequence[Classifier], size: int) -> _Part:
    """Join members of one kind, if that can be done and saves anything."""
    single = _Part(members[0], _OneByOne(members), shares=False)
    owners = _owners(members)
    alone = tuple(range(len(members)))
    if all(own == alone for own in owners.values()):
        return single
    try:
        network = _common_trunk(members, owners) or _merged(members, owners, size)
        if network is None:
            return single
        joint = _Part(members[0], network, shares=True)
        return joint if _agree(joint, single, size) else single
    except Exception:  # the tracer raises any class for what it cannot follow
        return single


def _common_trunk(members: Sequence[Classifier], owners: dict[str, Owners]) -> nn.Module | None:
    """Join members that differ in their heads alone, which needs no trace; None if they do not."""
    head = members[0].head
    together = (0,) * len(members)
    if any(own != together for name, own in owners.items() if not name.startswith(f"{head}.")):
        return None
    trunk = _with_head(members[0].network, head.split("."), nn.Identity())
    return nn.Sequential(trunk, JointHeads([member.head_layer for member in members]))


def _merged(
    members: Sequence[Classifier], owners: dict[str, Owners], size: int
) -> nn.Module | None:
    """Merge the members' graphs; None if they have no weights in common, which needs no trace."""
    alone = tuple(range(len(members)))
    names = [name for name, _ in members[0].network.named_parameters()]
    if all(owners[name] == alone for name in names):
        return None
    views = smooth_views(TRACED_VIEWS, size).to(members[0].mean.device)
    return merge(members, owners, members[0].preprocess(views))


def _with_head(module: nn.Module, path: list[str], head: nn.Module) -> nn.Module:
    """Give a network another head. The rest of the result is the network's own modules."""
    name, *inner = path
    child = module.get_submodule(name)
    changed = copy.copy(module)
    changed._modules = dict(module._modules)
    changed._modules[name] = _with_head(child, inner, head) if inner else head
    return changed


@torch.inference_mode()
def _agree(joint: nn.Module, single: nn.Module, size: int) -> bool:
    """Whether two networks give the same logits, but for the order of sums."""
    device = next(single.parameters()).device
    views = smooth_views(CHECKED_VIEWS, size).to(device)
    with without_tf32():
        expected = single(views)
        error = (joint(views) - expected).square().mean().sqrt()
    return bool(error <= TOLERANCE * (expected.std() + 1e-6))


def _owners(members: Sequence[Classifier]) -> dict[str, Owners]:
    """For each tensor, the first member with the same bits."""
    tensors = [_tensors(member) for member in members]
    return {name: _first_equal([own[name] for own in tensors]) for name in tensors[0]}


def _first_equal(tensors: Sequence[torch.Tensor]) -> Owners:
    owners: list[int] = []
    for index, tensor in enumerate(tensors):
        firsts = dict.fromkeys(owners)
        owners.append(next((own for own in firsts if _same_bits(tensors[own], tensor)), index))
    return tuple(owners)


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one is other:
        return True
    bits = _BITS[one.element_size()]
    return torch.equal(one.detach().view(bits), other.detach().view(bits))
