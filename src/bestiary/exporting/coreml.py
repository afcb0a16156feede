"""A traced ensemble <-> a Core ML package (.mlpackage), for iPhones, iPads and Macs.

The package takes one image at a time, as Apple's programs hand it over: the input is an image, and
the network a classifier with its labels. Card and labels are in its metadata. coremltools converts
on any machine. Core ML runs on Apple's alone, so the package is read back and computed by
`bestiary.exporting.coreml_program`. Knows nothing of runs.
"""

import contextlib
import importlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from bestiary.errors import BestiaryError, one_line
from bestiary.exporting.coreml_operations import UnknownOperationError
from bestiary.exporting.coreml_program import read_program, run_program
from bestiary.exporting.graph import INPUT, OUTPUTS, Outputs
from bestiary.exporting.silent import silent_output

CARD_KEY = "bestiary"
LABEL = "label"  # the output with the name of the likeliest class
NEEDS = ("coremltools",)
NOTE = (
    "Converted, and not run by Core ML, which is on Apple's devices alone: what was compared are "
    "the operations and weights of the file, computed by PyTorch; try it on a device before you "
    "rely on it"
)


@dataclass(slots=True)
class CoremlModel:
    """A program on its way to a package. It is converted once its labels are known, by `save`.

    Attributes:
        program: the traced ensemble, for one image in floats.
        size: side of its views.
        is_half: whether weights and values are float16.
        converted: by coremltools.
    """

    program: ExportedProgram
    size: int
    is_half: bool = False
    converted: Any = field(default=None, repr=False)


class _OfImage(nn.Module):
    """A program whose input is an image as Core ML hands it over: floats, channels first."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        self.training = False  # `eval` would be passed on, and programs refuse it

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the outputs of an image, float (1, 3, size, size), 0 to 255."""
        pixels = image.permute(0, 2, 3, 1).to(torch.uint8)
        return tuple(self.program(pixels))


def build_coreml(program: ExportedProgram, size: int) -> CoremlModel:
    """Prepare a program.

    Args:
        program: the traced ensemble.
        size: side of its views.

    Returns:
        The program for one image.
    """
    image = torch.zeros((1, 3, size, size))
    single = torch.export.export(_OfImage(program), (image,))
    return CoremlModel(single.run_decompositions({}), size)


def coreml_to_float16(model: CoremlModel, views: NDArray[np.uint8]) -> CoremlModel:
    """Store weights in float16, in which the Neural Engine of Apple's chips computes.

    Args:
        model: the program.
        views: not used, since nothing is calibrated.

    Returns:
        The program, half as large.
    """
    return CoremlModel(model.program, model.size, is_half=True)


def save_coreml(model: CoremlModel, card: dict[str, Any], file: Path) -> None:
    """Write a package, a folder.

    Args:
        model: the program.
        card: the card.
        file: the package.

    Raises:
        BestiaryError: coremltools cannot convert the network.
    """
    if model.converted is None:
        model.converted = _convert(model, card["classes"])
    converted = model.converted
    converted.user_defined_metadata[CARD_KEY] = json.dumps(card, ensure_ascii=False)
    converted.short_description = f"{len(card['classes'])} classes. {NOTE}."
    shutil.rmtree(file, ignore_errors=True)
    with _quiet_coremltools():
        converted.save(str(file))


def _convert(model: CoremlModel, classes: list[str]) -> Any:
    """A classifier with the outputs `OUTPUTS`, and `LABEL`."""
    with _quiet_coremltools() as coremltools:
        names = list(model.program.graph_signature.user_outputs)
        shape = (1, 3, model.size, model.size)
        precision = coremltools.precision
        try:
            converted = coremltools.convert(
                model.program,
                source="pytorch",
                convert_to="mlprogram",
                inputs=[coremltools.ImageType(INPUT, shape, color_layout="RGB")],
                classifier_config=coremltools.ClassifierConfig(
                    classes, LABEL, predicted_probabilities_output=names[0]
                ),
                compute_precision=precision.FLOAT16 if model.is_half else precision.FLOAT32,
                pass_pipeline=_passes(coremltools),
                minimum_deployment_target=coremltools.target.iOS17,
                skip_model_load=True,
            )
        except Exception as error:  # coremltools raises any class for what it cannot convert
            raise BestiaryError(
                f"--format coreml: coremltools cannot convert this network "
                f"({one_line(error, 100)}); choose another --format"
            ) from None
        spec = converted.get_spec()
        given = dict(zip([f"{LABEL}_probs", *names[1:]], OUTPUTS, strict=True))
        for name, new_name in given.items():
            coremltools.utils.rename_feature(spec, name, new_name, rename_inputs=False)
        return coremltools.models.MLModel(
            spec, weights_dir=converted.weights_dir, skip_model_load=True
        )


def _passes(coremltools: Any) -> Any:
    """The passes of coremltools, and one after them that mends what its float16 pass leaves.

    That pass notes a type for each output. A classifier has one output more, and coremltools 9.0
    then looks for a type that is not there (IndexError). Without notes it takes the outputs' own.
    """
    passes = importlib.import_module("coremltools.converters.mil.mil.passes.graph_pass")
    registry = importlib.import_module("coremltools.converters.mil.mil.passes.pass_registry")

    class ForgetOutputTypes(passes.AbstractGraphPass):  # type: ignore[misc, name-defined]
        """Leaves outputs without a note of their types."""

        def apply(self, program: Any) -> None:
            """Change a program in place."""
            for function in program.functions.values():
                function.output_types = None

    registry.register_pass(namespace="bestiary", override=True)(ForgetOutputTypes)
    pipeline = coremltools.PassPipeline()
    pipeline.append_pass("bestiary::ForgetOutputTypes")
    return pipeline


@contextlib.contextmanager
def _quiet_coremltools() -> Iterator[Any]:
    """coremltools, without its bars and its warnings of versions that it was not tested with."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with silent_output():
        yield importlib.import_module("coremltools")


def read_coreml_card(file: Path) -> dict[str, Any]:
    """Read the card of a package.

    Args:
        file: the package.

    Returns:
        The card.
    """
    with _quiet_coremltools() as coremltools:
        spec = coremltools.utils.load_spec(str(file))
    return dict(json.loads(spec.description.metadata.userDefined[CARD_KEY]))


def open_coreml(file: Path, precision: str) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Read a package back, to compute its operations by PyTorch.

    Args:
        file: the package.
        precision: not used; the file's own counts.

    Returns:
        A function that computes it, image by image.

    Raises:
        BestiaryError: when it is called: the file has an operation that is not known here.
    """
    with _quiet_coremltools():
        function = read_program(file)

    @torch.inference_mode()
    def run_one(view: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        image = torch.from_numpy(view[None].astype(np.float32)).permute(0, 3, 1, 2)
        try:
            values = run_program(function, image)
        except UnknownOperationError as error:
            raise BestiaryError(
                f"--format coreml: the file has the operation {error}, which cannot be checked "
                "here, and it was not kept; choose --format torch, and convert that by coremltools "
                "on a Mac"
            ) from None
        return [values[name].float().numpy() for name in OUTPUTS]

    def run(views: NDArray[np.uint8]) -> Outputs:
        rows = [run_one(view) for view in views]
        return Outputs(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    return run
