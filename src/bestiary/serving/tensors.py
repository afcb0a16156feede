"""The body of an inference request <-> named tensors, packed by the Open Inference Protocol (V2).

Tensors stand in the JSON, or behind it as bytes (the binary extension: KServe, "Open Inference
Protocol"; Triton, "Binary Tensor Data Extension"). Sizes are checked before anything is taken from
them. Knows nothing of images.
"""

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from bestiary.errors import one_line
from bestiary.serving.problems import Problem

Datatype = Literal["BYTES", "FP32", "BOOL"]
Parameters = dict[str, str | int | float | bool]
LENGTH = struct.Struct("<I")  # before each element of BYTES
HEADER = "Inference-Header-Content-Length"


class InputTensor(BaseModel):
    """An input of a request."""

    name: str
    datatype: str
    shape: list[int] = Field(max_length=8)
    parameters: Parameters = {}
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """An output that a request asks for."""

    name: str
    parameters: Parameters = {}


class InferenceRequest(BaseModel):
    """The JSON of a request."""

    id: str = Field("", max_length=200)
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=8)
    outputs: list[RequestedOutput] | None = Field(None, max_length=32)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor.

    Attributes:
        name: its name.
        datatype: kind of its elements, see `Datatype`.
        shape: its sides.
        values: its elements, row by row: str, float or bool.
    """

    name: str
    datatype: Datatype
    shape: Sequence[int]
    values: Sequence[Any]


def split_body(body: bytes, header: str | None) -> tuple[InferenceRequest, bytes]:
    """Split a body into its JSON, checked, and the bytes behind it.

    Args:
        body: the whole body.
        header: the header `HEADER`, the length of the JSON; None: the body is JSON alone.

    Returns:
        The request, and the bytes.

    Raises:
        Problem: the header is no length within the body, or the JSON is no request.
    """
    length = len(body)
    if header is not None:
        if not (header.isdecimal() and int(header) <= length):
            raise malformed(f"{HEADER} is no length within the body")
        length = int(header)
    try:
        request = InferenceRequest.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise malformed(f"{place}: {one_line(Exception(first['msg']), 120)}") from None
    return request, body[length:]


def bytes_elements(tensor: InputTensor, binary: bytes) -> list[bytes]:
    """Take the elements of an input of datatype BYTES.

    Args:
        tensor: the input.
        binary: the bytes behind the JSON, of this input alone.

    Returns:
        The elements, as many as the shape says.

    Raises:
        Problem: there are more or fewer, or they are not packed as the protocol says.
    """
    count = 1
    for side in tensor.shape:
        count *= side
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        elements = [_decoded(element) for element in tensor.data or []]
    elif size == len(binary) and tensor.data is None:
        elements = _unpacked(binary)
    else:
        raise malformed(f"{tensor.name}: binary_data_size is {size}, and {len(binary)} bytes came")
    if len(elements) != count:
        raise malformed(f"{tensor.name}: its shape has {count} elements, and {len(elements)} came")
    return elements


def _decoded(element: Any) -> bytes:
    try:
        return base64.b64decode(element, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise malformed("in JSON, an element of BYTES is a file in Base64") from None


def _unpacked(binary: bytes) -> list[bytes]:
    elements = []
    at = 0
    while at < len(binary):
        if len(binary) - at < LENGTH.size:
            raise malformed("the bytes end inside a length")
        (length,) = LENGTH.unpack_from(binary, at)
        at += LENGTH.size
        if length > len(binary) - at:
            raise malformed("an element is longer than the bytes that came")
        elements.append(binary[at : at + length])
        at += length
    return elements


def pack_response(
    head: dict[str, Any], tensors: Sequence[Tensor], binary: set[str]
) -> tuple[bytes, dict[str, str]]:
    """Pack a response.

    Args:
        head: what the JSON holds besides the outputs.
        tensors: the outputs.
        binary: names of those that go behind the JSON as bytes.

    Returns:
        The body, and the headers that describe it.
    """
    outputs = []
    blobs = []
    for tensor in tensors:
        output: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if tensor.name in binary:
            blob = _packed(tensor)
            output["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            output["data"] = list(tensor.values)
        outputs.append(output)
    text = json.dumps({**head, "outputs": outputs}).encode()
    if not blobs:
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(text))}
    return text + b"".join(blobs), headers


def _packed(tensor: Tensor) -> bytes:
    if tensor.datatype == "FP32":
        return struct.pack(f"<{len(tensor.values)}f", *tensor.values)
    if tensor.datatype == "BOOL":
        return struct.pack(f"<{len(tensor.values)}?", *tensor.values)
    encoded = [value.encode() for value in tensor.values]
    return b"".join(LENGTH.pack(len(element)) + element for element in encoded)


def malformed(reason: str) -> Problem:
    """Make the refusal of a request that does not keep to the protocol.

    Args:
        reason: what is wrong.
    """
    return Problem(400, "malformed", f"The request cannot be read: {reason}.")
