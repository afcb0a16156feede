"""Lines of benchmarks/results/CLAIM.jsonl -> checked results, and the one of each case that counts.

A file keeps its history: the last line of each case counts. A line that is not valid is refused
with its file and number. Cases that a newer one of the same claim replaces stand in retired.toml,
each with the reason: they are history too.
"""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.scripts import BENCHMARKS, Bar, read_bar

RESULTS = BENCHMARKS / "results"
RETIRED = "retired.toml"  # claim -> case -> why
MAX_LINE = 1_000_000  # characters
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]


class Strict(BaseModel):
    """A part of a line: no other fields, no other types."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(Strict):
    """A measured number.

    Attributes:
        what: what it belongs to, such as a data set; or against whom it was measured.
        median: the number; of several rounds their median.
        low: lower end of its spread.
        high: upper end.
        unit: its own unit; without one it has the claim's, and is judged by the bar.
    """

    what: str = Field(default="", max_length=200)
    median: Number
    low: Number | None = None
    high: Number | None = None
    unit: str | None = None


class Data(Strict):
    """What was measured on."""

    name: Text
    n: int | None = None
    digest: str | None = None


class Machine(Strict):
    """Where it was measured; `load` is that of one minute before the start."""

    cpu: Text
    cores: int | None = None
    gpu: str | None = None
    load: Number | None = None


class Line(Strict):
    """One measurement of a claim.

    Attributes:
        claim: its name.
        area: folder of its script.
        case: what was measured this time, where a claim has several cases.
        statement: what should be true.
        unit: of the judged values.
        bar: what they must reach: op, value, why.
        values: what came out.
        n: how often it was measured.
        n_of: what n counts.
        spread: what low and high are.
        raw: single measurements, by the values' `what`.
        data: what it was measured on.
        machine: where.
        versions: of Python and of libraries.
        commit: of the code that was measured.
        dirty: whether that code had changes that are in no commit.
        date: of the measurement, in ISO form.
        seconds: that it took.
        script: path of the script.
        arguments: of its command line.
        watches: globs of the files whose change makes the result stale.
        note: under what conditions, and what it does not show.
    """

    claim: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    area: Text
    case: str = Field(default="", max_length=200)
    statement: Text
    unit: Text
    bar: tuple[str, Any, str] | None = None
    values: Annotated[tuple[Value, ...], Field(min_length=1)]
    n: Annotated[int, Field(ge=1)] | None
    n_of: str
    spread: str = ""
    raw: dict[str, tuple[Number, ...]] | None = None
    data: Data | None = None
    machine: Machine
    versions: dict[str, str] = {}
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] | None
    dirty: bool | None = None
    date: Annotated[str, Field(pattern=r"^20\d\d-[01]\d-[0-3]\d(T[0-2]\d:[0-5]\dZ)?$")]
    seconds: Number | None = None
    script: Text
    arguments: str = ""
    watches: tuple[str, ...] = ()
    note: str = Field(default="", max_length=2_000)

    @property
    def judged(self) -> list[Value]:
        """The values that the bar is for."""
        return [value for value in self.values if value.unit is None]

    def reached(self) -> bool | None:
        """Whether every judged value reaches the bar; None without a bar."""
        bar = self.parsed_bar()
        return None if bar is None else all(bar.holds(value.median) for value in self.judged)

    def parsed_bar(self) -> Bar | None:
        """The bar, checked."""
        return read_bar(self.bar, self.claim)


def read_line(text: str, where: str) -> Line:
    """Read one line.

    Raises:
        ValueError: it is not valid; names `where` and the field.
    """
    if len(text) > MAX_LINE:
        raise ValueError(f"{where}: a line of {len(text):,} characters; {MAX_LINE:,} at most")
    try:
        line = Line.model_validate_json(text)
        line.parsed_bar()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise ValueError(f"{where}: {place}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not line.judged:
        raise ValueError(f"{where}: no value has the claim's unit, {line.unit}")
    return line


def read_file(file: Path) -> list[Line]:
    """Read all lines of a file, oldest first.

    Raises:
        ValueError: a line is not valid, or belongs to another claim; names the file and the line.
    """
    lines = []
    for number, text in enumerate(file.read_text().splitlines(), 1):
        where = f"{file.name}:{number}"
        lines.append(read_line(text, where))
        if lines[-1].claim != file.stem:
            raise ValueError(f"{where}: the claim {lines[-1].claim} belongs to another file")
    return lines


def current(lines: Sequence[Line]) -> list[Line]:
    """The last line of each case, in the order in which the cases came first."""
    return list({line.case: line for line in lines}.values())


def read_retired(folder: Path = RESULTS) -> dict[str, dict[str, str]]:
    """Read which cases newer ones replace: claim -> case -> why.

    Raises:
        ValueError: a case has no reason; names it.
    """
    file = folder / RETIRED
    found = tomllib.loads(file.read_text()) if file.exists() else {}
    for claim, cases in found.items():
        for case, why in cases.items():
            if not isinstance(why, str) or not why.strip():
                raise ValueError(f"{RETIRED}: {claim}, {case}: no reason")
    return found


def split_lines(folder: Path = RESULTS) -> tuple[list[Line], list[Line]]:
    """Read what counts of all claims, by name, and what newer results replace.

    Raises:
        ValueError: a line is not valid; or a retired case is no result, or is replaced by none.
    """
    retired = read_retired(folder)
    counting: list[Line] = []
    replaced: list[Line] = []
    for file in sorted(folder.glob("*.jsonl")):
        gone = retired.pop(file.stem, {})
        lines = current(read_file(file))
        _check_retired(file.stem, lines, gone)
        counting += [line for line in lines if line.case not in gone]
        replaced += [line for line in lines if line.case in gone]
    if retired:
        raise ValueError(f"{RETIRED}: no results of {', '.join(retired)}")
    return counting, replaced


def _check_retired(claim: str, lines: Sequence[Line], gone: dict[str, str]) -> None:
    if unknown := set(gone) - {line.case for line in lines}:
        raise ValueError(f"{RETIRED}: {claim} has no case {', '.join(sorted(unknown))}")
    newest = max((line.date for line in lines if line.case not in gone), default="")
    for line in lines:
        if line.case in gone and line.date > newest:
            raise ValueError(f"{RETIRED}: {claim}, {line.case}: no newer result replaces it")


def all_lines(folder: Path = RESULTS) -> Iterator[Line]:
    """Read what counts of all claims, by name."""
    yield from split_lines(folder)[0]
