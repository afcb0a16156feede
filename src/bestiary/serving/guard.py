"""Around every request: who may ask, what the answer's headers forbid a browser, and what is
counted.

Pure ASGI, so that nothing is buffered. Whatever fails inside becomes one JSON answer here.
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

# The page has its style and script in files of its own, so that nothing inline is ever allowed.
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
log = logging.getLogger(__name__)


class SecurityMiddleware:
    """An application with a guard before it.

    Args:
        app: what is guarded.
        metrics: that are told of each request.
        token: that /v1/ and /metrics want as ``Authorization: Bearer``; None: they are open.
        hosts: names that the service is called by; None: any. A page of another site that has its
            name point here (DNS rebinding) calls it by that name.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, token: str | None, hosts: Collection[str] | None
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._digest = hashlib.sha256(token.encode()).digest() if token else None
        self._hosts = frozenset(hosts) if hosts is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            problem = await self._problem(scope, receive, send_guarded)
            if problem and not status:
                await problem.response()(scope, receive, send_guarded)
        finally:
            # What has no status went before its answer; nginx counts those by this number.
            self._count(scope, status or 499, time.perf_counter() - started)

    async def _problem(self, scope: Scope, receive: Receive, send: Send) -> Problem | None:
        """Let the application answer; gives what is still to be answered."""
        try:
            self._check(scope)
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return None
        except Problem as refused:
            return refused
        except Exception:
            log.exception("a request failed")
            return Problem(500, "defect", "The service has failed; its log says why.")
        return None

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            raise Problem(421, "wrong_host", "This service is not called by that name; see --host.")
        if self._digest is None or not (
            scope["path"].startswith("/v1/") or scope["path"] == "/metrics"
        ):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Digests have one length, so that the comparison's time says nothing of the token, not even
        # how long it is.
        found = hashlib.sha256(given.strip().encode("latin-1")).digest()
        if not (hmac.compare_digest(found, self._digest) and scheme.lower() == "bearer"):
            raise Problem(
                401,
                "unauthorised",
                "A token is needed: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")  # never the path asked for: anyone can invent those
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
