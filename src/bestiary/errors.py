"""Every failure that bestiary foresees, as one exception tree.

::

    BestiaryError              one clear line: the value, the cause, the remedy
    ├── ArgumentError          a value given on the command line or to a function
    ├── RecipeError            a recipe's key or value
    ├── DataError              a folder, table, manifest or fold file
    │   └── ImageError       one image that cannot be decoded; `reason` is a short phrase
    │       ├── ForeignError   its bytes are no image of a kind that is read
    │       └── OversizeError  it claims more pixels, or more work, than is allowed
    ├── WeightsError           a backbone's name or its weights
    └── RunError               a run directory: missing, taken, incomplete or of another make
        └── DamagedError       a file of a run that is not as it was written

The command line prints the message of a `BestiaryError` on one line and exits with code 2. Anything
else that is raised is a defect of bestiary and keeps its traceback.
"""


def one_line(error: Exception, most: int = 120) -> str:
    """The message of a foreign error on one line of at most `most` characters; its type where it
    has none.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__


class BestiaryError(Exception):
    """A foreseen failure; its message names the value, the cause and the remedy."""


class ArgumentError(BestiaryError, ValueError):
    """A value given on the command line or to a function is out of its range or contradicts
    another.
    """


class RecipeError(BestiaryError, ValueError):
    """A recipe has a key that does not exist or a value out of its range."""


class DataError(BestiaryError):
    """A data folder, table, manifest or fold file cannot be used as it is."""


class ImageError(DataError):
    """One image cannot be decoded.

    Attributes:
        reason: a short phrase such as ``"truncated"``, as written to ``quarantine.csv``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ForeignError(ImageError):
    """Bytes are no image of a kind that is read."""


class OversizeError(ImageError):
    """An image claims more pixels, or more work to decode them, than is allowed."""


class WeightsError(BestiaryError):
    """A backbone is unknown, or its weights are missing or do not fit."""


class RunError(BestiaryError):
    """A run directory is missing, already taken, incomplete or written by another version."""


class DamagedError(RunError):
    """A file of a run is missing, cut short, changed or of another make."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; whoever started the work says how to go on with it.

    Attributes:
        number: of the signal.
        agreed: all processes that train the fold stop by it, at the same step.
    """

    def __init__(self, number: int, agreed: bool = False) -> None:
        super().__init__(number)
        self.number = number
        self.agreed = agreed
