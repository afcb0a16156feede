"""An audit that a person has asked for -> the same, with what comes next below its findings."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from bestiary.api.arguments import Location
from bestiary.data.audit import Audit
from bestiary.printable import printable_name


@dataclass(frozen=True)
class Scanned(Audit):
    """What `bestiary scan` has found.

    Attributes:
        after: Lines below the findings: where the page is, or which commands come next.
    """

    after: str = ""

    @classmethod
    def of(cls, audit: Audit, data: Location, page: Path | None) -> Self:
        """Add to an audit what comes next.

        Args:
            audit: The findings.
            data: The images, as the user has named them.
            page: File of the page; None if none was written.
        """
        place = printable_name(str(data))
        steps = [
            f"Page: {printable_name(str(page))}",
            f"What next: bestiary probe {place} RUN",
        ]
        if page is None:
            steps[0] = f"As a page: bestiary scan {place} --out FOLDER"
        found = {field.name: getattr(audit, field.name) for field in fields(audit)}
        return cls(**found, after="\n".join(steps))

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.after}"
