"""A run and its ensemble -> the application that serves them, with a word to whoever starts it."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.run.run import Run
from bestiary.serving.answering import add_explanations, add_predictions
from bestiary.serving.batches import Batches
from bestiary.serving.explaining import TrainingImages
from bestiary.serving.guard import SecurityMiddleware
from bestiary.serving.limits import ByteBudget, Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.page import add_page
from bestiary.serving.problems import Problem, busy, refusals
from bestiary.serving.schemas import Classes, Health, Model
from bestiary.serving.server import Address
from bestiary.serving.service_info import ServiceInfo


def application_of(
    run: Run,
    ensemble: Ensemble,
    limits: Limits,
    token: str | None,
    address: Address,
    similar: bool,
    display: Display,
) -> FastAPI:
    """The application for `run`; `similar` says whether its training images may be shown."""
    training, reason = None, "they were switched off where the service was started"
    if similar:
        try:
            training = TrainingImages.of(run, ensemble)
        except BestiaryError as error:
            reason = str(error)
            display.line(f"No similar training images: {reason}")
    display.line(f"{len(ensemble.members)} members by {ensemble.engine}")
    if ensemble.refused:
        display.notice(ensemble.refused)
    if not address.is_loopback and token is None:
        display.notice(
            f"--host {address.host}: anyone who reaches it may ask; set a token in BESTIARY_TOKEN"
        )
    return build_application(
        ensemble,
        limits=limits,
        token=token,
        hosts=address.names,
        info=ServiceInfo.of(run, reason),
        training=training,
    )


VERSION = "1"  # of the interface; its paths have it too


def build_application(
    ensemble: Ensemble,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    info: ServiceInfo | None = None,
    training: TrainingImages | None = None,
) -> FastAPI:
    """Make the application that answers with `ensemble`.

    Args:
        ensemble: that answers.
        limits: what a client may ask for.
        token: that /v1/ and /metrics want; None: they are open.
        hosts: names that the service may be called by; None: any.
        facts: what /v1/model tells of the ensemble besides what it knows itself.
        training: the training images that similar ones are looked for among; None: none are shown.

    Returns:
        an ASGI application; its lifespan warms the engine up and ends it.
    """
    limits, info, metrics = limits or Limits(), info or ServiceInfo(), Metrics()
    batches, room = Batches(ensemble, limits.waiting, metrics), ByteBudget(limits.held)
    metrics.held.set_function(lambda: room.held)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await batches.start()
        yield
        await batches.stop()

    app = FastAPI(
        title="bestiary", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="What is in an image, how sure that is, and why.",
    )  # fmt: skip
    app.add_middleware(SecurityMiddleware, metrics=metrics, token=token, hosts=hosts)
    _add_handlers(app)
    _add_probes(app, batches, metrics)
    _add_info(app, ensemble, limits, info, training)
    add_predictions(app, batches, limits, room, metrics)
    add_explanations(app, batches, limits, room, training)
    add_page(app)
    return app


def _add_handlers(app: FastAPI) -> None:
    """Every refusal is a problem in JSON, the framework's own included."""

    @app.exception_handler(Problem)
    async def refused(_: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return Problem(
            422, "invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ).response()

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        return Problem(error.status_code, code, str(error.detail), error.headers).response()


def _add_probes(app: FastAPI, batches: Batches, metrics: Metrics) -> None:
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
    async def numbers() -> Response:
        """Numbers in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_info(
    app: FastAPI,
    ensemble: Ensemble,
    limits: Limits,
    info: ServiceInfo,
    training: TrainingImages | None,
) -> None:
    model = info.model(ensemble, limits, training is not None)

    @app.get("/v1/classes", tags=["facts"], responses=refusals(401, 421))
    async def classes() -> Classes:
        """The classes, in the order of the ensemble's outputs."""
        return Classes(classes=ensemble.classes_.tolist())

    @app.get("/v1/model", tags=["facts"], responses=refusals(401, 421))
    async def what() -> Model:
        """What answers here, how good it was out of fold, and what it takes."""
        return model
