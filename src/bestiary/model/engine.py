"""A classifier -> the fastest function there is from views to its output on a device.

On a CPU with OpenVINO installed that is OpenVINO's graph, several times as fast as PyTorch; it is
compared with the network when it is built, and PyTorch takes over where they disagree. Everywhere
else it is PyTorch itself. Knows nothing of images on disk, labels or ensembles.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bestiary.caches import cache_root, make_room
from bestiary.errors import ArgumentError
from bestiary.model.classifier import Classifier
from bestiary.model.compute import Precision
from bestiary.model.inference import run_network

Engine = Literal["auto", "openvino", "torch"]
Output = Literal["logits", "features"]
Network = Callable[[torch.Tensor], NDArray[np.float32]]  # uint8 (n, size, size, 3) -> (n, outputs)

# Largest root mean square difference to PyTorch's float32, as a share of the outputs' own spread.
# bf16 keeps 8 bits of each product's factors; over some fifty layers that comes to a few
# hundredths.
TOLERANCE = {"float32": 1e-3, "bf16": 0.1}
KEPT_BYTES = 4_000_000_000  # of graphs in the cache folder; those used longest ago go first


@dataclass(frozen=True, slots=True)
class Built:
    """A network ready to be run.

    Attributes:
        run: views -> output.
        engine: what runs it, in words.
        refused: why it is not OpenVINO, where that was tried; empty else.
    """

    run: Network
    engine: str
    refused: str = ""


def build_network(
    classifier: Classifier,
    size: int,
    device: torch.device,
    precision: Precision,
    *,
    engine: Engine = "auto",
    output: Output = "logits",
    kept: Callable[[], Path] | None = None,
) -> Built:
    """Build the function that runs `classifier`.

    Args:
        classifier: in eval mode, on `device`, channels innermost.
        size: side of the views in pixels.
        device: where to compute.
        precision: arithmetic; the result is float32 always.
        engine: auto takes OpenVINO on a CPU if it is installed, and PyTorch where it is not or
            disagrees.
        output: logits, or what the last linear layer is given.
        kept: tells the file (.xml) that the graph is read from if it is there, else written to;
            asked only where there is to be a graph, since finding its name may take reading all
            weights. None: it is not kept.

    Raises:
        ArgumentError: OpenVINO is asked for, and is not installed, the device is no CPU, or it
            disagrees.
    """
    torch_name = f"PyTorch {precision}"
    compute = classifier.features if output == "features" else None

    def by_torch(views: torch.Tensor) -> NDArray[np.float32]:
        return run_network(classifier, [views], device, precision, output=compute)

    if engine == "torch" or (engine == "auto" and (device.type != "cpu" or not is_installed())):
        return Built(by_torch, torch_name)
    if not is_installed():
        raise ArgumentError("--engine openvino: is not installed; pip install 'bestiary[export]'")
    if device.type != "cpu":
        raise ArgumentError(f"--engine openvino: computes on a CPU, not on {device}; leave it out")
    run, reason = _openvino_network(classifier, size, precision, output, kept() if kept else None)
    if run is not None:
        return Built(run, f"OpenVINO {precision if precision == 'bf16' else 'float32'}")
    if engine == "openvino":
        raise ArgumentError(f"--engine openvino: {reason}; use --engine torch")
    return Built(by_torch, torch_name, reason)


def cached_graph(weights: Path, size: int) -> Path:
    """Where the graph of the member in the file `weights` is kept, for views of `size` pixels.

    Not in the run: one from a stranger must not bring a graph that is not of its weights, and runs
    may be read-only.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (
        cache_root()
        / "graphs"
        / f"{digest[:32]}-{size}-{importlib.metadata.version('openvino')}.xml"
    )


def is_installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


class _Whole(nn.Module):
    """Views -> output as one graph, normalization inside."""

    def __init__(self, classifier: Classifier, output: Output) -> None:
        super().__init__()
        self.classifier = classifier
        self.output = output

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        images = self.classifier.preprocess(views)
        return (
            self.classifier.features(images)
            if self.output == "features"
            else self.classifier(images)
        )


def _openvino_network(
    classifier: Classifier, size: int, precision: Precision, output: Output, kept: Path | None
) -> tuple[Network | None, str]:
    """OpenVINO's network, or None and the reason."""
    wanted: Precision = "bf16" if precision == "bf16" else "float32"
    if kept is not None and kept.exists():
        with suppress(RuntimeError):  # a damaged graph is built anew
            run = _compile(kept, wanted)
            with suppress(
                OSError
            ):  # marks it as used, see make_room; a cache may be shared and read-only
                os.utime(kept)
            return run, ""
    whole = _Whole(classifier, output).eval()
    try:
        graph = _convert(whole, size)
        run = _compile(graph, wanted)
        difference = _difference(whole, run, size)
    except (
        Exception
    ) as error:  # OpenVINO and the tracer raise what they please for what they cannot convert
        return (
            None,
            f"OpenVINO cannot convert {classifier.name} ({' '.join(str(error).split())[:100]})",
        )
    if not difference <= TOLERANCE[wanted]:
        return (
            None,
            f"OpenVINO's {wanted} differs from PyTorch by {difference:.2g} of the outputs' spread",
        )
    if kept is not None and _keep(graph, kept):
        run = _compile(
            kept, wanted
        )  # the same last bits as every later start, which reads the file
    return run, ""


def _convert(whole: nn.Module, size: int) -> Any:
    import openvino

    views = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode(), unreported():
        warnings.simplefilter(
            "ignore"
        )  # tracing warns of every Python value that it takes for a constant
        shape = openvino.PartialShape([-1, size, size, 3])
        try:
            return openvino.convert_model(whole, example_input=views, input=[shape])
        finally:
            _forget_traces()


def _forget_traces() -> None:
    """Let go of the modules that the converter has traced.

    TorchScript keeps the types of all modules that it has ever seen, and with them their weights:
    40 MB for each EfficientNet-Lite0, which five folds of many variants make gigabytes. PyTorch has
    no public name for this; its own tests do the same between any two of them
    (torch.testing._internal.jit_utils).
    """
    with suppress(AttributeError):  # names of another version: then it is kept, as it always was
        torch._C._jit_clear_class_registry()
        torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
        torch.jit._state._clear_class_state()


@contextmanager
def unreported() -> Iterator[None]:
    """OpenVINO's converter sends usage statistics wherever it does not find itself in a CI job;
    here it finds so.
    """
    former = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if former is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = former


@cache
def openvino_core() -> Any:
    """OpenVINO's one core of this process, which lives as long as that.

    It gives the thread that loads it a stack for signal handlers, and takes it back only in the
    thread that unloads it: if that is another, the next Ctrl-C ends in a segmentation fault.
    """
    import openvino

    return openvino.Core()


def _compile(graph: Any, precision: Precision) -> Network:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    compiled = openvino_core().compile_model(graph, "CPU", options)

    def run(views: torch.Tensor) -> NDArray[np.float32]:
        return np.array(compiled(views.numpy())[0], np.float32)

    return run


def _difference(whole: nn.Module, run: Network, size: int) -> float:
    """Root mean square difference of `run` and float32 PyTorch on smooth random views, as a
    share of their spread.
    """
    noise = torch.rand((4, 3, 7, 7), generator=torch.Generator().manual_seed(0))
    smooth = functional.interpolate(noise, size=(size, size), mode="bilinear")
    views = (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    with torch.inference_mode():
        exact = whole(views).numpy()
    return float(np.sqrt(np.mean((run(views) - exact) ** 2)) / (exact.std() + 1e-6))


def _keep(graph: Any, kept: Path) -> bool:
    """Write the graph (.xml and .bin) whole or not at all; the .xml comes last, and makes it
    count.
    """
    import openvino

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as folder:
            openvino.save_model(graph, Path(folder) / "graph.xml", compress_to_fp16=False)
            needed = (Path(folder) / "graph.bin").stat().st_size
            graphs = [(xml, xml.with_suffix(".bin")) for xml in kept.parent.glob("*.xml")]
            make_room(graphs, KEPT_BYTES - needed)
            os.replace(Path(folder) / "graph.bin", kept.with_suffix(".bin"))
            os.replace(Path(folder) / "graph.xml", kept)
    except (
        OSError,
        RuntimeError,
    ):  # a cache that cannot be written costs the next start seconds, no more
        return False
    return True
