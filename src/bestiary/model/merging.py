"""Classifiers of one kind and the owners of their tensors -> one graph without repetitions.

torch.fx traces the first of them. Its graph is merged with itself, once a member. A node is
computed once for all members that give it the same inputs and the same weights. Heads of one input
are one matrix product. Knows nothing of how tensors were found to be the same.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import fx, nn

from bestiary.model.classifier import Classifier
from bestiary.model.head_linear import HeadLinear
from bestiary.model.power_norm import PowerNormLinear
from bestiary.model.tracing import SizedTracer

Owners = tuple[int, ...]  # for each member, the first member that has the same bits


class JointHeads(nn.Module):
    """The heads of members that have the same features, as one matrix product."""

    def __init__(self, heads: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.shape = (len(heads), heads[0].out_features)
        weight = torch.cat([head.weight.detach() for head in heads])
        biases = [head.bias.detach() for head in heads if head.bias is not None]
        joined = nn.Linear(weight.shape[1], len(weight), bias=bool(biases), device="meta")
        joined.weight = nn.Parameter(weight, requires_grad=False)
        if biases:
            joined.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
        kind = PowerNormLinear if isinstance(heads[0], PowerNormLinear) else HeadLinear
        self.head = kind.from_linear(joined)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute logits (n, members, classes) of features (n, features)."""
        logits: torch.Tensor = self.head(features)
        return logits.reshape(-1, *self.shape)


class MemberOrder:
    """Brings logits that were computed group by group into the order of the members.

    Args:
        groups: the members' indices in each group.
    """

    def __init__(self, groups: Sequence[Sequence[int]]) -> None:
        order = [index for group in groups for index in group]
        # Where each member's logits are among those of the groups.
        self._places = [order.index(index) for index in range(len(order))]

    def join(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join logits (n, members of a group, classes) to (n, members, classes)."""
        joined = torch.cat(list(logits), dim=1) if len(logits) > 1 else logits[0]
        if self._places == sorted(self._places):
            return joined
        return joined[:, self._places]


class _Merged(nn.Module):
    """A merged graph, whose outputs are those of groups of members."""

    def __init__(self, graph: fx.GraphModule, order: MemberOrder) -> None:
        super().__init__()
        # Not `graph`: a traced module, which the converter walks, has another thing of that name.
        self.computed = graph
        self.order = order

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.order.join(self.computed(images))


def merge(
    members: Sequence[Classifier], owners: dict[str, Owners], images: torch.Tensor
) -> nn.Module | None:
    """Merge classifiers into one network.

    Args:
        members: classifiers of one architecture.
        owners: name of each tensor of their networks -> its owners. Tensors without are the same.
        images: their input for a few images (n, 3, size, size), to trace them with. The result
            takes any number of images of that size.

    Returns:
        A network: images -> logits (n, members, classes). None: no layer with weights would be
        computed once for several members.

    Raises:
        Exception: of any class, for what torch.fx cannot trace.
    """
    trained = {name for name, _ in members[0].network.named_parameters()}
    shared = _SharedParts(members[0].head, trained, owners, len(members))
    traced = SizedTracer(shared.is_leaf, images).trace(members[0].network)
    return _MergedGraph(members, traced, shared).build()


class _SharedParts:
    """What members share in each module.

    Args:
        head: dotted name of the last layer.
        trained: names of the tensors that training may change.
        owners: of each tensor.
        count: number of members.
    """

    def __init__(
        self, head: str, trained: Collection[str], owners: dict[str, Owners], count: int
    ) -> None:
        self._head = head
        self._trained = trained
        self._owners = owners
        self._count = count

    def of(self, target: str) -> Owners:
        """For each member, the first for which everything in a module or tensor is the same."""
        columns = [own for _, own in self._inside(target)]
        keys = [tuple(own[index] for own in columns) for index in range(self._count)]
        return tuple(keys.index(key) for key in keys)

    def has_weights(self, target: str) -> bool:
        """Whether there are tensors in a module."""
        return bool(self._inside(target))

    def is_leaf(self, target: str) -> bool:
        """Whether looking into a module would find no more that is shared.

        Its constants, such as tables of positions, are the same in all members and save nothing.
        """
        inside = self._inside(target)
        has_inner = any("." in name for name, _ in inside)
        whole = self.of(target)
        trained = [own for name, own in inside if f"{target}.{name}" in self._trained]
        return target == self._head or not has_inner or all(own == whole for own in trained)

    def _inside(self, target: str) -> list[tuple[str, Owners]]:
        """Names below a module, and owners, of its tensors; or of a tensor itself."""
        prefix = f"{target}."
        return [
            (name.removeprefix(prefix), own)
            for name, own in self._owners.items()
            if name == target or name.startswith(prefix)
        ]


class _MergedGraph:
    """Merges a traced graph with itself, once a member."""

    def __init__(
        self,
        members: Sequence[Classifier],
        traced: fx.Graph,
        shared: _SharedParts,
    ) -> None:
        self._members = members
        self._traced = traced
        self._shared = shared
        self._root = nn.ModuleDict(
            {f"member_{index}": member.network for index, member in enumerate(members)}
        )
        self._graph = fx.Graph()
        # For each member, node of the traced graph -> node of the merged one.
        self._found: list[dict[fx.Node, fx.Node]] = [{} for _ in members]
        self._made: dict[tuple[Any, ...], fx.Node] = {}
        self._saves = False

    def build(self) -> _Merged | None:
        """Build the module; None if it would save nothing."""
        *nodes, output = self._traced.nodes
        (result,) = output.args
        assert isinstance(result, fx.Node)
        ends_in_head = result.op == "call_module" and result.target == self._members[0].head
        for node in nodes:
            if not (ends_in_head and node is result):
                self._copy(node)
        groups = self._join_heads(result) if ends_in_head else self._stack(result)
        if not self._saves:
            return None
        self._graph.output(tuple(node for node, _ in groups))
        order = MemberOrder([indices for _, indices in groups])
        return _Merged(fx.GraphModule(self._root, self._graph), order)

    def _copy(self, node: fx.Node) -> None:
        """Copy a node once for all members that give it the same inputs and weights."""
        has_state = node.op in ("call_module", "get_attr")
        owners = self._shared.of(str(node.target)) if has_state else (0,) * len(self._members)
        for owner, found in zip(owners, self._found, strict=True):
            key = (node, owner, *(found[source] for source in node.all_input_nodes))
            if key not in self._made:
                copy = self._graph.node_copy(node, found.__getitem__)
                if has_state:
                    copy.target = f"member_{owner}.{node.target}"
                self._made[key] = copy
            elif has_state and self._shared.has_weights(str(node.target)):
                self._saves = True
            found[node] = self._made[key]

    def _join_heads(self, head: fx.Node) -> list[tuple[fx.Node, list[int]]]:
        """Make one matrix product of the heads of each input; return it with its members."""
        (features,) = head.all_input_nodes
        members_of: dict[fx.Node, list[int]] = {}
        for index, found in enumerate(self._found):
            members_of.setdefault(found[features], []).append(index)
        groups = []
        for number, (source, indices) in enumerate(members_of.items()):
            heads = JointHeads([self._members[index].head_layer for index in indices])
            self._root[f"heads_{number}"] = heads
            groups.append((self._graph.call_module(f"heads_{number}", (source,)), indices))
        return groups

    def _stack(self, result: fx.Node) -> list[tuple[fx.Node, list[int]]]:
        """Give each member's logits an axis of members."""
        return [
            (self._graph.call_method("unsqueeze", (found[result], 1)), [index])
            for index, found in enumerate(self._found)
        ]
