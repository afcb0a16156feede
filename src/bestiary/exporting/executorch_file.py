"""A traced ensemble <-> an ExecuTorch file (.pte), for phones and small boards.

The file takes one image at a time, and computes by XNNPACK where it can. Its card and its labels
are files in a ZIP archive behind the network, as in a LiteRT file: ExecuTorch reads past them.
Knows nothing of runs.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bestiary.exporting.graph import Outputs

NEEDS = ("executorch",)
METHOD = "forward"


def build_executorch(program: ExportedProgram, size: int) -> bytes:
    """Convert a program.

    Args:
        program: the traced ensemble.
        size: side of its views.

    Returns:
        The ExecuTorch program, a FlatBuffer.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    pixels = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    single = torch.export.export(program.module(), (pixels,))
    lowered = to_edge_transform_and_lower(single, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def open_executorch(file: Path, precision: str) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Open a file with ExecuTorch's runtime.

    Args:
        file: the file.
        precision: not used; the file's own counts.

    Returns:
        A function that runs it, image by image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its interface may change
        from executorch.runtime import Runtime

    method = Runtime.get().load_program(file).load_method(METHOD)

    def run_one(view: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        pixels = torch.from_numpy(np.ascontiguousarray(view[None]))
        # The outputs' memory is that of the next call, too.
        return [output.numpy().copy() for output in method.execute([pixels])]

    def run(views: NDArray[np.uint8]) -> Outputs:
        rows = [run_one(view) for view in views]
        return Outputs(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    return run
