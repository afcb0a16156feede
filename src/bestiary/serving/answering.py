"""The routes that take images: /v1/predict and /v1/explain."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query
from starlette.requests import ClientDisconnect, Request

from bestiary.ensemble.answers import Answer, PredictionOptions
from bestiary.errors import ImageError
from bestiary.serving.batches import Batches
from bestiary.serving.explaining import TrainingImages, explain
from bestiary.serving.limits import ByteBudget, Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem, busy, of_image, refusals
from bestiary.serving.schemas import Explanation, Prediction, Predictions, Similar
from bestiary.serving.uploads import FIELD, Upload, read_uploads

T = TypeVar("T")
IMAGE = {"schema": {"type": "string", "format": "binary"}}
KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif")
REFUSALS = refusals(400, 401, 408, 413, 415, 421, 422, 503)


def _body(count: int) -> dict[str, Any]:
    """A body of `count` images at most, as the OpenAPI document shows it."""
    many = {"type": "array", "minItems": 1, "maxItems": count, "items": IMAGE["schema"]}
    form = {
        "type": "object",
        "required": [FIELD],
        "additionalProperties": False,
        "properties": {FIELD: many},
    }
    content: dict[str, Any] = {
        **dict.fromkeys(KINDS, IMAGE),
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


def add_predictions(
    app: FastAPI, batches: Batches, limits: Limits, room: ByteBudget, metrics: Metrics
) -> None:
    """Let `app` predict."""

    @app.post("/v1/predict", tags=["images"], openapi_extra=_body(limits.count), responses=REFUSALS)
    async def predict(
        request: Request,
        coverage: Annotated[
            Literal["0.8", "0.9", "0.95", "0.99"], Query(description="of the sets")
        ] = "0.9",
        sets: Annotated[
            Literal["all", "class"], Query(description="what they cover: all, or each class")
        ] = "all",
        risk: Annotated[
            Literal["0.01", "0.02", "0.05", "0.1"], Query(description="of sure answers")
        ] = "0.05",
    ) -> Predictions:
        """Predict one image, sent as the body, or several, sent as parts of a form.

        An image that cannot be read has its `error`; where that is so for all of them, the request
        is refused.
        """
        caution = PredictionOptions(float(coverage), sets, float(risk))
        with room.hold() as take:
            try:
                uploads = await read_uploads(request, limits, take)
                found = await _unless_gone(
                    request, limits, _predict(batches, limits, uploads, caution)
                )
            except Problem as problem:
                metrics.images.labels(problem.code).inc()
                raise
        for prediction in found:
            metrics.images.labels(prediction.error.code if prediction.error else "answered").inc()
        return Predictions(predictions=found)


def add_explanations(
    app: FastAPI,
    batches: Batches,
    limits: Limits,
    room: ByteBudget,
    training: TrainingImages | None,
) -> None:
    """Let `app` explain; similar images are looked for in `training`."""

    @app.post("/v1/explain", tags=["images"], openapi_extra=_body(1), responses=REFUSALS)
    async def why(request: Request) -> Explanation:
        """Say why one image is taken for what it is: where the members looked, and what it is
        most like.
        """
        with room.hold() as take:
            uploads = await read_uploads(request, limits, take)
            if len(uploads) > 1:
                raise Problem(422, "too_many_images", "One image is explained at a time.")
            content = uploads[0].content
            await asyncio.to_thread(limits.check_image, content)
            job = batches.do(partial(explain, batches.ensemble, training, content))
            try:
                found = await _unless_gone(request, limits, job)
            except ImageError as error:
                raise of_image(error) from None
        similar = [Similar(label=a, path=b, image=c) for a, b, c in found.similar or []]
        return Explanation(
            label=found.label, mask=found.mask, similar=similar if training else None
        )


async def _predict(
    batches: Batches, limits: Limits, uploads: list[Upload], caution: PredictionOptions
) -> list[Prediction]:
    """A prediction for each upload, in order.

    Raises:
        Problem: not one of them can be read, or too many wait.
    """
    problems = await asyncio.to_thread(_check, limits, uploads)
    good = [
        upload.content for upload, problem in zip(uploads, problems, strict=True) if problem is None
    ]
    outcomes = iter(await batches.answer(good, caution) if good else [])
    found, refused = [], []
    for upload, problem in zip(uploads, problems, strict=True):
        outcome = next(outcomes) if problem is None else problem
        if isinstance(outcome, Answer):
            found.append(Prediction.of(upload.name, outcome))
            continue
        told = of_image(outcome) if isinstance(outcome, ImageError) else outcome
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
            limits.check_image(upload.content)
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
        await asyncio.wait(
            {task, gone}, timeout=limits.seconds, return_when=asyncio.FIRST_COMPLETED
        )
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
