"""A network and a batch -> its torch.fx graph, in which all sides but the batch's are numbers.

torch.fx alone stops where a network asks for the size of what it computes, as a transformer does
before it fits its position embedding. Here each step is computed for the batch too, so the sizes
are known; the number of images stays open. Knows nothing of members and of what they share.
"""

import threading
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import fx, nn


class _SizedProxy(fx.Proxy):
    """What a step will compute, with the shape that it has for the example."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """Its sides. The first is that of the batch, which is read where the graph runs."""
        value = self.node.meta.get("example")
        if not isinstance(value, torch.Tensor):
            return cast(tuple[Any, ...], fx.Proxy.__getattr__(self, "shape"))
        return (self.size(0), *value.shape[1:]) if value.ndim else ()


class SizedTracer(fx.Tracer):
    """Traces down to the modules that are leaves.

    While it traces, torch.fx sees the calls of all threads; those of others pass.

    Args:
        is_leaf: dotted name of a module -> whether the graph has it as one step.
        example: the network's input (n, ...). A graph that holds for n images alone is not noticed
            here, but fails with any other number.
    """

    def __init__(self, is_leaf: Callable[[str], bool], example: torch.Tensor) -> None:
        super().__init__()
        self._is_leaf = is_leaf
        self._example = example
        self._thread = threading.get_ident()
        self._computing = False  # an example: its calls are no steps

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Trace the first argument; the others keep their defaults."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a step."""
        return _SizedProxy(node, self)

    def create_proxy(self, kind: str, *step: Any, **named: Any) -> Any:
        """Add a step, and compute it for the example."""
        proxy = super().create_proxy(kind, *step, **named)
        if kind != "output":
            self._example_of(proxy.node)
        return proxy

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is one step."""
        return self._is_leaf(module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Add the step of a module, or trace into it."""
        if self._passes():
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Add the step that reads a tensor of the network."""
        if self._passes():
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _passes(self) -> bool:
        return self._computing or threading.get_ident() != self._thread

    def _example_of(self, node: fx.Node) -> Any:
        """Compute a step of what the steps before it gave, once."""
        if "example" not in node.meta:
            node.meta["example"] = self._compute(node)
        return node.meta["example"]

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._example
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._example_of)
        self._computing = True
        try:
            with torch.no_grad():
                return self._run(node, args, kwargs)
        finally:
            self._computing = False

    def _run(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            first, *others = args
            return getattr(first, str(node.target))(*others, **kwargs)
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            return getattr(self.root.get_submodule(owner), name)
        return cast(Callable[..., Any], node.target)(*args, **kwargs)
