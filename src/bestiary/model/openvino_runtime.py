"""OpenVINO's core, and graphs compiled by it for this CPU.

Knows nothing of how a graph is made or where it is kept.
"""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bestiary.cores import cores
from bestiary.recipe.choices import Precision

_LOADING_CORE = threading.Lock()
_DIGEST_BYTES = hashlib.sha256().digest_size


def compile_graph(graph: Any, precision: Precision, *, together: bool = False) -> Any:
    """Compile a graph for this CPU.

    Args:
        graph: OpenVINO's model, or the .xml file of one.
        precision: of the arithmetic; float32 unless bf16.
        together: for the most images a second rather than the shortest time of each request.

    Returns:
        OpenVINO's compiled model.
    """
    return openvino_core().compile_model(graph, "CPU", openvino_options(precision, together))


def stack_graphs(graphs: Sequence[Any]) -> Any:
    """Join graphs of one kind of input to one graph, which computes them all.

    Args:
        graphs: OpenVINO's models, input (n, ...) -> output (n, classes). They are used up.

    Returns:
        OpenVINO's model, input -> outputs (n, graphs, classes).
    """
    import openvino
    from openvino import opset13

    (views,) = graphs[0].get_parameters()
    outputs = []
    for graph in graphs:
        (own,) = graph.get_parameters()
        if own is not views:
            own.output(0).replace(views.output(0))
        (result,) = graph.get_results()
        outputs.append(opset13.unsqueeze(result.input_value(0), opset13.constant([1])))
    return openvino.Model([opset13.concat(outputs, 1)], [views])


def import_compiled(file: Path, precision: Precision, *, together: bool = False) -> Any:
    """Read a graph that was compiled on a CPU of this kind.

    Args:
        file: as `compiled_content` gives it.
        precision: as it was compiled.
        together: as it was compiled.

    Returns:
        OpenVINO's compiled model.

    Raises:
        OSError: there is no such file.
        RuntimeError: the file is damaged.
    """
    with file.open("rb") as stream:
        digest = stream.read(_DIGEST_BYTES)
        content = stream.read()
    if hashlib.sha256(content).digest() != digest:
        raise RuntimeError(f"{file}: its checksum is wrong")
    return openvino_core().import_model(content, "CPU", openvino_options(precision, together))


def compiled_content(compiled: Any) -> bytes:
    """Give the content of a file for `import_compiled`: SHA-256, then the compiled model.

    OpenVINO notices a file that is cut off, but no byte that has changed.

    Args:
        compiled: OpenVINO's compiled model.
    """
    content = bytes(compiled.export_model().getvalue())
    return hashlib.sha256(content).digest() + content


def streams_of(compiled: Any) -> int:
    """Count the requests that a graph compiled for throughput computes at the same time."""
    return int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))


def cpu_name() -> str:
    """Return the full name of this CPU, as OpenVINO gives it."""
    return str(openvino_core().get_property("CPU", "FULL_DEVICE_NAME"))


def openvino_options(precision: Precision, together: bool = False) -> dict[str, str]:
    """Return the options for OpenVINO's `compile_model`.

    Args:
        precision: of the arithmetic; float32 unless bf16.
        together: for requests that are computed at the same time.

    Returns:
        Options for the shortest time of each request, or for the most images a second.
    """
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    if together:  # a stream for each core of the machine would be made, granted or not
        options |= {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": str(cores())}
    return options


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

    # The first conversion of an array fills a table of OpenVINO's binding. Two threads that begin
    # it together may wait for each other forever, one with the table's lock and one with Python's.
    tensor = openvino.Tensor(np.zeros((1, 1), np.uint8))
    tensor.get_element_type().to_dtype()
    assert tensor.data.dtype == np.uint8
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
