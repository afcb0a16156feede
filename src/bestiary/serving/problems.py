"""What is wrong with a request -> one JSON answer that says so (RFC 9457, problem details)."""

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
    413: "Too many bytes, pixels or images.",
    415: "Not an image, or not a type that is taken.",
    421: "The service is not called by that name.",
    422: "The image is damaged or empty, or a parameter is out of its range.",
    503: "Too much is waiting; Retry-After says when to come again.",
}


class RequestError(BaseModel):
    """Why something could not be done."""

    code: str = Field(
        description="a word for programs, such as not_an_image", examples=["not_an_image"]
    )
    detail: str = Field(description="a sentence for people")


class ProblemAnswer(RequestError):
    """Why a request was refused."""

    title: str
    status: int = Field(ge=400, le=599)


class Problem(Exception):  # noqa: N818 (the standard's word)
    """A request that is refused.

    Args:
        status: of the answer.
        code: a word for programs.
        detail: a sentence for people.
        headers: of the answer, besides the usual ones.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = (
            status,
            code,
            detail,
            dict(headers or {}),
        )

    def response(self) -> JSONResponse:
        """The answer."""
        shown = ProblemAnswer(
            code=self.code,
            detail=self.detail,
            title=HTTPStatus(self.status).phrase,
            status=self.status,
        )
        return JSONResponse(shown.model_dump(), self.status, self.headers, MEDIA_TYPE)

    def trouble(self) -> RequestError:
        """The same as part of an answer that has others beside it."""
        return RequestError(code=self.code, detail=self.detail)


def busy(detail: str) -> Problem:
    """Refuse now, since too much is waiting; the client is told to come again."""
    return Problem(503, "busy", detail, {"Retry-After": "1"})


def of_image(error: ImageError) -> Problem:
    """An image that cannot be read."""
    if isinstance(error, ForeignError):
        return Problem(
            415, "not_an_image", "These bytes are no JPEG, PNG, WebP, BMP, TIFF or GIF image."
        )
    if isinstance(error, OversizeError):
        return Problem(413, "too_many_pixels", f"This image is too large: {error.reason}.")
    return Problem(422, "damaged", f"This image cannot be read: {error.reason}.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals as the OpenAPI document lists them."""
    return {
        status: {
            "model": ProblemAnswer,
            "content": {MEDIA_TYPE: {}},
            "description": MEANINGS[status],
        }
        for status in statuses
    }
