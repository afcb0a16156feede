"""The answers of the service as JSON schemas, which its OpenAPI document shows."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from bestiary.ensemble.answers import Answer
from bestiary.serving.problems import RequestError

Share = Annotated[float, Field(ge=0, le=1)]


class Ranked(BaseModel):
    """A class and its calibrated confidence."""

    label: str
    confidence: Share


class Prediction(BaseModel):
    """The answer for one image; `error` stands alone if the image cannot be read."""

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
        description="classes that include the true one for the requested share of images; null: "
        "not calibrated",
    )
    accepted: bool | None = Field(
        None, description="of accepted answers at most the requested risk is wrong"
    )
    unknown: bool | None = Field(
        None, description="the image is unlike what the ensemble knows; believe no label"
    )
    promised: bool | None = Field(
        None, description="whether the label keeps the precision that the service promises of it"
    )
    decision: str | None = Field(None, description="the answer of least expected cost")
    expected_cost: float | None = Field(None, description="cost that is expected of the decision")
    error: RequestError | None = None

    @classmethod
    def of(cls, name: str | None, answer: Answer) -> Self:
        """Turn an answer into JSON.

        Args:
            name: name of the file, if one was sent.
            answer: the ensemble's answer.
        """
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
            **answer.decided,
        )


class Predictions(BaseModel):
    """One prediction for each image, in the order in which they were sent."""

    predictions: list[Prediction]


class Classes(BaseModel):
    """The classes that the ensemble knows."""

    classes: list[str]


class Bounds(BaseModel):
    """The largest request that is taken."""

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
    """The ensemble that answers here."""

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
    report: bool = Field(description="whether /report shows the run's report")
    limits: Bounds


class Similar(BaseModel):
    """A training image that is similar to the one that was sent."""

    label: str
    path: str = Field(description="below the folder of the training images")
    image: str | None = Field(
        description="small, as a data URI; null: it is no longer there, or has changed"
    )


class Explanation(BaseModel):
    """Why the ensemble gives an image its label."""

    label: str = Field(description="the class that is explained: the likeliest")
    mask: str | None = Field(
        description="PNG of the image's shape as a data URI, dark where nothing spoke for the "
        "class, in warm light where something did; null: the network has no maps to compute it from"
    )
    similar: list[Similar] | None = Field(
        description="most similar first; null: the run cannot tell"
    )
    trained_on: str | None = Field(
        description="path of the training image with the same bytes, whose answer flatters; null: "
        "none, or the run cannot tell"
    )


class Examples(BaseModel):
    """Training images to try the service with."""

    examples: list[Similar]


class Health(BaseModel):
    """The state of the service."""

    status: str
