"""The HTTP routes that take images: POST /v1/predict and POST /v1/explain; and GET /v1/examples."""

import asyncio
from collections.abc import Coroutine
from functools import cache, partial
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query
from starlette.requests import ClientDisconnect, Request

from bestiary.data.file_kinds import FORMATS
from bestiary.ensemble.answers import Answer, PredictionOptions
from bestiary.errors import ImageError
from bestiary.recipe.choices import Coverage, Risk, Sets
from bestiary.serving.batches import Batches, Outcome
from bestiary.serving.explaining import SimilarImages, explain_image
from bestiary.serving.limits import ByteBudget, Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem, busy, image_problem, refusals
from bestiary.serving.schemas import Examples, Explanation, Prediction, Predictions, Similar
from bestiary.serving.uploads import FIELD, Upload, read_uploads

T = TypeVar("T")
IMAGE = {"schema": {"type": "string", "format": "binary"}}
IMAGE_TYPES = tuple(f"image/{name.lower()}" for name in FORMATS)
REFUSALS = refusals(400, 401, 408, 413, 415, 421, 422, 503)

CoverageQuery = Annotated[Coverage, Query(description="of the prediction sets")]
SetsQuery = Annotated[Sets, Query(description="what the sets cover: all images, or each class")]
RiskQuery = Annotated[Risk, Query(description="of accepted answers")]


def add_predict_route(
    app: FastAPI, batches: Batches, limits: Limits, budget: ByteBudget, metrics: Metrics
) -> None:
    """Add POST /v1/predict to an application.

    Args:
        app: the application.
        batches: queue of the ensemble.
        limits: limits of the service.
        budget: memory for bodies.
        metrics: metrics that count the images.
    """

    @app.post(
        "/v1/predict",
        tags=["images"],
        openapi_extra=_request_body(limits.max_images),
        responses=REFUSALS,
    )
    async def predict(
        request: Request,
        coverage: CoverageQuery = "0.9",
        sets: SetsQuery = "all",
        risk: RiskQuery = "0.05",
    ) -> Predictions:
        """Predict one image, sent as the body, or several, sent as parts of a form.

        An image that cannot be read has its `error`. If none can be read, the request is refused.
        """
        options = PredictionOptions(float(coverage), sets, float(risk))
        with budget.reserve() as take:
            try:
                uploads = await read_uploads(request, limits, take)
                work = _predict(batches, limits, uploads, options)
                predictions = await while_connected(request, limits, work)
            except Problem as problem:
                metrics.images.labels(problem.code).inc()
                raise
        for prediction in predictions:
            outcome = prediction.error.code if prediction.error else "answered"
            metrics.images.labels(outcome).inc()
        return Predictions(predictions=predictions)


def add_explain_route(
    app: FastAPI,
    batches: Batches,
    limits: Limits,
    budget: ByteBudget,
    training: SimilarImages | None,
) -> None:
    """Add POST /v1/explain to an application.

    Args:
        app: the application.
        batches: queue of the ensemble.
        limits: limits of the service.
        budget: memory for bodies.
        training: index of the training images; None: none are shown.
    """

    @app.post(
        "/v1/explain",
        tags=["images"],
        openapi_extra=_request_body(1),
        responses=REFUSALS,
    )
    async def explain(request: Request) -> Explanation:
        """Explain the label of one image: where the members looked, and similar training images."""
        with budget.reserve() as take:
            uploads = await read_uploads(request, limits, take)
            if len(uploads) > 1:
                raise Problem(422, "too_many_images", "One image is explained at a time.")
            content = uploads[0].content
            await asyncio.to_thread(limits.check_image, content)
            job = partial(explain_image, batches.ensemble, training, content)
            try:
                explanation = await while_connected(request, limits, batches.run_job(job))
            except ImageError as error:
                raise image_problem(error) from None
        similar = None
        if explanation.similar is not None:
            similar = [
                Similar(label=image.label, path=image.path, image=image.uri)
                for image in explanation.similar
            ]
        return Explanation(
            label=explanation.label,
            mask=explanation.mask,
            similar=similar,
            trained_on=explanation.trained_on,
        )


def add_examples_route(app: FastAPI, training: SimilarImages | None) -> None:
    """Add GET /v1/examples to an application.

    Args:
        app: the application.
        training: index of the training images; None: there are no examples.
    """

    @cache
    def examples() -> Examples:
        chosen = training.examples() if training else []
        return Examples(
            examples=[Similar(label=one.label, path=one.path, image=one.uri) for one in chosen]
        )

    @app.get("/v1/examples", tags=["info"], responses=refusals(401, 421))
    async def read_examples() -> Examples:
        """Training images of different classes, to try the service with."""
        return await asyncio.to_thread(examples)


def _request_body(max_images: int) -> dict[str, Any]:
    """Describe a body of images for the OpenAPI document."""
    images = {
        "type": "array",
        "minItems": 1,
        "maxItems": max_images,
        "items": IMAGE["schema"],
    }
    form = {
        "type": "object",
        "required": [FIELD],
        "additionalProperties": False,
        "properties": {FIELD: images},
    }
    content: dict[str, Any] = {
        **dict.fromkeys(IMAGE_TYPES, IMAGE),
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


async def _predict(
    batches: Batches, limits: Limits, uploads: list[Upload], options: PredictionOptions
) -> list[Prediction]:
    """Predict each upload, in order.

    Raises:
        Problem: none of them can be read, or too many images wait.
    """
    problems = await asyncio.to_thread(_header_problems, limits, uploads)
    contents = [
        upload.content for upload, problem in zip(uploads, problems, strict=True) if problem is None
    ]
    answers = iter(await batches.answer(contents, options) if contents else [])
    outcomes = [next(answers) if problem is None else problem for problem in problems]
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
    if len(refused) == len(uploads):
        raise _as_problem(refused[0])
    return [_prediction(*pair) for pair in zip(uploads, outcomes, strict=True)]


def _prediction(upload: Upload, outcome: Outcome | Problem) -> Prediction:
    if isinstance(outcome, Answer):
        return Prediction.of(upload.name, outcome)
    return Prediction(name=upload.name, error=_as_problem(outcome).request_error())


def _as_problem(reason: ImageError | Problem) -> Problem:
    return image_problem(reason) if isinstance(reason, ImageError) else reason


def _header_problems(limits: Limits, uploads: list[Upload]) -> list[Problem | None]:
    """Check the header of each upload."""
    problems: list[Problem | None] = []
    for upload in uploads:
        try:
            limits.check_image(upload.content)
            problems.append(None)
        except Problem as problem:
            problems.append(problem)
    return problems


async def while_connected(request: Request, limits: Limits, work: Coroutine[Any, Any, T]) -> T:
    """Wait for `work`, but cancel it when the client leaves or the time is up.

    Args:
        request: the request, whose body has arrived.
        limits: limits of the service.
        work: what is waited for.

    Returns:
        What `work` returns.

    Raises:
        ClientDisconnect: the client has left.
        Problem: the time is up.
    """
    task = asyncio.create_task(work)
    disconnected = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait(
            {task, disconnected},
            timeout=limits.timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if task.done():
            return task.result()
        if disconnected.done():
            raise ClientDisconnect
        raise busy(f"No answer within {limits.timeout_seconds:g} s; try again in a moment.")
    finally:
        task.cancel()
        disconnected.cancel()


async def _disconnect(request: Request) -> None:
    """Wait until the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
