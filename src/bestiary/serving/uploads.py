"""The body of a request, multipart or raw -> the uploaded images in memory.

Web frameworks spool large parts to temporary files. Here the parser's events go straight to memory,
bounded by `Limits` and `ByteBudget`, and nothing touches the disk. Knows nothing of what images are
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
MAX_HEADER_BYTES = 8_192  # of one part's headers
MAX_HEADERS = 32  # of one part
MAX_NAME_LENGTH = 200  # of a file's name, as answers repeat it
# The parser logs what is wrong with a body: content of an upload, as often as a client likes.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded image.

    Attributes:
        name: name of the file, if the client gave one.
        content: bytes of the file.
    """

    name: str | None
    content: bytes


async def read_uploads(
    request: Request, limits: Limits, take: Callable[[int], None]
) -> list[Upload]:
    """Read the images of a request.

    Args:
        request: the request.
        limits: limits of the service.
        take: reserves memory; called with a number of bytes before they are buffered.

    Returns:
        The images, in the order of the form; one for a raw body.

    Raises:
        Problem: there is no image, or they are too many, too large, too slow or of another type.
        ClientDisconnect: the client has left.
    """
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    if content_type == b"multipart/form-data":
        form = _MultipartForm(options.get(b"boundary", b""), limits)
        await read_body(request, limits, take, form.feed)
        return form.images()
    if not _may_be_image(content_type):
        raise Problem(
            415,
            "unsupported_type",
            f"The content type {content_type.decode('latin-1')[:80]} is not taken here; send "
            f"image/jpeg or another image as the body, or multipart/form-data with parts named "
            f"{FIELD}.",
        )
    body = bytearray()
    await read_body(request, limits, take, body.extend)
    if not body:
        raise Problem(422, "empty", "The request has no body; send an image.")
    return [Upload(None, bytes(body))]


def _may_be_image(content_type: bytes) -> bool:
    if not content_type or content_type == b"application/octet-stream":
        return True
    return content_type.startswith(b"image/")


async def read_body(
    request: Request, limits: Limits, take: Callable[[int], None], feed: Callable[[bytes], object]
) -> None:
    """Feed the body to `feed`, chunk by chunk, as long as it keeps within the limits.

    Args:
        request: the request.
        limits: limits of the service.
        take: reserves memory; called with a number of bytes before they are buffered.
        feed: takes each chunk.

    Raises:
        Problem: the body is too large or too slow.
        ClientDisconnect: the client has left.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal():
        limits.check_body_bytes(int(announced))
    arrived = 0
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            async for chunk in request.stream():
                arrived += len(chunk)
                limits.check_body_bytes(arrived)
                take(len(chunk))
                feed(chunk)
    except TimeoutError:
        raise Problem(
            408,
            "too_slow",
            f"The request took longer than {limits.timeout_seconds:g} s to arrive.",
            {"Connection": "close"},
        ) from None


class _MultipartForm:
    """The parts of a multipart body as they arrive (RFC 7578).

    Args:
        boundary: the bytes between parts.
        limits: limits of the service, for the number of images.

    Raises:
        Problem: the boundary is missing or not a valid one.
    """

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._images: list[tuple[str | None, bytearray]] = []
        self._content = bytearray()  # of the part that is arriving
        self._headers: list[tuple[bytearray, bytearray]] = []  # of that part
        self._header_bytes = 0  # of that part
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._extend_header_name,
                    "on_header_value": self._extend_header_value,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._extend_content,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _malformed("its boundary cannot be one") from None
        if not boundary:
            raise _malformed("it has no boundary")

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes.

        Raises:
            Problem: the body is malformed, or has too many images.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(one_line(error, 120)) from None

    def images(self) -> list[Upload]:
        """Give the images, after the last chunk.

        Raises:
            Problem: there is no image, or the body ends too early.
        """
        if not self._is_complete:
            raise _malformed("it ends before its last boundary")
        if not self._images:
            raise Problem(
                422, "empty", f"The form has no image; send one or more in parts named {FIELD}."
            )
        return [Upload(name, bytes(content)) for name, content in self._images]

    def _begin_part(self) -> None:
        self._headers = []
        self._header_bytes = 0

    def _begin_header(self) -> None:
        if len(self._headers) == MAX_HEADERS:
            raise _malformed("a part has too many headers")
        self._headers.append((bytearray(), bytearray()))

    def _extend_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._headers[-1][0].extend(data[start:end])

    def _extend_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._headers[-1][1].extend(data[start:end])

    def _count_header_bytes(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _malformed("the headers of a part are too long")

    def _end_headers(self) -> None:
        headers = {bytes(name).lower(): bytes(value) for name, value in self._headers}
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"")
        if field != FIELD.encode():
            field_name = field.decode("utf-8", "replace")[:80]
            raise Problem(
                422,
                "unknown_field",
                f"The form has a field {field_name!r}; images go in parts named {FIELD}.",
            )
        self._limits.check_count(len(self._images) + 1)
        name = options.get(b"filename", b"").decode("utf-8", "replace")[:MAX_NAME_LENGTH] or None
        self._content = bytearray()
        self._images.append((name, self._content))

    def _extend_content(self, data: bytes, start: int, end: int) -> None:
        self._content.extend(data[start:end])

    def _end(self) -> None:
        self._is_complete = True


def _malformed(reason: str) -> Problem:
    return Problem(400, "malformed", f"The multipart body cannot be read: {reason}.")
