"""What a library prints and warns of while it converts -> nothing. Errors still come."""

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silent_output() -> Iterator[None]:
    """Hide what a library prints and warns of inside the block.

    Example:
        >>> with silent_output():
        ...     print("0 % done")
    """
    hidden = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(hidden),
        contextlib.redirect_stderr(hidden),
    ):
        warnings.simplefilter("ignore")
        yield
