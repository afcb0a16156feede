"""An ensemble -> an HTTP service and its page.

`build_application` makes the ASGI application, for any server; `serve` runs it with uvicorn. Nothing of an upload is
written to disk or logged. Knows nothing of training.
"""

from bestiary.deploy.http.application import build_application
from bestiary.deploy.http.limits import Limits
from bestiary.deploy.http.server import Address, read_token, serve, stopped_by
from bestiary.deploy.http.start import application_of

__all__ = ["Address", "Limits", "application_of", "build_application", "read_token", "serve", "stopped_by"]
