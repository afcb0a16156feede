"""An audit that a person has asked for -> the same, with what comes next below its findings."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from bestiary.api.arguments import Location
from bestiary.data.audit import Audit
from bestiary.printable import printable_name, shell_name


@dataclass(frozen=True)
class Scanned(Audit):
    """What `bestiary scan` has found.

    Attributes:
        after: Lines below the findings: where the page is, or which commands come next.
    """

    after: str = ""

    @classmethod
    def of(
        cls,
        audit: Audit,
        data: Location,
        page: Path | None,
        overrides: Sequence[str] = (),
        not_duplicates: Location | None = None,
    ) -> Self:
        """Add to an audit what comes next.

        Args:
            audit: The findings.
            data: The images, as the user has named them.
            page: File of the page; None if none was written.
            overrides: How the images are listed, as the user has said.
            not_duplicates: Table of decided pairs, if there is one.
        """
        said = (overrides, not_duplicates)
        steps = [
            f"Page: {printable_name(page)}",
            f"What next: {listing_command('probe', data, 'RUN', *said)}",
        ]
        if page is None:
            steps[0] = f"As a page: {listing_command('scan', data, '--out FOLDER', *said)}"
        found = {field.name: getattr(audit, field.name) for field in fields(audit)}
        return cls(**found, after="\n".join(steps))

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.after}"


def listing_command(
    verb: str,
    data: Location,
    place: str,
    overrides: Sequence[str],
    not_duplicates: Location | None,
) -> str:
    """Compose a command that lists the same images in the same way.

    Args:
        verb: Of the command.
        data: The images, as the user has named them.
        place: What stands behind them, such as RUN.
        overrides: How the images are listed.
        not_duplicates: Table of decided pairs, if there is one.

    Example:
        >>> listing_command("probe", "my photos", "RUN", ["data.layout=class"], None)
        "bestiary probe 'my photos' RUN --set data.layout=class"
    """
    words = ["bestiary", verb, shell_name(data), place]
    if overrides:
        words += ["--set", *map(shell_name, overrides)]
    if not_duplicates is not None:
        words += ["--not-duplicates", shell_name(not_duplicates)]
    return " ".join(words)
