"""An HTTP connection with limits on time and headers, which uvicorn alone does not set.

A client could otherwise hold a connection without end, or fill the memory with header lines. The
application limits time and size of the bodies.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Seconds that a connection may take for a request's headers, and for the rest after the answer.
CONNECTION_TIMEOUT = 10.0
MAX_HEADER_BYTES = 65_536  # of a request's first line and headers together, and of its trailers
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\n\r\n"
    b"The headers of this request are too large."
)


class QuietTransport(asyncio.Transport):
    """A transport that drops what is written after the client has closed the connection.

    uvloop raises an error at once; uvicorn learns of the end a moment later.

    Args:
        transport: the transport of the connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write bytes to an open connection."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Pause an open connection."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume an open connection."""
        if not self._transport.is_closing():
            self._transport.resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP connection that times out before a request's body and after its answer.

    Its headers and trailers are bounded. What exceeds a limit ends the connection.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(QuietTransport(transport))
        self._in_head = True
        self._is_same_head = True
        self._head_bytes = 0
        self._trailer_bytes = 0
        self._start_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout, and the requests that wait for the answer to the one before."""
        self._timeout.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes, and end the connection where its headers are too large.

        The parser gives a header once it is complete, so the bytes themselves are counted.
        """
        self._is_same_head = self._in_head
        super().data_received(data)
        # Bytes between two requests in one read are few.
        if self._is_same_head:
            self._head_bytes += len(data)
        is_too_large = max(self._head_bytes, self._trailer_bytes) > MAX_HEADER_BYTES
        if is_too_large and not self.transport.is_closing():
            if self._in_head and (self.cycle is None or self.cycle.response_complete):
                self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Count the headers of the next request from nothing."""
        self._in_head = True
        self._trailer_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body are counted and dropped."""
        if self._in_head:
            super().on_header(name, value)
        else:
            self._trailer_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Stop counting headers."""
        self._in_head = False
        self._is_same_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count the bytes of what follows as headers of the next request."""
        self._in_head = True
        self._is_same_head = False
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Restart the timeout, for what follows the answer."""
        super().on_response_complete()
        self._timeout.cancel()
        self._start_timeout()

    def _start_timeout(self) -> None:
        self._timeout = self.loop.call_later(CONNECTION_TIMEOUT, self._time_out)

    def _time_out(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and not self.transport.is_closing():
            self.transport.abort()
