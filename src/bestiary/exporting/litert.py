"""A traced ensemble <-> a LiteRT file (.tflite), for phones and small boards.

The file takes one image at a time. Its card and its labels are files in a ZIP archive behind the
network, as TensorFlow Lite's metadata has them: LiteRT reads past them, and `zipfile` opens them.
Knows nothing of runs.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from bestiary.exporting.graph import INPUT, OUTPUTS, Outputs

CARD_FILE = "bestiary.json"
LABELS_FILE = "labels.txt"
NEEDS = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer")
SIGNATURE = "serving_default"
# Kinds of operations that int8 pays for. What follows them, averaging and probabilities among it,
# stays in float32, as in the other formats.
INT8_KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")
FLOAT16_KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class _Named(nn.Module):
    """A program whose input and outputs keep their names in the file."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        self.training = False  # `eval` would be passed on, and programs refuse it

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the outputs by name."""
        return dict(zip(OUTPUTS, self.program(pixels), strict=True))


def build_litert(program: ExportedProgram, size: int) -> bytes:
    """Convert a program.

    Args:
        program: the traced ensemble.
        size: side of its views.

    Returns:
        The LiteRT model, a FlatBuffer.
    """
    import litert_torch

    pixels = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    converted = litert_torch.convert(_Named(program), sample_kwargs={INPUT: pixels})
    return _through_file(converted.export)


def save_litert(model: bytes, card: dict[str, Any], file: Path) -> None:
    """Write a model with its card and its labels.

    Args:
        model: the model.
        card: the card.
        file: the file.
    """
    file.write_bytes(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        labels = "".join(f"{' '.join(name.split())}\n" for name in card["classes"])
        for name, text in ((CARD_FILE, json.dumps(card)), (LABELS_FILE, labels)):
            # A fixed time, so that the same run gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), text)


def read_litert_card(file: Path) -> dict[str, Any]:
    """Read the card of a file.

    Args:
        file: the file.

    Returns:
        The card.
    """
    with zipfile.ZipFile(file) as archive:
        return dict(json.loads(archive.read(CARD_FILE)))


def open_litert(file: Path, precision: str) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Open a file with LiteRT's interpreter.

    Args:
        file: the file.
        precision: not used; the file's own counts.

    Returns:
        A function that runs it, image by image.
    """
    from ai_edge_litert.interpreter import Interpreter

    run_one = Interpreter(str(file)).get_signature_runner(SIGNATURE)

    def run(views: NDArray[np.uint8]) -> Outputs:
        rows = [run_one(**{INPUT: view[None]}) for view in views]
        return Outputs(*(np.concatenate([row[name] for row in rows]) for name in OUTPUTS))

    return run


def litert_to_int8(model: bytes, views: NDArray[np.uint8]) -> bytes:
    """Quantize weights and activations of the convolutions to int8.

    Args:
        model: the model in float32.
        views: images that the ranges come from, uint8 (n, size, size, 3).

    Returns:
        The model in int8.
    """
    from ai_edge_quantizer import quantizer

    work = _quantizer(model)
    for kind in INT8_KINDS:
        work.add_static_config(
            regex=".*",
            operation_name=quantizer.qtyping.TFLOperationName[kind],
            activation_num_bits=8,
            weight_num_bits=8,
        )
    ranges = work.calibrate({SIGNATURE: [{INPUT: view[None]} for view in views]})
    return _through_file(work.quantize(ranges).export_model)


def litert_to_float16(model: bytes, views: NDArray[np.uint8]) -> bytes:
    """Store weights in float16; a phone computes in float16 or in float32, as it likes.

    Args:
        model: the model in float32.
        views: not used, since nothing is calibrated.

    Returns:
        The model, half as large.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping

    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=half,
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    work = _quantizer(model)
    for kind in FLOAT16_KINDS:
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName[kind],
            op_config=config,
            algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
        )
    return _through_file(work.quantize().export_model)


def _quantizer(model: bytes) -> Any:
    from ai_edge_quantizer import quantizer

    return quantizer.Quantizer(bytearray(model))


def _through_file(write: Callable[[str], object]) -> bytes:
    """What a function writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        write(str(file))
        return file.read_bytes()
