"""The answers of the service, as its OpenAPI document shows them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from bestiary.ensemble.answers import Answer
from bestiary.serving.problems import RequestError

Share = Annotated[float, Field(ge=0, le=1)]


class Ranked(BaseModel):
    """A class and the calibrated confidence in it."""

    label: str
    confidence: Share


class Prediction(BaseModel):
    """What the ensemble says of one image; `error` stands alone where it could not be read."""

    name: str | None = Field(None, description="the file's name, if one was sent")
    label: str | None = Field(None, description="the likeliest class")
    confidence: Share | None = Field(
        None, description="calibrated: of answers at 0.8, four in five are right"
    )
    top: list[Ranked] = Field([], description="the five likeliest classes")
    member_agreement: Share | None = Field(
        None, description="share of the members whose own first choice is the label"
    )
    prediction_set: list[str] | None = Field(
        None,
        description="classes that hold the true one in the share of images asked for; null: not "
        "calibrated",
    )
    accepted: bool | None = Field(
        None, description="of such answers at most the risk asked for is wrong"
    )
    unknown: bool | None = Field(
        None, description="the image is unlike what the ensemble knows; believe no label"
    )
    error: RequestError | None = None

    @classmethod
    def of(cls, name: str | None, answer: Answer) -> Self:
        """An answer."""
        top = [
            Ranked(label=label, confidence=min(1.0, confidence)) for label, confidence in answer.top
        ]
        return cls(
            name=name,
            label=top[0].label,
            confidence=top[0].confidence,
            top=top,
            member_agreement=answer.member_agreement,
            prediction_set=answer.prediction_set,
            accepted=answer.accepted,
            unknown=answer.unknown,
        )


class Predictions(BaseModel):
    """One prediction for each image, in the order in which they were sent."""

    predictions: list[Prediction]


class Classes(BaseModel):
    """The classes that the ensemble tells apart."""

    classes: list[str]


class Bounds(BaseModel):
    """What is taken at most."""

    bytes: int
    pixels: int
    images: int


class Score(BaseModel):
    """Out-of-fold accuracy with its 95 % interval."""

    accuracy: Share
    low: Share
    high: Share
    images: int


class Model(BaseModel):
    """What answers here."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    backbone: str
    members: int
    engine: str
    classes: int
    calibrated: bool
    score: Score | None = None
    similar: str | None = Field(
        None, description="why no similar training images can be shown; null: they can"
    )
    limits: Bounds


class Similar(BaseModel):
    """A training image that is like the one asked about."""

    label: str
    path: str = Field(description="below the folder of the training images")
    image: str | None = Field(
        description="small, as a data URI; null: it is no longer there, or has changed"
    )


class Explanation(BaseModel):
    """Why an image is taken for what it is."""

    label: str = Field(description="the class that is explained: the likeliest")
    mask: str | None = Field(
        description="PNG of the image's shape as a data URI, opaque where nothing spoke for the "
        "class; null: the "
        "network has no maps to tell it from"
    )
    similar: list[Similar] | None = Field(description="nearest first; null: the run cannot tell")


class Health(BaseModel):
    """How the service is."""

    status: str
