"""An ASGI application -> an HTTP server on an address (uvicorn), until a signal stops it.

Ctrl-C and SIGTERM stop it gracefully: it takes no new connection and finishes the requests under
way.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from bestiary.errors import ArgumentError
from bestiary.serving.protocol import BoundedProtocol
from bestiary.signals import SIGNALS

TOKEN_VARIABLE = "BESTIARY_TOKEN"
MIN_TOKEN_LENGTH = 16
STOPPING = "Stopping: requests under way are answered first"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens.

    Attributes:
        host: name or IP address.
        port: port; 0: any free one.
        allowed: further names that the service may be called by, as by a proxy before it.

    Raises:
        ArgumentError: the port is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allowed: tuple[str, ...] = ()

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
        """URL of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def names(self) -> frozenset[str] | None:
        """Names that the service may be called by, in lower case; None: any.

        This machine's own are always among them, as for a container's check of its health: a page
        of another site that reaches the service is called by that site's name.
        """
        if not self.is_loopback and not self.allowed:
            return None
        own = ("localhost", "127.0.0.1", "::1", self.host, *self.allowed)
        return frozenset(name.lower() for name in own)

    def settled(self) -> "Address":
        """Choose a port that is free now, for a server that binds by itself.

        Raises:
            ArgumentError: as `bind`.
        """
        with self.bind() as listener:
            return replace(self, port=listener.getsockname()[1])

    def bind(self) -> socket.socket:
        """Bind a socket to the address; it refuses connections until it listens.

        Raises:
            ArgumentError: the address is taken, or not one of this machine.
        """
        try:
            candidates = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, socket_address = candidates[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(socket_address)
            except BaseException:
                listener.close()
                raise
            return listener
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"--host {self.host} --port {self.port}: cannot be listened on ({reason}); choose "
                f"another"
            ) from None


def read_token(file: Path | None) -> str | None:
    """Read the token from a file, or else from the environment variable BESTIARY_TOKEN.

    Args:
        file: file with the token; None: the environment variable.

    Returns:
        The token; None if neither is given.

    Raises:
        ArgumentError: the file cannot be read, or the token is too short to be secret.
    """
    if file is None:
        source = TOKEN_VARIABLE
        variable = os.environ.get(TOKEN_VARIABLE)
        if variable is None:
            return None
        token = variable.strip()
    else:
        source = f"--token-file {file}"
        try:
            token = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise ArgumentError(f"{source}: cannot be read ({reason}); check the path") from None
    has_space = any(character.isspace() for character in token)
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or has_space:
        raise ArgumentError(
            f"{source}: a token has {MIN_TOKEN_LENGTH} or more ASCII characters and no space; "
            f"make one with openssl rand -hex 32"
        )
    return token


def serve(
    app: ASGIApp,
    listener: socket.socket,
    timeout_seconds: float,
    on_start: Callable[[str], object],
    on_stop: Callable[[], object],
) -> None:
    """Serve an application until Ctrl-C or SIGTERM.

    Args:
        app: an ASGI application.
        listener: a bound socket.
        timeout_seconds: seconds that requests under way may take once the server stops.
        on_start: called with the URL when the service answers.
        on_stop: called when it takes no more connections, before it waits for requests.
    """
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_level="error",
        use_colors=False,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(timeout_seconds) + 1,
    )
    host, port = listener.getsockname()[:2]
    server = _Server(config, lambda: on_start(Address(host, port).url), on_stop)
    with stop_on_signal(lambda: setattr(server, "should_exit", True)):
        server.run([listener])


class _Server(uvicorn.Server):
    """A server that reports when it has started, and when it is about to end.

    Args:
        config: configuration of uvicorn.
        on_start: called when it answers.
        on_stop: called when it ends, before it waits for requests under way.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], object],
        on_stop: Callable[[], object],
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; at a second Ctrl-C without waiting for requests, but not without the application.

        uvicorn would leave the application where it is then, and show the traceback of that.
        """
        self._on_stop()
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


@contextmanager
def stop_on_signal(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at Ctrl-C, SIGTERM and SIGHUP inside the block.

    The handlers are in force from the very start, and swallow the signals that uvicorn raises
    again when it ends.

    Args:
        stop: called at each signal.
    """

    def handle(*_: object) -> None:
        stop()

    former = {}
    for number in SIGNALS:
        is_kept = number not in (signal.SIGINT, signal.SIGTERM)  # SIGHUP under nohup
        if not (is_kept and signal.getsignal(number) is signal.SIG_IGN):
            former[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
