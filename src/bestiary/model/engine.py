"""Choose the fastest engine that computes a classifier on a device: OpenVINO or PyTorch.

With OpenVINO installed, a CPU runs OpenVINO's graph, several times as fast as PyTorch. The graph is
compared with the network when it is built, and PyTorch takes over where they disagree. Any other
device runs PyTorch. Knows nothing of images on disk, labels or ensembles.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bestiary.atomic import atomic_path
from bestiary.caches import cache_root, evict_least_recently_used, mark_used
from bestiary.errors import ArgumentError, BestiaryError, one_line
from bestiary.model.classifier import Classifier
from bestiary.model.forks import check_can_compute, note_computing
from bestiary.model.infer_requests import InferRequests
from bestiary.model.inference import run_network
from bestiary.recipe.choices import Engine, Precision

Output = Literal["logits", "features"]
Network = Callable[[torch.Tensor], NDArray[np.float32]]  # uint8 (n, size, size, 3) -> (n, outputs)

# The largest root mean square difference to PyTorch's float32, as a share of the outputs' standard
# deviation. bf16 keeps 8 bits of each factor, which comes to a few hundredths over fifty layers.
TOLERANCE = {"float32": 1e-3, "bf16": 0.1}
MAX_GRAPH_CACHE_BYTES = 4_000_000_000  # the least recently used graphs are removed first

# The converter and TorchScript keep what they trace in tables of the whole process.
_BUILDING = threading.Lock()
_LOADING_CORE = threading.Lock()


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """A network that is ready to run.

    Attributes:
        run: views -> output; threads may call it at the same time.
        engine: what runs it, in words.
        fallback_reason: why OpenVINO was tried and not used; empty otherwise.
    """

    run: Network
    engine: str
    fallback_reason: str = ""


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
    check_can_compute()
    note_computing()
    torch_name = f"PyTorch {precision}"
    compute = classifier.features if output == "features" else None

    def run_by_torch(views: torch.Tensor) -> NDArray[np.float32]:
        return run_network(classifier, [views], device, precision, output=compute)

    # PyTorch, where it is asked for or the only choice.
    can_use_openvino = device.type == "cpu" and openvino_is_installed()
    if engine == "torch" or (engine == "auto" and not can_use_openvino):
        return BuiltNetwork(run_by_torch, torch_name)
    if not openvino_is_installed():
        raise ArgumentError("--engine openvino: is not installed; pip install 'bestiary[export]'")
    if device.type != "cpu":
        raise ArgumentError(f"--engine openvino: computes on a CPU, not on {device}; leave it out")

    # OpenVINO, unless it disagrees.
    openvino_precision: Precision = "bf16" if precision == "bf16" else "float32"
    path = graph_path() if graph_path else None
    with _BUILDING:
        run, reason = _openvino_network(classifier, size, openvino_precision, output, path)
    if run is not None:
        return BuiltNetwork(run, f"OpenVINO {openvino_precision}")
    if engine == "openvino":
        raise ArgumentError(f"--engine openvino: {reason}; use --engine torch")
    return BuiltNetwork(run_by_torch, torch_name, reason)


def cached_graph(weights: Path, size: int) -> Path:
    """Name the file that caches a member's graph.

    The file is not in the run. A run from a stranger must not bring a graph that differs from its
    weights, and a run may be read-only.

    Args:
        weights: file of the member.
        size: side of the views in pixels.

    Returns:
        The path of the .xml file in the cache folder.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    version = importlib.metadata.version("openvino")
    return cache_root() / "graphs" / f"{digest[:32]}-{size}-{version}.xml"


def openvino_is_installed() -> bool:
    """Return whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def openvino_options(precision: Precision) -> dict[str, str]:
    """Return the options for OpenVINO's `compile_model`.

    Args:
        precision: of the arithmetic; float32 unless bf16.

    Returns:
        Options for the shortest time of each request.
    """
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }


def openvino_core() -> Any:
    """Return OpenVINO's core, one for the life of this process.

    It gives the thread that loads it a stack for signal handlers, and frees that stack only in the
    thread that unloads it. If that were another thread, the next Ctrl-C would crash the process.
    """
    with _LOADING_CORE:  # two threads would load two cores
        return _load_core()


@cache
def _load_core() -> Any:
    import openvino

    return openvino.Core()


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Stop OpenVINO's converter from sending usage statistics: it sends none in a CI job."""
    former = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if former is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = former


class _EndToEnd(nn.Module):
    """Views -> output as one graph, preprocessing inside."""

    def __init__(self, classifier: Classifier, output: Output) -> None:
        super().__init__()
        self.classifier = classifier
        self.output = output

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        images = self.classifier.preprocess(views)
        if self.output == "features":
            return self.classifier.features(images)
        return cast(torch.Tensor, self.classifier(images))


def _openvino_network(
    classifier: Classifier, size: int, precision: Precision, output: Output, path: Path | None
) -> tuple[Network | None, str]:
    """Build OpenVINO's network from the cached graph or the weights; if neither works, say why."""
    if path is not None and path.exists():
        with suppress(RuntimeError):  # a damaged graph is converted again
            return _read_graph(path, precision), ""

    module = _EndToEnd(classifier, output).eval()
    try:
        graph = _convert(module, size)
        run = _compile(graph, precision)
        difference = _difference(module, run, size)
    except Exception as error:  # OpenVINO and the tracer raise anything
        return None, f"OpenVINO cannot convert {classifier.name} ({one_line(error, 100)})"
    if not difference <= TOLERANCE[precision]:
        reason = f"differs from PyTorch by {difference:.2g} of the outputs' spread"
        return None, f"OpenVINO's {precision} {reason}"

    # Every later start reads the file, so this one does too: the same last bits.
    if path is not None and _write_graph(graph, path):
        run = _compile(path, precision)
    return run, ""


def _convert(module: nn.Module, size: int) -> Any:
    import openvino

    views = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    shape = openvino.PartialShape([-1, size, size, 3])
    with warnings.catch_warnings(), torch.inference_mode(), telemetry_off():
        warnings.simplefilter("ignore")  # tracing warns of every Python value it makes constant
        try:
            return openvino.convert_model(module, example_input=views, input=[shape])
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


def _compile(graph: Any, precision: Precision) -> Network:
    compiled = openvino_core().compile_model(graph, "CPU", openvino_options(precision))
    requests = InferRequests(compiled)

    def run(views: torch.Tensor) -> NDArray[np.float32]:
        (result,) = requests.run(views.numpy(), [0])
        return result

    return run


def _difference(module: nn.Module, run: Network, size: int) -> float:
    """Root mean square difference of `run` and float32 PyTorch, as a share of the deviation."""
    # Smooth random views. They come from a torch generator with a fixed seed and not from
    # `bestiary.rng`: the comparison belongs to no run, so it has no run's seed, and the views must
    # stay the same for a graph to be accepted or refused alike everywhere.
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((4, 3, 7, 7), generator=generator)
    smooth = functional.interpolate(noise, size=(size, size), mode="bilinear")
    views = (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    with torch.inference_mode():
        exact = module(views).numpy()
    error = np.sqrt(np.mean((run(views) - exact) ** 2))
    return float(error / (exact.std() + 1e-6))


def _read_graph(path: Path, precision: Precision) -> Network:
    run = _compile(path, precision)
    mark_used(path)
    return run


def _write_graph(graph: Any, path: Path) -> bool:
    """Write the graph, weights (.bin) first: the .xml is what later starts look for."""
    import openvino

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # OpenVINO names the .bin after the .xml, so it writes both into a temporary folder.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            xml = Path(folder) / "graph.xml"
            openvino.save_model(graph, xml, compress_to_fp16=False)
            _make_room(path.parent, xml.with_suffix(".bin").stat().st_size)
            for suffix in (".bin", ".xml"):
                with atomic_path(path.with_suffix(suffix)) as temporary:
                    os.replace(xml.with_suffix(suffix), temporary)
    except (OSError, RuntimeError, BestiaryError):
        return False  # without a cache, the next start takes some seconds more
    return True


def _make_room(folder: Path, n_bytes: int) -> None:
    graphs = [(xml, xml.with_suffix(".bin")) for xml in folder.glob("*.xml")]
    evict_least_recently_used(graphs, MAX_GRAPH_CACHE_BYTES - n_bytes)
