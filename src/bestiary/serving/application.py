"""A run and its ensemble -> the ASGI application (FastAPI) that serves them.

`application_for_run` is what ``bestiary serve`` and the replicas of a cluster start.
`build_application` takes an ensemble, for a server of your own.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.evaluation.drifting import DriftMonitor, drift_monitor
from bestiary.numbers import counted
from bestiary.run.run import Run
from bestiary.serving.answering import add_examples_route, add_explain_route, add_predict_route
from bestiary.serving.batches import Batches
from bestiary.serving.explaining import SimilarImages
from bestiary.serving.guard import SecurityMiddleware
from bestiary.serving.inference_protocol import InferenceService, add_inference_protocol
from bestiary.serving.limits import ByteBudget, Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.page_routes import add_page, add_report
from bestiary.serving.problems import Problem, busy, refusals
from bestiary.serving.schemas import Classes, Health, Model
from bestiary.serving.server import Address
from bestiary.serving.service_info import ServiceInfo

API_VERSION = "1"  # its paths start with it too
ERROR_CODES = {404: "not_found", 405: "method_not_allowed"}


def application_for_run(
    run: Run,
    ensemble: Ensemble,
    limits: Limits,
    token: str | None,
    address: Address,
    similar: bool,
    display: Display,
) -> FastAPI:
    """Build the application of a run, and tell whoever starts it what it uses and lacks.

    Args:
        run: the run.
        ensemble: ensemble of the run.
        limits: limits of the service.
        token: token that requests need; None: none.
        address: where the service listens.
        similar: whether its training images may be shown.
        display: shows engine, fallbacks and warnings.

    Returns:
        An ASGI application.
    """
    training = None
    no_similar = "they were switched off where the service was started"
    if similar:
        try:
            training = SimilarImages.of(run, ensemble)
        except BestiaryError as error:
            no_similar = str(error)
            display.line(f"No similar training images: {no_similar}")
    display.line(f"{counted(len(ensemble.folds), 'member')} by {ensemble.engine}")
    if ensemble.fallback_reason:
        display.notice(ensemble.fallback_reason)
    if not address.is_loopback and token is None:
        display.notice(
            f"--host {address.host}: anyone who reaches it may ask; set a token in BESTIARY_TOKEN"
        )
    return build_application(
        ensemble,
        limits=limits,
        token=token,
        hosts=address.names,
        info=ServiceInfo.of(run, no_similar),
        training=training,
        monitor=drift_monitor(run, ensemble, latest=True),
    )


def build_application(
    ensemble: Ensemble,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    info: ServiceInfo | None = None,
    training: SimilarImages | None = None,
    monitor: DriftMonitor | None = None,
) -> FastAPI:
    """Build the application of an ensemble.

    Args:
        ensemble: the ensemble that answers.
        limits: limits of the service.
        token: token that /v1/ and /metrics need; None: none.
        hosts: names that the service may be called by; None: any.
        info: what /v1/model shows besides what the ensemble holds.
        training: index of the training images to find similar ones in; None: none are shown.
        monitor: tells in the metrics whether images are of the run's world; None: nothing does.

    Returns:
        An ASGI application. Its lifespan warms up the engine and stops it.
    """
    limits = limits or Limits()
    info = info or ServiceInfo()
    if token is not None:
        info = replace(info, report=None)  # a browser that follows a link sends no token
    metrics = Metrics()
    if monitor is not None:
        metrics.watch_drift(monitor)
    batches = Batches(ensemble, limits.max_waiting, metrics, limits.timeout_seconds, monitor)
    budget = ByteBudget(limits.max_buffered_bytes)
    metrics.buffered_bytes.set_function(lambda: budget.used)

    app = _new_app(batches)
    app.add_middleware(SecurityMiddleware, metrics=metrics, token=token, hosts=hosts)
    _add_error_handlers(app)
    _add_probe_routes(app, batches, metrics)
    _add_info_routes(app, ensemble, info.model(ensemble, limits, training is not None))
    add_predict_route(app, batches, limits, budget, metrics)
    add_explain_route(app, batches, limits, budget, training)
    add_examples_route(app, training)
    add_inference_protocol(app, InferenceService(info.name, batches, limits, budget, metrics))
    add_page(app)
    if info.report:
        add_report(app, info.report)
    return app


def _new_app(batches: Batches) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await batches.start()
        yield
        await batches.stop()

    return FastAPI(
        title="bestiary",
        version=API_VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        summary="What is in an image, how sure that is, and why.",
    )


def _add_error_handlers(app: FastAPI) -> None:
    """Answer every refusal with a problem in JSON, the framework's own included."""

    @app.exception_handler(Problem)
    async def problem_response(_: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def validation_response(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        location = ".".join(map(str, first["loc"]))
        return Problem(422, "invalid", f"{location}: {first['msg']}").response()

    @app.exception_handler(HTTPException)
    async def http_response(_: Request, error: HTTPException) -> Response:
        code = ERROR_CODES.get(error.status_code, "refused")
        return Problem(error.status_code, code, str(error.detail), error.headers).response()


def _add_probe_routes(app: FastAPI, batches: Batches, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["probes"], responses=refusals(421))
    async def healthz() -> Health:
        """Whether the process answers at all."""
        return Health(status="alive")

    @app.get("/readyz", tags=["probes"], responses=refusals(421, 503))
    async def readyz() -> Health:
        """Whether the engine is warm and takes work."""
        if not batches.ready:
            raise busy("The engine is not ready.")
        return Health(status="ready")

    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
    }

    @app.get(
        "/metrics", tags=["probes"], response_class=Response, responses=text | refusals(401, 421)
    )
    async def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        text = await asyncio.to_thread(metrics.text)  # a test of drift takes a moment
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _add_info_routes(app: FastAPI, ensemble: Ensemble, info: Model) -> None:
    @app.get("/v1/classes", tags=["info"], responses=refusals(401, 421))
    async def classes() -> Classes:
        """The classes, in the order of the ensemble's outputs."""
        return Classes(classes=ensemble.classes_.tolist())

    @app.get("/v1/model", tags=["info"], responses=refusals(401, 421))
    async def model() -> Model:
        """The ensemble, its out-of-fold accuracy, and the limits of a request."""
        return info
