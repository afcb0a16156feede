"""Text of unknown origin -> text that is safe to show: control characters become visible escapes.

A class, a file or a run may come from a stranger, and its name may steer a terminal, turn the
direction of a line or break an XML file. Letters of all scripts and emoji stay as they are.
"""

import os
import re
import shlex

# C0 but tab and newline, C1, soft hyphen, marks and overrides of direction, invisible separators,
# surrogates, noncharacters and tags. Not the zero-width joiners, which emoji and Persian need.
_CONTROL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_TEXT = re.compile(f"[{_CONTROL}]")
_IN_NAME = re.compile(f"[\t\n{_CONTROL}]")


def printable(text: str) -> str:
    r"""Escape the control characters of a text that may have several lines.

    Example:
        >>> print(printable("a red \x1b[31mlynx"))
        a red \x1b[31mlynx
    """
    return _IN_TEXT.sub(_escape, text)


def printable_name(name: object) -> str:
    r"""Escape the control characters of a name, or of one line; newlines and tabs are among them.

    Args:
        name: a name, a path or a value.

    Example:
        >>> print(printable_name("two\nlines"))
        two\nlines
    """
    return _IN_NAME.sub(_escape, str(name))


def place_name(place: object) -> str:
    """Show a path as a person would type it here: from the current folder on, where it is below.

    A path elsewhere, an address and the current folder itself stay as they are.

    Args:
        place: path or address.

    Example:
        >>> place_name(f"{os.getcwd()}/run/report.html"), place_name("s3://bucket/run")
        ('run/report.html', 's3://bucket/run')
    """
    text = str(place)
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:  # the folder has been removed
        here = ""
    below = text.removeprefix(here)
    # What starts with a dash would be taken for an option.
    is_root = os.path.dirname(here) == here
    keep = not below or below.startswith("-") or is_root
    return printable_name(text if keep else below)


def shell_name(place: object) -> str:
    """Show a path or an address as a word of a command that can be pasted into a shell.

    Args:
        place: path, address or value; control characters are escaped, so that they are seen.

    Example:
        >>> print(f"bestiary show {shell_name('my run')}")
        bestiary show 'my run'
    """
    return shlex.quote(printable_name(place))


def _escape(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode("ascii")
