"""A Core ML package -> its outputs, computed by PyTorch from the file's own operations and weights.

Core ML runs on Apple's devices alone. What can be done elsewhere is to read the package back and to
compute each operation as its definition says. That finds what a conversion has lost, and says
nothing of Core ML's own arithmetic. An operation that `bestiary.exporting.coreml_operations` does
not have is refused, not guessed. Knows nothing of runs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bestiary.exporting.coreml_operations import OPERATIONS, UnknownOperationError, split


def read_program(file: Path) -> Any:
    """Read the program of a package back.

    Args:
        file: the package, a folder.

    Returns:
        The main function of a program in coremltools' intermediate language (MIL).
    """
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

    model = coremltools.models.MLModel(str(file), skip_model_load=True)
    spec = model.get_spec()
    return load(spec, spec.specificationVersion, model.weights_dir).functions["main"]


def run_program(function: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute the outputs of a function for one image.

    Args:
        function: of `read_program`.
        image: its only input, float (1, 3, size, size).

    Returns:
        Output -> its value. The label, a text, is not among them; the probabilities stand under the
        name of their dictionary.

    Raises:
        UnknownOperationError: an operation is not among `OPERATIONS`.
    """
    (name,) = function.inputs
    known: dict[str, Any] = {name: image}
    for operation in function.operations:
        values = _compute(operation, known)
        for variable, value in zip(operation.outputs, values, strict=True):
            known[variable.name] = value
    return {
        variable.name: known[variable.name]
        for variable in function.outputs
        if isinstance(known[variable.name], Tensor)
    }


def _compute(operation: Any, known: dict[str, Any]) -> list[Any]:
    kind = operation.op_type
    if kind == "const" or kind.startswith("constexpr"):
        value = operation.outputs[0].val
        if value is None:  # compressed weights
            value = operation.materialized_val_inference()
        return [_plain(value)]
    inputs = {name: _value(given, known) for name, given in operation.inputs.items()}
    inputs = {name: value for name, value in inputs.items() if value is not None}
    if kind == "classify":
        return ["", inputs["probabilities"]]
    if kind == "split":
        return split(inputs)
    if kind not in OPERATIONS:
        raise UnknownOperationError(kind)
    return [OPERATIONS[kind](inputs)]


def _value(given: Any, known: dict[str, Any]) -> Any:
    """The value of a variable, or those of several."""
    if isinstance(given, (list, tuple)):
        return [_value(each, known) for each in given]
    if given is None:
        return None
    if given.name in known:
        return known[given.name]
    return _plain(given.val)


def _plain(value: Any) -> Any:
    """A constant as a tensor, or as a number, a text or a list, as operations take it."""
    if not isinstance(value, np.ndarray):
        return value.item() if isinstance(value, np.generic) else value
    if value.ndim <= 1 and value.dtype.kind in "biU":
        return value.tolist()
    return torch.from_numpy(np.ascontiguousarray(value))
