"""A trained run and new images -> how these are listed: with boxes as sure as the run's own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.recipe.sections import DataOptions
    from bestiary.run.run import Run


def flattened(images: Sequence[Location | Sequence[Location]]) -> Iterator[Path]:
    """Yield the paths of all arguments; one of them may be a list.

    Args:
        images: What is named, each a path or a list of paths.

    Example:
        >>> [str(path) for path in flattened(["a.jpg", ["b.jpg", "c.jpg"]])]
        ['a.jpg', 'b.jpg', 'c.jpg']
    """
    for one in images:
        if isinstance(one, str | Path):
            yield Path(one)
        else:
            yield from map(Path, one)


def trained_listing(
    run: "Run", images: Sequence[Location], overrides: Sequence[str], display: "Display"
) -> "DataOptions":
    """Load how images are listed; say so where the run's confidence of boxes is not the usual one.

    Args:
        run: The run.
        images: What is named on the command line.
        overrides: As for `bestiary.recipe.load.load_data_options`.
        display: Says it.

    Raises:
        RecipeError: An override is of another option, or its value is out of range.
    """
    from bestiary.data.detections.read import is_detections
    from bestiary.recipe.load import load_data_options, load_trained_options

    usual = load_data_options(overrides)
    options = load_trained_options(overrides, run.read_recipe().data)
    has_detector = options.boxes or any(is_detections(Path(one)) for one in images)
    if has_detector and options.box_confidence != usual.box_confidence:
        display.notice(
            f"Boxes: those of confidence {options.box_confidence:g} or more, as in this run's "
            f"training (--set data.box_confidence={usual.box_confidence:g}: the usual ones)"
        )
    return options
