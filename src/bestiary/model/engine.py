"""Choose the fastest engine that computes classifiers on a device: OpenVINO or PyTorch.

With OpenVINO installed, a CPU runs OpenVINO's graph, several times as fast as PyTorch. The graph is
compared with the network when it is built, and PyTorch takes over where they disagree. Any other
device runs PyTorch. Knows nothing of images on disk, labels or ensembles.
"""

import importlib.util
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bestiary.details import detail, stage
from bestiary.errors import ArgumentError, one_line
from bestiary.model.classifier import Classifier
from bestiary.model.compute import DTYPES
from bestiary.model.forks import check_can_compute, note_computing
from bestiary.model.graph_cache import read_graph, write_graph
from bestiary.model.infer_requests import InferRequests
from bestiary.model.joint import JointClassifier, smooth_views
from bestiary.model.openvino_runtime import (
    compile_graph,
    openvino_core,
    stack_graphs,
    telemetry_off,
)
from bestiary.model.streams import Streams
from bestiary.model.transfer import send
from bestiary.recipe.choices import Engine, Precision

Output = Literal["logits", "features"]
# uint8 (n, size, size, 3) -> (n, outputs), or for several members (n, members, outputs)
Network = Callable[[torch.Tensor], NDArray[np.float32]]
# The same on a device: uint8 views there -> float32 outputs there, which need not be computed yet.
DeviceNetwork = Callable[[torch.Tensor], torch.Tensor]

# The largest root mean square difference to PyTorch's float32, as a share of the outputs' standard
# deviation. bf16 keeps 8 bits of each factor, which comes to a few hundredths over fifty layers.
TOLERANCE = {"float32": 1e-3, "bf16": 0.1}

CPU = torch.device("cpu")

# The converter and TorchScript keep what they trace in tables of the whole process.
_BUILDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """A network that is ready to run.

    Attributes:
        run: views -> output; threads may call it at the same time.
        engine: what runs it, in words.
        fallback_reason: why OpenVINO was tried and not used; empty otherwise.
        device: where it computes.
        on_device: the same for views that are there, and outputs that stay there; None where
            OpenVINO runs.
    """

    run: Network
    engine: str
    fallback_reason: str = ""
    device: torch.device = CPU
    on_device: DeviceNetwork | None = None


@stage("Building the network")
def build_network(
    classifier: Classifier,
    size: int,
    device: torch.device,
    precision: Precision,
    *,
    engine: Engine = "auto",
    output: Output = "logits",
    graph_path: Callable[[], Path] | None = None,
) -> BuiltNetwork:
    """Build the function that runs a classifier.

    Args:
        classifier: in eval mode, on `device`, channels last.
        size: side of the views in pixels.
        device: where to compute.
        precision: of the arithmetic; the result is always float32.
        engine: auto uses OpenVINO on a CPU if it is installed and agrees, else PyTorch.
        output: logits, or the input of the last linear layer.
        graph_path: returns the file (.xml) that caches the graph. It is called only where a graph
            is needed, since its name may depend on all weights. None: the graph is not cached.

    Returns:
        The function, and what runs it.

    Raises:
        ArgumentError: OpenVINO is asked for, and is not installed, disagrees, or the device is not
            a CPU.
        ForkError: this process was forked from one that had computed.
    """
    make = partial(_EndToEnd, classifier, output)
    return _build(make, size, device, precision, engine, graph_path)


@stage("Building the network")
def build_joint_network(
    members: Callable[[], Sequence[Classifier]],
    size: int,
    device: torch.device,
    precision: Precision,
    *,
    engine: Engine = "auto",
    graph_path: Callable[[], Path] | None = None,
    member_graphs: Sequence[Path] = (),
) -> BuiltNetwork:
    """Build the function that runs several classifiers, what they share once.

    Args:
        members: returns the classifiers, as for `build_network`, all with the same outputs. It is
            not called where a cached graph is used.
        size: side of the views in pixels.
        device: where to compute.
        precision: of the arithmetic; the result is always float32.
        engine: as for `build_network`.
        graph_path: as for `build_network`.
        member_graphs: files of the members' own graphs, which are used where they exist and the
            members share nothing.

    Returns:
        The function, views -> logits (n, members, classes), and what runs it.

    Raises:
        ArgumentError: as for `build_network`.
        ForkError: this process was forked from one that had computed.
    """
    return _build(
        lambda: JointClassifier(members(), size),
        size,
        device,
        precision,
        engine,
        graph_path,
        member_graphs,
    )


def _build(
    make: Callable[[], "_EndToEnd | JointClassifier"],
    size: int,
    device: torch.device,
    precision: Precision,
    engine: Engine,
    graph_path: Callable[[], Path] | None,
    member_graphs: Sequence[Path] = (),
) -> BuiltNetwork:
    """Build the function that runs a module; `make` is called where a cached graph is not used."""
    check_can_compute()
    note_computing()

    # PyTorch, where it is asked for or the only choice.
    if engine != "openvino" and not uses_openvino(engine, device):
        detail(f"engine: PyTorch on {device}, since {_why_torch(engine, device)}")
        with _BUILDING:
            module = make().eval()
        return _torch_network(module, device, precision)
    if not openvino_is_installed():
        raise ArgumentError("--engine openvino: is not installed; pip install 'bestiary[export]'")
    if device.type != "cpu":
        raise ArgumentError(f"--engine openvino: computes on a CPU, not on {device}; leave it out")

    # OpenVINO, unless it disagrees.
    openvino_precision: Precision = "bf16" if precision == "bf16" else "float32"
    openvino_name = f"OpenVINO {openvino_precision}"
    path = graph_path() if graph_path else None
    with _BUILDING:
        if path is not None and path.exists():
            with suppress(RuntimeError):  # a damaged graph is converted again
                detail(f"engine: {openvino_name}, its graph from the cache: {path}")
                read = partial(read_graph, path, openvino_precision)
                return BuiltNetwork(_run_compiled(read), openvino_name)
        module = make().eval()
        run, reason = _openvino_network(module, size, openvino_precision, path, member_graphs)
    if run is not None:
        detail(f"engine: {openvino_name}, its graph converted now")
        return BuiltNetwork(run, openvino_name)
    if engine == "openvino":
        raise ArgumentError(f"--engine openvino: {reason}; use --engine torch")
    detail(f"engine: PyTorch on {device}, since {reason}")
    return _torch_network(module, device, precision, reason)


def _torch_network(
    module: "_EndToEnd | JointClassifier",
    device: torch.device,
    precision: Precision,
    fallback_reason: str = "",
) -> BuiltNetwork:
    @torch.inference_mode()
    def on_device(views: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "float32"):
            return cast(torch.Tensor, module(views)).float()

    def run(views: torch.Tensor) -> NDArray[np.float32]:
        return on_device(send(views, device)).cpu().numpy()

    name = f"PyTorch {precision}"
    return BuiltNetwork(run, name, fallback_reason, device, on_device)


def _why_torch(engine: Engine, device: torch.device) -> str:
    if engine == "torch":
        return "it was asked for"
    return "OpenVINO is not installed" if device.type == "cpu" else "OpenVINO computes on CPUs"


def uses_openvino(engine: Engine, device: torch.device) -> bool:
    """Return whether OpenVINO is tried first."""
    return engine != "torch" and device.type == "cpu" and openvino_is_installed()


def openvino_is_installed() -> bool:
    """Return whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


class _EndToEnd(nn.Module):
    """Views -> output as one graph, preprocessing inside."""

    def __init__(self, classifier: Classifier, output: Output) -> None:
        super().__init__()
        self.name = classifier.name
        self.classifier = classifier
        self.output = output

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        images = self.classifier.preprocess(views)
        if self.output == "features":
            return self.classifier.features(images)
        return cast(torch.Tensor, self.classifier(images))


def _openvino_network(
    module: "_EndToEnd | JointClassifier",
    size: int,
    precision: Precision,
    path: Path | None,
    member_graphs: Sequence[Path],
) -> tuple[Network | None, str]:
    """Build OpenVINO's network; if that does not work, say why."""
    try:
        graph = _convert_any(module, size, member_graphs)
        compiled = compile_graph(graph, precision)
        difference = _difference(module, InferRequests(compiled), size)
    except Exception as error:  # OpenVINO and the tracer raise anything
        return None, f"OpenVINO cannot convert {module.name} ({one_line(error, 100)})"
    if not difference <= TOLERANCE[precision]:
        reason = f"differs from PyTorch by {difference:.2g} of the outputs' spread"
        return None, f"OpenVINO's {precision} {reason}"

    # Every later start reads the file, so this one does too: the same last bits.
    if path is not None and write_graph(graph, path):
        return _run_compiled(partial(compile_graph, path, precision)), ""
    return _run_compiled(partial(compile_graph, graph, precision)), ""


def _convert_any(
    module: "_EndToEnd | JointClassifier", size: int, member_graphs: Sequence[Path]
) -> Any:
    """Convert a module. Members that share nothing are converted one by one, which is faster."""
    if isinstance(module, _EndToEnd):
        return _convert(module, size)
    if module.shares:
        with suppress(Exception):  # a merged graph may have what a member alone has not
            return _convert(module, size)
    graphs = []
    for index, member in enumerate(module.members):
        own = member_graphs[index] if member_graphs else None
        if own is not None and own.exists():
            graphs.append(openvino_core().read_model(own))
        else:
            graphs.append(_convert(_EndToEnd(member, "logits").eval(), size))
    return stack_graphs(graphs)


def _convert(module: nn.Module, size: int) -> Any:
    import openvino

    views = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    shape = openvino.PartialShape([-1, size, size, 3])
    with warnings.catch_warnings(), torch.inference_mode(), telemetry_off():
        warnings.simplefilter("ignore")  # tracing warns of every Python value it makes constant
        try:
            # A check would trace and compute it again; the graph is compared with it anyway.
            trace: Any = torch.jit.trace
            traced = trace(module, views, strict=False, check_trace=False)
            return openvino.convert_model(traced, input=[shape])
        finally:
            _forget_traces()


def _forget_traces() -> None:
    """Free the modules that the converter has traced.

    TorchScript keeps the types of all modules that it has traced, and with them their weights:
    40 MB for each EfficientNet-Lite0, which many variants of five folds turn into gigabytes.
    PyTorch has no public name for this. Its own tests do the same
    (torch.testing._internal.jit_utils).
    """
    with suppress(AttributeError):  # another version's names; the traces then stay
        torch._C._jit_clear_class_registry()
        torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
        torch.jit._state._clear_class_state()


def _run_compiled(compile_network: Callable[..., Any]) -> Network:
    """Run a network that is compiled now for small batches, and once more for the first large one.

    Args:
        compile_network: takes `together` as `compile_graph` does.
    """
    streams = Streams(compile_network(), partial(compile_network, together=True))
    return lambda views: streams(views.numpy())


def _difference(module: nn.Module, requests: InferRequests, size: int) -> float:
    """Root mean square difference to float32 PyTorch, as a share of the outputs' deviation."""
    views = smooth_views(4, size)
    with torch.inference_mode():
        exact = module(views).numpy()
    (outputs,) = requests.run(views.numpy(), [0])
    error = np.sqrt(np.mean((outputs - exact) ** 2))
    return float(error / (exact.std() + 1e-6))
