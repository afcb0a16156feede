"""A traced ensemble <-> a file that other programs open: ONNX, OpenVINO's IR, PyTorch's own.

Each format is a handful of functions: build its model from the program, save it with the card
inside, open a file and run it as its readers do, and make its arithmetic int8. Knows nothing of
runs or images.
"""

import contextlib
import importlib.util
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bestiary.errors import ArgumentError
from bestiary.exporting.graph import INPUT, OUTPUTS, Outputs
from bestiary.model.compute import Precision
from bestiary.model.engine import openvino_core, unreported

Format = Literal["onnx", "openvino", "torch"]
Views = NDArray[np.uint8]  # (n, size, size, 3)
Card = dict[str, Any]
Runner = Callable[[Views], Outputs]

CARD = "bestiary"  # the name under which a file keeps its card
TORCH_CARD = "bestiary.json"
WEIGHTED = {
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Convolution",
    "GroupConvolution",
}  # in ONNX's and OpenVINO's terms


@dataclass(frozen=True, slots=True)
class Writer:
    """How one format is written and read.

    Attributes:
        suffix: of the file's name.
        needs: packages that writing needs.
        build: a traced graph and the side of its views -> the format's model.
        save: model, card and file -> the file, and for OpenVINO a .bin beside it.
        open: file and precision -> what runs it.
        quantize: model and calibration views -> the same in int8; None where the format has none.
    """

    suffix: str
    needs: tuple[str, ...]
    build: Callable[[ExportedProgram, int], Any]
    save: Callable[[Any, Card, Path], None]
    open: Callable[[Path, Precision], Runner]
    quantize: Callable[[Any, Views], Any] | None


def check_installed(names: tuple[str, ...], asked: str) -> None:
    """Raise ArgumentError where one of the packages `names` is missing; `asked` is what needs
    it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ArgumentError(
            f"{asked}: {missing[0]} is not installed; pip install 'bestiary[export]'"
        )


def read_card(file: Path) -> Card:
    """The card of an exported file, whichever format it has."""
    if file.suffix == ".onnx":
        import onnx

        entries = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        return dict(json.loads(entries[CARD]))
    if file.suffix == ".xml":
        return dict(json.loads(openvino_core().read_model(file).get_rt_info(CARD).value))
    extra = {TORCH_CARD: ""}
    torch.export.load(file, extra_files=extra)
    return dict(json.loads(extra[TORCH_CARD]))


def _build_onnx(program: ExportedProgram, size: int) -> Any:
    import onnx_ir
    from onnx_ir.passes import common

    with silenced():
        exported = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=[INPUT], output_names=[*OUTPUTS]
        )
        assert exported is not None
        # Members that were fine-tuned in part have the other part in common: it is kept, and
        # computed, once.
        once = (
            common.DeduplicateHashedInitializersPass(),
            common.CommonSubexpressionEliminationPass(),
        )
        # What is cleared names this machine's folders.
        clean = onnx_ir.passes.Sequential(
            *once, common.RemoveUnusedNodesPass(), common.ClearMetadataAndDocStringPass()
        )
        return onnx_ir.to_proto(clean(exported.model).model)


def _save_onnx(model: Any, card: Card, file: Path) -> None:
    import onnx

    onnx.helper.set_model_props(model, {CARD: json.dumps(card, ensure_ascii=False)})
    onnx.save(model, file)


def _open_onnx(file: Path, precision: Precision) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda views: Outputs(*session.run([*OUTPUTS], {INPUT: views}))


def _quantize_onnx(model: Any, views: Views) -> Any:
    import onnx

    named = [
        (node.name, node.op_type, list(node.input), list(node.output)) for node in model.graph.node
    ]
    quantized = _quantize(model, [{INPUT: view[None]} for view in views], _tail(named))
    onnx.checker.check_model(quantized)
    return quantized


def _build_openvino(program: ExportedProgram, size: int) -> Any:
    import openvino

    with silenced(), unreported():
        model = openvino.convert_model(program)
    model.reshape([-1, size, size, 3])
    model.inputs[0].get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def _save_openvino(model: Any, card: Card, file: Path) -> None:
    import openvino

    model.set_rt_info(json.dumps(card, ensure_ascii=False), CARD)
    openvino.save_model(model, file, compress_to_fp16=False)


def _open_openvino(file: Path, precision: Precision) -> Runner:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    compiled = openvino_core().compile_model(file, "CPU", options)

    def run(views: Views) -> Outputs:
        found = compiled(views)
        return Outputs(*(np.array(found[name], np.float32) for name in OUTPUTS))

    return run


def _quantize_openvino(model: Any, views: Views) -> Any:
    named = []
    for node in model.get_ordered_ops():
        inputs = [f"{i.get_source_output().get_node().get_friendly_name()}" for i in node.inputs()]
        named.append(
            (node.get_friendly_name(), node.get_type_name(), inputs, [node.get_friendly_name()])
        )
    return _quantize(model, [view[None] for view in views], _tail(named))


def _build_torch(program: ExportedProgram, size: int) -> Any:
    return program


def _save_torch(model: Any, card: Card, file: Path) -> None:
    with silenced():
        torch.export.save(model, file, extra_files={TORCH_CARD: json.dumps(card)})


def _open_torch(file: Path, precision: Precision) -> Runner:
    module = torch.export.load(file).module()

    def run(views: Views) -> Outputs:
        with torch.inference_mode():
            return Outputs(*(output.numpy() for output in module(torch.from_numpy(views))))

    return run


def _tail(nodes: list[tuple[str, str, list[str], list[str]]]) -> list[str]:
    """The names of the nodes behind the last layers with weights; of (name, kind, inputs, outputs)
    in order.

    Averaging and probabilities cost nothing in float32, and in int8 they would lose what the
    members agree on.
    """
    leading: set[str] = set()  # values that a layer with weights is still to see
    names = []
    for name, kind, inputs, outputs in reversed(nodes):
        if kind in WEIGHTED or leading & set(outputs):
            leading |= set(inputs)
        elif kind not in ("Constant", "Parameter", "Result"):
            names.append(name)
    return names


def _quantize(model: Any, items: list[Any], float_names: list[str]) -> Any:
    """NNCF's post-training quantization: weights by channel, activations by tensor, biases
    corrected.
    """
    os.environ.setdefault(
        "NNCF_CI", "1"
    )  # before its import: the way NNCF has of sending no usage statistics
    with silenced():
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(items),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(items),
            ignored_scope=nncf.IgnoredScope(names=float_names, validate=False),
        )


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """A block in which a library may print and warn without anybody hearing it."""
    hidden = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(hidden),
        contextlib.redirect_stderr(hidden),
    ):
        warnings.simplefilter("ignore")
        yield


WRITERS: dict[Format, Writer] = {
    "onnx": Writer(
        ".onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        _build_onnx,
        _save_onnx,
        _open_onnx,
        _quantize_onnx,
    ),
    "openvino": Writer(
        ".xml", ("openvino",), _build_openvino, _save_openvino, _open_openvino, _quantize_openvino
    ),
    "torch": Writer(".pt2", (), _build_torch, _save_torch, _open_torch, None),
}
