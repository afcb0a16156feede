"""The HTTP routes of the Open Inference Protocol (V2), which KServe and Triton speak: /v2/...

The model takes encoded images (BYTES), and its outputs are the answers of /v1/predict as tensors.
The protocol has no place for the error of one image, so a request with one that cannot be read is
refused, and the refusal names it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from bestiary.ensemble.answers import Answer, PredictionOptions
from bestiary.errors import ImageError
from bestiary.recipe.choices import Coverage, Risk, Sets
from bestiary.serving.answering import while_connected
from bestiary.serving.batches import Batches
from bestiary.serving.limits import ByteBudget, Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem, busy, image_problem
from bestiary.serving.tensors import (
    HEADER,
    InferenceRequest,
    Tensor,
    bytes_elements,
    malformed,
    pack_response,
    split_body,
)
from bestiary.serving.uploads import read_body
from bestiary.version import VERSION as SOFTWARE

VERSION = "1"
INPUT = "images"
PLATFORM = "bestiary"
Endpoint = Callable[..., Coroutine[Any, Any, Any]]
BINARY = "binary_data_output"  # parameter: all outputs go behind the JSON


class _Options(BaseModel):
    """Parameters of a request, as /v1/predict takes them in its query."""

    model_config = ConfigDict(extra="forbid")

    coverage: Coverage = "0.9"
    sets: Sets = "all"
    risk: Risk = "0.05"


class InferenceService:
    """The model of the protocol: what it is, and its answers.

    Args:
        name: name of the model.
        batches: queue of the ensemble.
        limits: limits of the service.
        budget: memory for bodies.
        metrics: metrics that count the images.
    """

    def __init__(
        self, name: str, batches: Batches, limits: Limits, budget: ByteBudget, metrics: Metrics
    ) -> None:
        self._name = name
        self._batches = batches
        self._limits = limits
        self._budget = budget
        self._metrics = metrics

    async def server(self) -> dict[str, Any]:
        """Describe the server."""
        return {"name": PLATFORM, "version": SOFTWARE, "extensions": ["binary_tensor_data"]}

    async def live(self) -> Response:
        """Say that the process answers at all."""
        return Response()

    async def ready(self) -> Response:
        """Say that the engine is warm.

        Raises:
            Problem: HTTP 503, it is not.
        """
        if not self._batches.ready:
            raise busy("The engine is not ready.")
        return Response()

    async def model_ready(self, name: str, version: str = VERSION) -> Response:
        """Say that the model answers.

        Raises:
            Problem: HTTP 404, there is no such model; 503, the engine is not warm.
        """
        self._check(name, version)
        return await self.ready()

    async def metadata(self, name: str, version: str = VERSION) -> dict[str, Any]:
        """Describe the model: its input and its outputs.

        Raises:
            Problem: HTTP 404, there is no such model.
        """
        self._check(name, version)
        example = self._tensors([self._example()])
        outputs = [
            {"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape[1:]]}
            for one in example
        ]
        return {
            "name": self._name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": outputs,
        }

    async def infer(self, request: Request, name: str, version: str = VERSION) -> Response:
        """Answer the images of a request.

        Raises:
            Problem: there is no such model, the request does not keep to the protocol, or an image
                cannot be read.
        """
        self._check(name, version)
        with self._budget.reserve() as take:
            body = bytearray()
            await read_body(request, self._limits, take, body.extend)
            asked, binary = split_body(bytes(body), request.headers.get(HEADER))
            options = _options(asked)
            images = await asyncio.to_thread(self._images, asked, binary)
            work = self._answers(images, options)
            answers = await while_connected(request, self._limits, work)
        tensors = _chosen(self._tensors(answers), asked)
        head = {"model_name": self._name, "model_version": VERSION, "id": asked.id}
        content, headers = pack_response(head, tensors, _binary_names(tensors, asked))
        return Response(content, headers=headers)

    def _check(self, name: str, version: str) -> None:
        if (name, version) != (self._name, VERSION):
            raise Problem(404, "not_found", f"The model here is {self._name!r}, version {VERSION}.")

    def _images(self, asked: InferenceRequest, binary: bytes) -> list[bytes]:
        tensor = asked.inputs[0]
        is_images = tensor.name == INPUT and tensor.datatype == "BYTES" and len(tensor.shape) == 1
        if len(asked.inputs) != 1 or not is_images:
            raise malformed(f"the one input is {INPUT}, of BYTES, with one side")
        images = bytes_elements(tensor, binary)
        if not images:
            raise Problem(422, "empty", "The request has no image.")
        self._limits.check_count(len(images))
        for number, image in enumerate(images):
            try:
                self._limits.check_image(image)
            except Problem as problem:
                raise self._of_image(number, problem) from None
        return images

    async def _answers(self, images: Sequence[bytes], options: PredictionOptions) -> list[Answer]:
        answers = []
        for number, outcome in enumerate(await self._batches.answer(images, options)):
            if isinstance(outcome, ImageError):
                raise self._of_image(number, image_problem(outcome))
            answers.append(outcome)
        self._metrics.images.labels("answered").inc(len(answers))
        return answers

    def _of_image(self, number: int, problem: Problem) -> Problem:
        self._metrics.images.labels(problem.code).inc()
        return Problem(problem.status, problem.code, f"Image {number}: {problem.detail}")

    def _example(self) -> Answer:
        """An answer of the ensemble's kind."""
        ensemble = self._batches.ensemble
        top = [(name, 0.0) for name in ensemble.classes_.tolist()[:5]]
        is_calibrated = ensemble.calibration is not None and ensemble.ood is not None
        return Answer(top, 0.0, [], False, False) if is_calibrated else Answer(top, 0.0)

    def _tensors(self, answers: Sequence[Answer]) -> list[Tensor]:
        """The answers as tensors; those that need a calibration are left out without one."""
        count = len(answers)
        n_top = len(answers[0].top)
        ranked = [pair for answer in answers for pair in answer.top]
        tensors = [
            Tensor("label", "BYTES", [count], [answer.top[0][0] for answer in answers]),
            Tensor("confidence", "FP32", [count], [answer.top[0][1] for answer in answers]),
            Tensor("top_labels", "BYTES", [count, n_top], [label for label, _ in ranked]),
            Tensor("top_confidences", "FP32", [count, n_top], [share for _, share in ranked]),
            Tensor("member_agreement", "FP32", [count], [one.member_agreement for one in answers]),
        ]
        if answers[0].prediction_set is None:
            return tensors
        sets = ["|".join(answer.prediction_set or []) for answer in answers]
        return [
            *tensors,
            Tensor("prediction_set", "BYTES", [count], sets),
            Tensor("accepted", "BOOL", [count], [bool(answer.accepted) for answer in answers]),
            Tensor("unknown", "BOOL", [count], [bool(answer.unknown) for answer in answers]),
        ]


def add_inference_protocol(app: FastAPI, service: InferenceService) -> None:
    """Add the routes of the protocol to an application.

    Args:
        app: the application.
        service: the model.
    """
    routes: list[tuple[str, str, Endpoint]] = [
        ("/v2", "GET", service.server),
        ("/v2/health/live", "GET", service.live),
        ("/v2/health/ready", "GET", service.ready),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            (model, "GET", service.metadata),
            (f"{model}/ready", "GET", service.model_ready),
            (f"{model}/infer", "POST", service.infer),
        ]
    for path, method, endpoint in routes:
        # The protocol is described by its own standard; /openapi.json describes /v1.
        app.add_api_route(path, _refusing(endpoint), methods=[method], include_in_schema=False)


def _refusing(endpoint: Endpoint) -> Endpoint:
    """Turn a refusal of an endpoint into what the protocol has for it: one text."""

    @wraps(endpoint)
    async def answer(*args: Any, **arguments: Any) -> Any:
        try:
            return await endpoint(*args, **arguments)
        except Problem as problem:
            return JSONResponse({"error": problem.detail}, problem.status, problem.headers)

    return answer


def _options(asked: InferenceRequest) -> PredictionOptions:
    given = {name: value for name, value in asked.parameters.items() if name != BINARY}
    try:
        options = _Options.model_validate(given)
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"]))
        known = {
            "coverage": get_args(Coverage),
            "sets": get_args(Sets),
            "risk": get_args(Risk),
        }
        offered = "; ".join(f"{key}: {', '.join(values)}" for key, values in known.items())
        raise malformed(f"parameter {name[:80]!r} is none of these, as text: {offered}") from None
    return PredictionOptions(float(options.coverage), options.sets, float(options.risk))


def _chosen(tensors: list[Tensor], asked: InferenceRequest) -> list[Tensor]:
    """The outputs that are asked for, in the order of the request; all where none is named."""
    if not asked.outputs:
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    for output in asked.outputs:
        if output.name not in by_name:
            raise malformed(f"output {output.name[:80]!r} is none of {', '.join(by_name)}")
    return [by_name[output.name] for output in asked.outputs]


def _binary_names(tensors: list[Tensor], asked: InferenceRequest) -> set[str]:
    everything = asked.parameters.get(BINARY) is True
    chosen = {output.name: output.parameters.get("binary_data") for output in asked.outputs or []}
    return {one.name for one in tensors if chosen.get(one.name, everything) in (True, 1)}
