"""A request's body -> images in memory, multipart or raw. Nothing of it touches the disk.

The forms of web frameworks spool large parts to temporary files; here the parser's events go
straight to memory, whose bounds are `Limits` and `ByteBudget`. Knows nothing of what images are
for.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from bestiary.errors import one_line
from bestiary.serving.limits import Limits
from bestiary.serving.problems import Problem

FIELD = "images"
HEADER_BYTES = 8_192  # of one part's headers
NAME_CHARACTERS = 200  # of a file's name that are given back
# The parser logs what is wrong with a body: something of an upload, and as often as a client likes.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as it was sent.

    Attributes:
        name: the file's name, if one was given.
        content: its bytes.
    """

    name: str | None
    content: bytes


async def read_uploads(
    request: Request, limits: Limits, take: Callable[[int], None]
) -> list[Upload]:
    """Read the images of a request; `take` is told of bytes before they are kept.

    Raises:
        Problem: there is none, or they are too many, too large, too slow or of another type.
        ClientDisconnect: nobody waits for an answer any more.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        parts = _Parts(options.get(b"boundary", b""), limits)
        await _read(request, limits, take, parts.feed)
        return parts.images()
    if kind and kind != b"application/octet-stream" and not kind.startswith(b"image/"):
        raise Problem(
            415,
            "unsupported_type",
            f"The content type {kind.decode('latin-1')[:80]} is not taken here; send image/jpeg or "
            f"another image as "
            f"the body, or multipart/form-data with parts named {FIELD}.",
        )
    body = bytearray()
    await _read(request, limits, take, body.extend)
    if not body:
        raise Problem(422, "empty", "The request has no body; send an image.")
    return [Upload(None, bytes(body))]


async def _read(
    request: Request, limits: Limits, take: Callable[[int], None], feed: Callable[[bytes], object]
) -> None:
    """Feed the body to `feed`, chunk by chunk, as long as it keeps within the limits."""
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal():
        limits.check_length(int(claimed))
    arrived = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                arrived += len(chunk)
                limits.check_length(arrived)
                take(len(chunk))
                feed(chunk)
    except TimeoutError:
        raise Problem(
            408,
            "too_slow",
            f"The request took longer than {limits.seconds:g} s to arrive.",
            {"Connection": "close"},
        ) from None


class _Parts:
    """The parts of a multipart body as they come (RFC 7578).

    Args:
        boundary: between the parts.
        limits: for the number of images.

    Raises:
        Problem: there is no boundary, or none that can be.
    """

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._found: list[tuple[str | None, bytearray]] = []
        self._part = bytearray()
        self._headers: list[tuple[bytearray, bytearray]] = []
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_begin": self._begin_header,
                    "on_header_field": lambda data, start, end: self._extend_header(
                        0, data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._extend_header(
                        1, data[start:end]
                    ),
                    "on_headers_finished": self._end_headers,
                    "on_part_data": lambda data, start, end: self._part.extend(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _malformed("its boundary cannot be one") from None
        if not boundary:
            raise _malformed("it has no boundary")

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            Problem: they are not as they must be, or the images too many.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(one_line(error, 120)) from None

    def images(self) -> list[Upload]:
        """The images, once all is fed.

        Raises:
            Problem: there is none, or the body ends before its time.
        """
        if not self._ended:
            raise _malformed("it ends before its last boundary")
        if not self._found:
            raise Problem(
                422, "empty", f"The form has no image; send one or more in parts named {FIELD}."
            )
        return [Upload(name, bytes(content)) for name, content in self._found]

    def _begin(self) -> None:
        self._headers = []

    def _begin_header(self) -> None:
        self._headers.append((bytearray(), bytearray()))

    def _extend_header(self, place: int, data: bytes) -> None:
        if sum(len(name) + len(value) for name, value in self._headers) + len(data) > HEADER_BYTES:
            raise _malformed("the headers of a part are too long")
        self._headers[-1][place].extend(data)

    def _end_headers(self) -> None:
        headers = {bytes(name).lower(): bytes(value) for name, value in self._headers}
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        if options.get(b"name") != FIELD.encode():
            field = options.get(b"name", b"").decode("utf-8", "replace")[:80]
            raise Problem(
                422,
                "unknown_field",
                f"The form has a field {field!r}; images go in parts named {FIELD}.",
            )
        self._limits.check_count(len(self._found) + 1)
        name = options.get(b"filename", b"").decode("utf-8", "replace")[:NAME_CHARACTERS] or None
        self._part = bytearray()
        self._found.append((name, self._part))

    def _end(self) -> None:
        self._ended = True


def _malformed(reason: str) -> Problem:
    return Problem(400, "malformed", f"The multipart body cannot be read: {reason}.")
