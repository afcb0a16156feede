"""unknown.json of a run: which score tells unknown images, and how well it did on left-out classes.

A run may come from a stranger, so the file is checked. It is only shown: ood.safetensors holds what
decides.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from bestiary.errors import DamagedError
from bestiary.run.finished_files import finished_file
from bestiary.run.json_files import JsonSection, first_problem, read_json_file
from bestiary.run.layout import UNKNOWN
from bestiary.run.run import Run
from bestiary.stats.left_out import LeftOutSet
from bestiary.stats.ood import OodScore

MAX_SETS = 1_000
MAX_CLASSES = 100  # of a set
Name = Annotated[str, Field(max_length=1_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class LeftOutRecord(JsonSection):
    """One set of classes that was left out, see `LeftOutSet`.

    Attributes:
        classes: names of the classes.
        images: images of these classes.
        auroc: by score.
        caught: by score.
    """

    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_CLASSES)]
    images: Annotated[int, Field(ge=1, le=10**12)]
    auroc: dict[OodScore, Share]
    caught: dict[OodScore, Share]


class UnknownRecord(JsonSection):
    """Content of unknown.json.

    Attributes:
        version: of the file.
        score: that decides what is unknown.
        auroc: mean over the sets, each by the score that the others choose.
        caught: the same of the share caught at 5 % of false alarms.
        sets: the sets that were left out in turn.
    """

    version: Literal[1] = 1
    score: OodScore
    auroc: Share
    caught: Share
    sets: Annotated[list[LeftOutRecord], Field(min_length=2, max_length=MAX_SETS)]


def read_unknown(run: Run) -> UnknownRecord | None:
    """Read unknown.json; None if no class was left out for this run.

    Args:
        run: any run.

    Raises:
        DamagedError: the file is not what bestiary writes, or not the one that the run was finished
            with.
    """
    file = finished_file(run.path, UNKNOWN)
    try:
        return UnknownRecord.model_validate(read_json_file(file))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DamagedError.foreign(file, first_problem(error)) from None


def record_of(
    score: OodScore, rates: tuple[float, float], sets: list[LeftOutSet], classes: list[str]
) -> UnknownRecord:
    """Make the content of the file.

    Args:
        score: that was chosen.
        rates: mean AUROC and share caught.
        sets: what was left out.
        classes: class names of the run.
    """
    records = [
        LeftOutRecord(
            classes=[classes[number] for number in one.classes],
            images=one.images,
            auroc=one.auroc,
            caught=one.caught,
        )
        for one in sets
    ]
    return UnknownRecord(score=score, auroc=rates[0], caught=rates[1], sets=records)
