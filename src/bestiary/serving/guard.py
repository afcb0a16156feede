"""Security middleware around every request: host check, token, security headers and metrics.

Pure ASGI, so nothing is buffered. Any failure inside becomes one JSON answer here.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem

# The page has its style and script in files of their own, so nothing inline is ever allowed.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'; "
    "trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110, section 9.2.1
COUNTED_METHODS = ("GET", "HEAD", "POST")
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before its answer
log = logging.getLogger(__name__)


class SecurityMiddleware:
    """An ASGI application behind checks of host and token.

    Args:
        app: the application.
        metrics: metrics that count each request.
        token: token that /v1/, /v2/models/ and /metrics need as ``Authorization: Bearer``; None:
            none.
        hosts: names that the service is called by; None: any. A page of another site whose name
            points here (DNS rebinding) calls it by that other name.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, token: str | None, hosts: Collection[str] | None
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._token_digest = _digest(token) if token else None
        self._hosts = frozenset(hosts) if hosts is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        method = scope["method"]
        if method == "HEAD":
            # The same headers as for GET. The server sends no body in answer to HEAD.
            scope = {**scope, "method": "GET"}

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            problem = await self._answer(scope, receive, send_secured)
            if problem and not status:
                await problem.response()(scope, receive, send_secured)
        finally:
            seconds = time.perf_counter() - started
            self._count(scope, method, status or CLIENT_CLOSED_REQUEST, seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Problem | None:
        """Let the application answer; return the problem that is still to be answered."""
        try:
            self._check(scope)
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return None
        except Problem as problem:
            return problem
        except Exception:
            log.exception("a request failed")
            return Problem(500, "defect", "The service has failed; its log says why.")
        return None

    def _check(self, scope: Scope) -> None:
        """Check the host and the token of a request."""
        headers = Headers(scope=scope)
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            raise Problem(
                421, "wrong_host", "This service is not called by that name; see --allow-host."
            )
        if scope["method"] not in SAFE_METHODS and _is_cross_site(headers):
            raise Problem(
                403,
                "cross_site",
                "A page of another site sent this; send it from here or a program.",
            )
        if self._token_digest is None or not _needs_token(scope["path"]):
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Digests have one length. So the time of the comparison reveals nothing about the token,
        # not even its length.
        is_token = hmac.compare_digest(_digest(token.strip(), "latin-1"), self._token_digest)
        if not (is_token and scheme.lower() == "bearer"):
            raise Problem(
                401,
                "unauthorized",
                "A token is needed: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        # The route's path, never the request's own: a client can invent any number of those.
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")
        counted = method if method in COUNTED_METHODS else "other"
        self._metrics.requests.labels(counted, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)


def _is_cross_site(headers: Headers) -> bool:
    """Whether a browser says that a page of another site has sent the request.

    It need not be able to read the answer in order to make this machine compute. Programs send
    neither header. See the Fetch standard, "Origin", and Fetch Metadata Request Headers.
    """
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    _, separator, host = origin.partition("://")
    return not separator or host.lower() != headers.get("host", "").lower()


def _digest(token: str, encoding: str = "utf-8") -> bytes:
    return hashlib.sha256(token.encode(encoding)).digest()


def _needs_token(path: str) -> bool:
    return path.startswith(("/v1/", "/v2/models/")) or path == "/metrics"


def _host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
