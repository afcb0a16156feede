"""A traced ensemble <-> a file that other programs open: ONNX, OpenVINO, PyTorch, phones' formats.

Each format has a few functions. They build its model from the program, save the model with the card
inside, open a file and run it as its readers do, and quantize it to int8. Those for phones are in
`bestiary.exporting.litert`, `bestiary.exporting.executorch_file` and `bestiary.exporting.coreml`.
Knows nothing of runs or images.
"""

import importlib.util
import io
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bestiary.errors import ArgumentError
from bestiary.exporting.coreml import NEEDS as COREML_NEEDS
from bestiary.exporting.coreml import NOTE as COREML_NOTE
from bestiary.exporting.coreml import (
    build_coreml,
    coreml_to_float16,
    open_coreml,
    read_coreml_card,
    save_coreml,
)
from bestiary.exporting.executorch_file import NEEDS as EXECUTORCH_NEEDS
from bestiary.exporting.executorch_file import build_executorch, open_executorch
from bestiary.exporting.graph import INPUT, OUTPUTS, Outputs
from bestiary.exporting.litert import (
    NEEDS,
    build_litert,
    litert_to_float16,
    litert_to_int8,
    open_litert,
    read_litert_card,
    save_litert,
)
from bestiary.exporting.new_file import PACKAGE
from bestiary.exporting.silent import silent_output
from bestiary.model.infer_requests import InferRequests
from bestiary.model.openvino_runtime import compile_graph, openvino_core, telemetry_off
from bestiary.recipe.choices import ExportFormat, Precision

Views = NDArray[np.uint8]  # (n, size, size, 3)
Card = dict[str, Any]
Runner = Callable[[Views], Outputs]

CARD_KEY = "bestiary"  # of the metadata of ONNX and OpenVINO files
CARD_FILE = "bestiary.json"  # inside a .pt2 file
# Kinds of layers with weights, as ONNX and OpenVINO name them.
WEIGHTED_KINDS = {
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Convolution",
    "GroupConvolution",
}
# Kinds of nodes that compute nothing.
PASSIVE_KINDS = ("Constant", "Parameter", "Result")


@dataclass(frozen=True, slots=True)
class Writer:
    """How one format is written and read.

    Attributes:
        suffix: suffix of the file's name.
        needs: packages that writing needs.
        build: traced graph and side of its views -> the format's model.
        save: writes (model, card, file), and for OpenVINO a .bin next to the file.
        open: file and precision -> a function that runs it.
        quantize: model and calibration views -> the same model in int8; None: not supported.
        halve: the same for float16.
        batch: number of images that the file takes at a time; None: any.
        extra: bestiary's extra that has the packages.
        note: what is to be known before the file is relied on; empty: nothing.
    """

    suffix: str
    needs: tuple[str, ...]
    build: Callable[[ExportedProgram, int], Any]
    save: Callable[[Any, Card, Path], None]
    open: Callable[[Path, Precision], Runner]
    quantize: Callable[[Any, Views], Any] | None
    halve: Callable[[Any, Views], Any] | None = None
    batch: int | None = None
    extra: str = "export"
    note: str = ""


class Node(NamedTuple):
    """A node of a format's graph: its name, kind, and the names of its inputs and outputs."""

    name: str
    kind: str
    inputs: list[str]
    outputs: list[str]


def check_installed(packages: tuple[str, ...], option: str, extra: str = "export") -> None:
    """Check that packages are installed.

    Args:
        packages: names of the packages.
        option: option that needs them.
        extra: bestiary's extra that has them.

    Raises:
        ArgumentError: a package is missing.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ArgumentError(
                f"{option}: {package} is not installed; pip install 'bestiary[{extra}]'"
            )


def read_card(file: Path) -> Card:
    """Read the card of an exported file of any format.

    Args:
        file: the exported file.

    Returns:
        The card.
    """
    if file.suffix == ".onnx":
        import onnx

        entries = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        return dict(json.loads(entries[CARD_KEY]))
    if file.suffix == ".xml":
        model = openvino_core().read_model(file)
        return dict(json.loads(model.get_rt_info(CARD_KEY).value))
    if file.suffix in (".tflite", ".pte"):
        return read_litert_card(file)
    if file.suffix == PACKAGE:
        return read_coreml_card(file)
    extra_files = {CARD_FILE: ""}
    torch.export.load(file, extra_files=extra_files)
    return dict(json.loads(extra_files[CARD_FILE]))


def _build_onnx(program: ExportedProgram, size: int) -> Any:
    import onnx_ir
    from onnx_ir.passes import common

    with silent_output():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[*OUTPUTS],
        )
        assert exported is not None
        clean_up = onnx_ir.passes.Sequential(
            # Members that were fine-tuned in part share the other part. The file holds it, and
            # computes it, once.
            common.DeduplicateHashedInitializersPass(),
            common.CommonSubexpressionEliminationPass(),
            common.RemoveUnusedNodesPass(),
            # Metadata names the folders of this machine.
            common.ClearMetadataAndDocStringPass(),
        )
        _lay_out_in_order(exported.model)
        return onnx_ir.to_proto(clean_up(exported.model).model)


def _lay_out_in_order(model: Any) -> None:
    """Copy the constants that are transposed views, as transformers have: they have no hash."""
    import onnx_ir

    for initializer in model.graph.initializers.values():
        values = initializer.const_value.numpy()
        if not values.flags.c_contiguous:
            initializer.const_value = onnx_ir.tensor(
                np.ascontiguousarray(values), name=initializer.name
            )


def _save_onnx(model: Any, card: Card, file: Path) -> None:
    import onnx

    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card, ensure_ascii=False)})
    onnx.save(model, file)


def _open_onnx(file: Path, precision: Precision) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda views: Outputs(*session.run([*OUTPUTS], {INPUT: views}))


def _quantize_onnx(model: Any, views: Views) -> Any:
    import onnx

    nodes = [
        Node(node.name, node.op_type, list(node.input), list(node.output))
        for node in model.graph.node
    ]
    items = [{INPUT: view[None]} for view in views]
    quantized = _quantize(model, items, _float_tail(nodes))
    onnx.checker.check_model(quantized)
    return quantized


def _build_openvino(program: ExportedProgram, size: int) -> Any:
    import openvino

    with silent_output(), telemetry_off():
        model = openvino.convert_model(program)
    model.reshape([-1, size, size, 3])
    model.inputs[0].get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def _save_openvino(model: Any, card: Card, file: Path) -> None:
    import openvino

    model.set_rt_info(json.dumps(card, ensure_ascii=False), CARD_KEY)
    openvino.save_model(model, file, compress_to_fp16=False)


def _open_openvino(file: Path, precision: Precision) -> Runner:
    compiled = compile_graph(file, precision)
    requests = InferRequests(compiled)

    def run(views: Views) -> Outputs:
        return Outputs(*requests.run(views, OUTPUTS))

    return run


def _quantize_openvino(model: Any, views: Views) -> Any:
    nodes = []
    for operation in model.get_ordered_ops():
        name = operation.get_friendly_name()
        inputs = [
            str(port.get_source_output().get_node().get_friendly_name())
            for port in operation.inputs()
        ]
        nodes.append(Node(name, operation.get_type_name(), inputs, [name]))
    items = [view[None] for view in views]
    return _quantize(model, items, _float_tail(nodes))


def _build_torch(program: ExportedProgram, size: int) -> Any:
    return program


def _save_torch(model: Any, card: Card, file: Path) -> None:
    # Into memory first: on a full disk, PyTorch's own writer ends the process.
    archive = io.BytesIO()
    with silent_output():
        torch.export.save(model, archive, extra_files={CARD_FILE: json.dumps(card)})
    file.write_bytes(archive.getbuffer())


def _open_torch(file: Path, precision: Precision) -> Runner:
    module = torch.export.load(file).module()

    def run(views: Views) -> Outputs:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(views))
            return Outputs(*(output.numpy() for output in outputs))

    return run


def _float_tail(nodes: list[Node]) -> list[str]:
    """Name the nodes behind the last layers with weights, which stay in float32; `nodes` in order.

    Averaging and probabilities cost next to nothing in float32. In int8 they would lose what the
    members agree on.
    """
    weighted_inputs: set[str] = set()  # values that a later layer with weights depends on
    names = []
    for node in reversed(nodes):
        if node.kind in WEIGHTED_KINDS or weighted_inputs & set(node.outputs):
            weighted_inputs |= set(node.inputs)
        elif node.kind not in PASSIVE_KINDS:
            names.append(node.name)
    return names


def _quantize(model: Any, items: list[Any], float_names: list[str]) -> Any:
    """Quantize to int8 after training, with NNCF.

    Weights are quantized by channel, activations by tensor, and biases are corrected.
    """
    # NNCF's switch for sending no usage statistics. It must be set before the import.
    os.environ.setdefault("NNCF_CI", "1")
    with silent_output():
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(items),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(items),
            ignored_scope=nncf.IgnoredScope(names=float_names, validate=False),
        )


WRITERS: dict[ExportFormat, Writer] = {
    "onnx": Writer(
        suffix=".onnx",
        needs=("onnx", "onnxscript", "onnxruntime"),
        build=_build_onnx,
        save=_save_onnx,
        open=_open_onnx,
        quantize=_quantize_onnx,
    ),
    "openvino": Writer(
        suffix=".xml",
        needs=("openvino",),
        build=_build_openvino,
        save=_save_openvino,
        open=_open_openvino,
        quantize=_quantize_openvino,
    ),
    "torch": Writer(
        suffix=".pt2",
        needs=(),
        build=_build_torch,
        save=_save_torch,
        open=_open_torch,
        quantize=None,
    ),
    "litert": Writer(
        suffix=".tflite",
        needs=NEEDS,
        build=build_litert,
        save=save_litert,
        open=open_litert,
        quantize=litert_to_int8,
        halve=litert_to_float16,
        batch=1,
        extra="litert",
    ),
    "executorch": Writer(
        suffix=".pte",
        needs=EXECUTORCH_NEEDS,
        build=build_executorch,
        save=save_litert,  # the same archive behind the network
        open=open_executorch,
        quantize=None,
        batch=1,
        extra="executorch",
    ),
    "coreml": Writer(
        suffix=PACKAGE,
        needs=COREML_NEEDS,
        build=build_coreml,
        save=save_coreml,
        open=open_coreml,
        quantize=None,
        halve=coreml_to_float16,
        batch=1,
        extra="coreml",
        note=COREML_NOTE,
    ),
}
