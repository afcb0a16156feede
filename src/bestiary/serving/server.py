"""An application -> a server on an address, until it is told to stop.

Ctrl-C and SIGTERM end it gracefully: no new connection is taken, what is under way is answered.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bestiary.errors import ArgumentError

TOKEN = "BESTIARY_TOKEN"
LEAST_TOKEN = 16  # characters
# seconds that a connection may take for a request's headers, or for what is left after the answer
PATIENCE = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens.

    Attributes:
        host: name or address.
        port: 0: any that is free.
    """

    host: str = "127.0.0.1"
    port: int = 8000

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ArgumentError(f"--port {self.port}: choose 0 to 65535")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return (
            f"http://[{self.host}]:{self.port}/"
            if ":" in self.host
            else f"http://{self.host}:{self.port}/"
        )

    @property
    def names(self) -> frozenset[str] | None:
        """Names that it may be called by; None: any."""
        return frozenset({"localhost", "127.0.0.1", "::1", self.host}) if self.is_loopback else None

    def settled(self) -> "Address":
        """The same, with a port that is free now, for a server that binds by itself.

        Raises:
            ArgumentError: as `bind`.
        """
        with self.bind() as bound:
            return Address(self.host, bound.getsockname()[1])

    def bind(self) -> socket.socket:
        """A socket that is bound here; it refuses connections until it is listened on.

        Raises:
            ArgumentError: the address is taken, or not this machine's.
        """
        try:
            found = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, place = found[0]
            bound = socket.socket(family, kind, protocol)
            try:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind(place)
            except BaseException:
                bound.close()
                raise
            return bound
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"--host {self.host} --port {self.port}: cannot be listened on ({reason}); choose "
                f"another"
            ) from None


def read_token(file: Path | None) -> str | None:
    """The token in `file`, or in the environment variable BESTIARY_TOKEN; None where neither is
    given.

    Raises:
        ArgumentError: it cannot be read, or is too short to be secret.
    """
    if file is None:
        token, where = os.environ.get(TOKEN), TOKEN
        if token is None:
            return None
    else:
        where = f"--token-file {file}"
        try:
            token = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise ArgumentError(f"{where}: cannot be read ({reason}); check the path") from None
    token = token.strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        raise ArgumentError(
            f"{where}: a token has {LEAST_TOKEN} or more ASCII characters and no space; "
            "make one with openssl rand -hex 32"
        )
    return token


def serve(
    app: ASGIApp, bound: socket.socket, seconds: float, started: Callable[[str], object]
) -> None:
    """Serve `app` until Ctrl-C or SIGTERM.

    Args:
        app: an ASGI application.
        bound: a socket that is bound to where it is to listen.
        seconds: that requests under way may take once it is to end.
        started: told the address when the service answers.
    """
    config = uvicorn.Config(
        app,
        http=TimeoutProtocol,
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(seconds) + 1,
    )
    server = _Server(config, lambda: started(_url(bound)))
    with stopped_by(lambda: setattr(server, "should_exit", True)):
        server.run([bound])


class _Server(uvicorn.Server):
    """Tells when it has started.

    Args:
        config: uvicorn's.
        told: called then.
    """

    def __init__(self, config: uvicorn.Config, told: Callable[[], object]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._told()


class TimeoutProtocol(HttpToolsProtocol):
    """A connection that is closed when it takes too long over what comes before, or after, a
    request's answer.

    The body's time is the application's to watch; uvicorn itself would wait for headers, or for the
    rest of a body that was refused, as long as one byte comes now and then.
    """

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        self._patience.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Watch what comes after the answer."""
        super().on_response_complete()
        self._patience.cancel()
        self._watch()

    def _watch(self) -> None:
        self._patience = self.loop.call_later(PATIENCE, self._tire)

    def _tire(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.abort()


@contextmanager
def stopped_by(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at Ctrl-C and SIGTERM, from the very start, and outlive them: uvicorn raises
    them again.
    """

    def told(*_: object) -> None:
        stop()

    former = {number: signal.signal(number, told) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _url(bound: socket.socket) -> str:
    return Address(*bound.getsockname()[:2]).url
