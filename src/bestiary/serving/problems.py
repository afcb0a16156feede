"""What is wrong with a request -> one JSON answer: problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from bestiary.errors import ForeignError, ImageError, OversizeError

MEDIA_TYPE = "application/problem+json"


MEANINGS = {
    400: "The body cannot be read.",
    401: "A token is needed.",
    408: "The body took too long to arrive.",
    413: "Too many bytes or pixels.",
    415: "Not an image, or not a type that is taken.",
    421: "The service is not called by that name.",
    422: "An image is damaged or empty, there are too many, or a parameter is out of range.",
    503: "Too much is waiting; Retry-After says when to come again.",
}


class RequestError(BaseModel):
    """Why something could not be done."""

    code: str = Field(
        description="a word for programs, such as not_an_image", examples=["not_an_image"]
    )
    detail: str = Field(description="a sentence for people")


class ProblemAnswer(RequestError):  # noqa: N818 (a model of JSON, not an exception)
    """Why a request was refused."""

    title: str
    status: int = Field(ge=400, le=599)


class Problem(Exception):  # noqa: N818 (the standard's word)
    """A refused request.

    Args:
        status: HTTP status of the answer.
        code: a word for programs.
        detail: a sentence for people.
        headers: additional headers of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Give the answer to the request."""
        answer = ProblemAnswer(
            code=self.code,
            detail=self.detail,
            title=HTTPStatus(self.status).phrase,
            status=self.status,
        )
        return JSONResponse(answer.model_dump(), self.status, self.headers, MEDIA_TYPE)

    def request_error(self) -> RequestError:
        """Give the problem of one image, as part of an answer for several."""
        return RequestError(code=self.code, detail=self.detail)


def busy(detail: str) -> Problem:
    """Make a 503 that asks the client to try again.

    Args:
        detail: a sentence for people.

    Returns:
        The problem, with Retry-After.
    """
    return Problem(503, "busy", detail, {"Retry-After": "1"})


def image_problem(error: ImageError) -> Problem:
    """Make the problem of an image that cannot be read.

    Args:
        error: why it cannot be read.

    Returns:
        415 for other files, 413 for too many pixels, 422 for damage.
    """
    if isinstance(error, ForeignError):
        return Problem(
            415, "not_an_image", "These bytes are no JPEG, PNG, WebP, BMP, TIFF or GIF image."
        )
    if isinstance(error, OversizeError):
        return Problem(413, "too_many_pixels", f"This image is too large: {error.reason}.")
    return Problem(422, "damaged", f"This image cannot be read: {error.reason}.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe refusals for the OpenAPI document.

    Args:
        statuses: statuses that a route may answer with.

    Returns:
        The argument `responses` of a route.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        responses[status] = {
            "model": ProblemAnswer,
            "content": {MEDIA_TYPE: {}},
            "description": MEANINGS[status],
        }
    return responses
