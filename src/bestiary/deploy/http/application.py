"""An ensemble -> an ASGI application: its routes, and what each of them answers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

import bestiary
from bestiary.deploy.http.batches import Batches
from bestiary.deploy.http.explaining import TrainingPictures, explain
from bestiary.deploy.http.facts import Facts
from bestiary.deploy.http.guard import Guard
from bestiary.deploy.http.limits import Limits, Room
from bestiary.deploy.http.metrics import Metrics
from bestiary.deploy.http.page import add_page
from bestiary.deploy.http.problems import MEDIA_TYPE, Problem, ProblemAnswer, busy, of_picture
from bestiary.deploy.http.schemas import Classes, Explanation, Health, Model, Prediction, Predictions, Similar
from bestiary.deploy.http.uploads import FIELD, Upload, read_uploads
from bestiary.ensemble import Answer, Caution, Ensemble
from bestiary.errors import PictureError

T = TypeVar("T")
PICTURE = {"schema": {"type": "string", "format": "binary"}}
KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif")


def _body(count: int) -> dict[str, Any]:
    """A body of `count` pictures at most, as the OpenAPI document shows it."""
    many = {"type": "array", "minItems": 1, "maxItems": count, "items": PICTURE["schema"]}
    form = {"type": "object", "required": [FIELD], "additionalProperties": False, "properties": {FIELD: many}}
    content: dict[str, Any] = {**dict.fromkeys(KINDS, PICTURE), "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals as the OpenAPI document lists them."""
    return {
        status: {"model": ProblemAnswer, "content": {MEDIA_TYPE: {}}, "description": _MEANINGS[status]}
        for status in statuses
    }


_MEANINGS = {
    400: "The body cannot be read.",
    401: "A token is needed.",
    408: "The body took too long to arrive.",
    413: "Too many bytes, pixels or pictures.",
    415: "Not a picture, or not a type that is taken.",
    421: "The service is not called by that name.",
    422: "The picture is damaged or empty, or a parameter is out of its range.",
    503: "Too much is waiting; Retry-After says when to come again.",
}


def build_application(
    ensemble: Ensemble,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    facts: Facts | None = None,
    training: TrainingPictures | None = None,
) -> FastAPI:
    """Make the application that answers with `ensemble`.

    Args:
        ensemble: that answers.
        limits: what a client may ask for.
        token: that /v1/ and /metrics want; None: they are open.
        hosts: names that the service may be called by; None: any.
        facts: what /v1/model tells of the ensemble besides what it knows itself.
        training: the training pictures that similar ones are looked for among; None: none are shown.

    Returns:
        an ASGI application; its lifespan warms the engine up and ends it.
    """
    limits, facts, metrics = limits or Limits(), facts or Facts(), Metrics()
    batches, room = Batches(ensemble, limits.waiting, metrics), Room(limits.held)
    metrics.held.set_function(lambda: room.held)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await batches.start()
        yield
        await batches.stop()

    app = FastAPI(
        title="bestiary", version=bestiary.__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="What is in a picture, how sure that is, and why.",
    )  # fmt: skip
    app.add_middleware(Guard, metrics=metrics, token=token, hosts=hosts)
    _add_handlers(app)
    _add_probes(app, batches, metrics)
    _add_facts(app, ensemble, limits, facts, training)
    _add_predictions(app, batches, limits, room, metrics)
    _add_explanations(app, batches, limits, room, training)
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
        return Problem(422, "invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}").response()

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        return Problem(error.status_code, code, str(error.detail), error.headers).response()


def _add_probes(app: FastAPI, batches: Batches, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["probes"], responses=_refusals(421))
    async def healthz() -> Health:
        """Whether the process answers at all."""
        return Health(status="alive")

    @app.get("/readyz", tags=["probes"], responses=_refusals(421, 503))
    async def readyz() -> Health:
        """Whether the engine is warm and takes work."""
        if not batches.ready:
            raise busy("The engine is not ready.")
        return Health(status="ready")

    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", tags=["probes"], response_class=Response, responses=text | _refusals(401, 421))
    async def numbers() -> Response:
        """Numbers in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_facts(
    app: FastAPI, ensemble: Ensemble, limits: Limits, facts: Facts, training: TrainingPictures | None
) -> None:
    model = facts.model(ensemble, limits, training is not None)

    @app.get("/v1/classes", tags=["facts"], responses=_refusals(401, 421))
    async def classes() -> Classes:
        """The classes, in the order of the ensemble's outputs."""
        return Classes(classes=ensemble.classes_.tolist())

    @app.get("/v1/model", tags=["facts"], responses=_refusals(401, 421))
    async def what() -> Model:
        """What answers here, how good it was out of fold, and what it takes."""
        return model


def _add_predictions(app: FastAPI, batches: Batches, limits: Limits, room: Room, metrics: Metrics) -> None:
    refusals = _refusals(400, 401, 408, 413, 415, 421, 422, 503)

    @app.post("/v1/predict", tags=["pictures"], openapi_extra=_body(limits.count), responses=refusals)
    async def predict(
        request: Request,
        coverage: Annotated[Literal["0.8", "0.9", "0.95", "0.99"], Query(description="of the sets")] = "0.9",
        sets: Annotated[Literal["all", "class"], Query(description="what they cover: all, or each class")] = "all",
        risk: Annotated[Literal["0.01", "0.02", "0.05", "0.1"], Query(description="of sure answers")] = "0.05",
    ) -> Predictions:
        """Predict one picture, sent as the body, or several, sent as parts of a form.

        A picture that cannot be read has its `error`; where that is so for all of them, the request is refused.
        """
        caution = Caution(float(coverage), sets, float(risk))
        with room.hold() as take:
            try:
                uploads = await read_uploads(request, limits, take)
                found = await _unless_gone(request, limits, _predict(batches, limits, uploads, caution))
            except Problem as problem:
                metrics.pictures.labels(problem.code).inc()
                raise
        for prediction in found:
            metrics.pictures.labels(prediction.error.code if prediction.error else "answered").inc()
        return Predictions(predictions=found)


def _add_explanations(
    app: FastAPI, batches: Batches, limits: Limits, room: Room, training: TrainingPictures | None
) -> None:
    refusals = _refusals(400, 401, 408, 413, 415, 421, 422, 503)

    @app.post("/v1/explain", tags=["pictures"], openapi_extra=_body(1), responses=refusals)
    async def why(request: Request) -> Explanation:
        """Say why one picture is taken for what it is: where the members looked, and what it is most like."""
        with room.hold() as take:
            uploads = await read_uploads(request, limits, take)
            if len(uploads) > 1:
                raise Problem(413, "too_many_pictures", "One picture is explained at a time.")
            content = uploads[0].content
            await asyncio.to_thread(limits.check_picture, content)
            job = batches.do(partial(explain, batches.ensemble, training, content))
            try:
                found = await _unless_gone(request, limits, job)
            except PictureError as error:
                raise of_picture(error) from None
        similar = [Similar(label=a, path=b, picture=c) for a, b, c in found.similar or []]
        return Explanation(label=found.label, mask=found.mask, similar=similar if training else None)


async def _predict(batches: Batches, limits: Limits, uploads: list[Upload], caution: Caution) -> list[Prediction]:
    """A prediction for each upload, in order.

    Raises:
        Problem: not one of them can be read, or too many wait.
    """
    problems = await asyncio.to_thread(_check, limits, uploads)
    good = [upload.content for upload, problem in zip(uploads, problems, strict=True) if problem is None]
    outcomes = iter(await batches.answer(good, caution) if good else [])
    found, refused = [], []
    for upload, problem in zip(uploads, problems, strict=True):
        outcome = next(outcomes) if problem is None else problem
        if isinstance(outcome, Answer):
            found.append(Prediction.of(upload.name, outcome))
            continue
        told = of_picture(outcome) if isinstance(outcome, PictureError) else outcome
        refused.append(told)
        found.append(Prediction(name=upload.name, error=told.trouble()))
    if len(refused) == len(uploads):
        raise refused[0]
    return found


def _check(limits: Limits, uploads: list[Upload]) -> list[Problem | None]:
    """What is wrong with each upload's header."""
    problems: list[Problem | None] = []
    for upload in uploads:
        try:
            limits.check_picture(upload.content)
            problems.append(None)
        except Problem as problem:
            problems.append(problem)
    return problems


async def _unless_gone(request: Request, limits: Limits, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, unless the client leaves or the time is up; then it is given up.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
        Problem: the time is up.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, timeout=limits.seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise busy(f"No answer within {limits.seconds:g} s; try again in a moment.")
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
