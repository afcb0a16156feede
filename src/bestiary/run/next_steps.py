"""The commands to use after training, each with what it is for, as lines for a terminal."""

from bestiary.printable import shell_name
from bestiary.streams import screen_width


def next_steps(place: str) -> list[str]:
    """List the commands that go on from a finished run.

    Args:
        place: of the run.

    Returns:
        Lines of at most `screen_width()` columns. Reasons stand in a column; where the place is
        long, each follows its command, or is left out.

    Example:
        >>> print(next_steps("run")[1])
          bestiary labels run                   labels that may be wrong, to decide on
    """
    place = shell_name(place)
    steps = {
        f"report {place}": "the page: errors, trust, classes",
        f"labels {place}": "labels that may be wrong, to decide on",
        f"predict {place} IMAGES": "answers for new images",
        f"evaluate {place} LABELED_IMAGES": "the score on new images",
    }
    width = max(map(len, steps))
    lines = [f"  bestiary {step:<{width}}  {why}" for step, why in steps.items()]
    if max(map(len, lines)) <= screen_width():
        return lines
    pairs = [(f"  bestiary {step}", f"  ({why})") for step, why in steps.items()]
    return [
        command + why if len(command + why) <= screen_width() else command for command, why in pairs
    ]
