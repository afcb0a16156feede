"""A column of names and columns of numbers -> a plain table, as wide as the terminal or 80 columns.

Numbers are never broken. Where the room is short, a head is broken between its words, and a name
after a sign such as ``=``, ``/`` or ``_``. Cells may be names of any origin. Knows nothing of what
they mean.
"""

import re
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, chop_cells

from bestiary.printable import printable_name
from bestiary.streams import screen_width

GAP = "  "
MIN_NAME_WIDTH = 12
PIECE = re.compile(r"[^\s=/,_.:-]*[\s=/,_.:-]*")  # of a name, with the signs it ends with


class ScreenTable:
    """A table of one column of names and any number of columns of numbers.

    Args:
        head: of each column, that of the names first.

    Example:
        >>> table = ScreenTable("run", "accuracy")
        >>> table.add_row("first", "95.4 %")
        >>> print(table)
        run    accuracy
        first    95.4 %
    """

    def __init__(self, *head: str) -> None:
        self.head = head
        self.rows: list[list[str]] = []

    def add_row(self, *cells: object) -> None:
        """Add a row; control characters in its cells are escaped.

        Args:
            cells: one for each column.
        """
        self.rows.append([printable_name(cell) for cell in cells])

    def __str__(self) -> str:
        longest_name = max(cell_len(row[0]) for row in [self.head, *self.rows])
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.head)
        widths = [
            max(map(cell_len, [head, *cells]))
            for head, cells in zip(self.head[1:], columns[1:], strict=True)
        ]
        if longest_name + _room(widths) > screen_width():  # the heads take more lines
            widths = [
                max(map(cell_len, [*head.split(" "), *cells]))
                for head, cells in zip(self.head[1:], columns[1:], strict=True)
            ]
        name_width = min(longest_name, max(MIN_NAME_WIDTH, screen_width() - _room(widths)))
        lines = []
        for row in [self.head, *self.rows]:
            name = wrapped_name(row[0], name_width)
            others = [_head_lines(cell, width) for cell, width in zip(row[1:], widths, strict=True)]
            for parts in zip_longest(name, *others, fillvalue=""):
                lines.append(_line(parts, name_width, widths))
        return "\n".join(lines)


def wrapped_name(name: str, width: int) -> list[str]:
    """Break a name after its signs; a piece that is too wide is cut.

    Args:
        name: one line.
        width: columns of the lines, 1 or more.

    Example:
        >>> wrapped_name("model.backbone=torchvision/resnet152", 22)
        ['model.backbone=', 'torchvision/resnet152']
    """
    lines = [""]
    for piece in filter(None, PIECE.findall(name)):
        if cell_len(lines[-1]) + cell_len(piece.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return [part for line in lines for part in chop_cells(line.rstrip(), width) or [""]]


def _room(widths: Sequence[int]) -> int:
    """Count the columns that numbers of these widths take, with the gaps before them."""
    return sum(widths) + len(GAP) * len(widths)


def _head_lines(cell: str, width: int) -> list[str]:
    """Break a cell between words, so that it is no wider than its column."""
    lines = [""]
    for word in cell.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if cell_len(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _line(parts: Sequence[str], name_width: int, widths: Sequence[int]) -> str:
    """Put one line of each cell next to each other: the name on the left, numbers on the right."""
    name, *numbers = parts
    line = name + " " * (name_width - cell_len(name))
    for number, width in zip(numbers, widths, strict=True):
        line += GAP + " " * (width - cell_len(number)) + number
    return line.rstrip()
