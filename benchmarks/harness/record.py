"""What a script measured -> one line in benchmarks/results/CLAIM.jsonl.

A script ends with ``recording(main, __file__)`` and calls `record` for each of its CLAIMS. Tiny
and dry runs must not write into the committed results: ``--no-record`` on the command line, or
BESTIARY_NO_RECORD=1, says so, and what would be written is printed. A script that ends without a
result says so and fails.
"""

import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.results import RESULTS, Line, Machine, Value
from harness.scripts import ROOT, Bar, Claim, read_script
from harness.surroundings import data_facts, git, load_now, this_machine, versions

NO_RECORD = "--no-record"
DIGITS = 6  # of a recorded number


@dataclass
class Session:
    """A script that is measuring.

    Attributes:
        claims: of the script, by name.
        script: its path.
        arguments: of its command line.
        writes: whether lines are written.
        load: of the machine, at the start.
        started: time of the start, of the monotonic clock.
        recorded: claims that have a result.
    """

    claims: dict[str, Claim]
    script: str
    arguments: str
    writes: bool
    load: float | None
    started: float
    recorded: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Elsewhere:
    """Where and when a result was measured that is recorded on another machine.

    Attributes:
        machine: its processor, cores and GPU.
        versions: of Python and libraries there.
        date: with its time zone.
        commit: of the code that was measured; None: that of today.
        note: under what conditions, for each result that has no other.
    """

    machine: Machine
    versions: Mapping[str, str]
    date: datetime
    commit: str | None = None
    note: str = ""


_session: Session | None = None


def recording(main: Callable[[], Any], file: str) -> None:
    """Run a script's `main`; what it records is written, and a script without a result fails.

    Raises:
        SystemExit: the script's own, or with 1 where nothing was recorded.
    """
    global _session
    script = read_script(Path(file).resolve(), ROOT)
    writes = NO_RECORD not in sys.argv and os.environ.get("BESTIARY_NO_RECORD", "0") == "0"
    sys.argv = [word for word in sys.argv if word != NO_RECORD]
    arguments = shlex.join(map(without_place, sys.argv[1:]))
    now = time.perf_counter()
    _session = Session(script.claims, script.path, arguments, writes, load_now(), now)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        session, _session = _session, None
    missing = [name for name in session.claims if name not in session.recorded]
    if len(missing) == len(session.claims):
        print(f"{script.path} ended without a result of {', '.join(missing)}", file=sys.stderr)
        raise SystemExit(1)
    if missing:
        print(f"not measured this time: {', '.join(missing)}", file=sys.stderr)


def without_place(word: str) -> str:
    """Leave out where on this machine a file or folder is.

    Example:
        >>> without_place("flowers=/data/flowers17"), without_place("train.layout=channels_last")
        ('flowers=flowers17', 'train.layout=channels_last')
    """
    name, sign, value = word.rpartition("=")
    return f"{name}{sign}{Path(value).name}" if os.path.isabs(value) else word


def record(
    claim: str,
    values: Any,
    n: int,
    n_of: str,
    *,
    case: str = "",
    bar: float | None = None,
    spread: str = "",
    details: Mapping[str, Any] | None = None,
    data: Path | tuple[Path | str, int] | str | None = None,
    note: str = "",
    elsewhere: Elsewhere | None = None,
) -> Line | None:
    """Record a result of the script that runs; nothing happens outside of `recording`.

    Args:
        claim: its name in the script's CLAIMS.
        values: a number; several rounds' numbers; (value, low, high) or what has these three
            attributes; or what the values belong to -> one of these.
        n: how often it was measured.
        n_of: what n counts.
        case: what was measured this time, where a claim has several cases.
        bar: the bound of this case, in place of the claim's.
        spread: what low and high are; of rounds they are the least and the most.
        details: unit -> values that the bar is not for, in the form of `values`.
        data: folder of images, or the name of what was drawn; or one of these and how many of its
            images were used, where a script may use fewer than there are.
        note: under what conditions, and what the result does not show.
        elsewhere: where it was measured, if not by this process.

    Returns:
        The line that was recorded.

    Raises:
        ValueError: the script has no such claim, or the line would not be valid.
    """
    if _session is None:
        return None
    if claim not in _session.claims:
        raise ValueError(f"{_session.script} has no claim {claim}; {', '.join(_session.claims)}")
    about = _session.claims[claim]
    found = _values(values, None)
    raw = _raw(values)
    for unit, more in (details or {}).items():
        found += _values(more, unit)
        raw |= _raw(more, f" [{unit}]")
    commit = elsewhere.commit if elsewhere else None
    changes = git("status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results")
    line = Line(
        claim=claim,
        area=about.area,
        case=case,
        statement=about.statement,
        unit=about.unit,
        bar=_bar(about.bar, bar),
        values=tuple(found),
        n=n,
        n_of=n_of,
        spread=spread or ("least to most" if raw else ""),
        raw=raw or None,
        data=None if data is None else data_facts(data),
        machine=elsewhere.machine if elsewhere else this_machine(_session.load),
        versions=dict(elsewhere.versions) if elsewhere else versions(),
        commit=commit or git("rev-parse", "HEAD"),
        dirty=None if commit or changes is None else bool(changes),
        date=(elsewhere.date if elsewhere else datetime.now(UTC))
        .astimezone(UTC)
        .strftime("%Y-%m-%dT%H:%MZ"),
        seconds=None if elsewhere else round(time.perf_counter() - _session.started, 1),
        script=_session.script,
        arguments=_session.arguments,
        watches=about.watches,
        note=note or (elsewhere.note if elsewhere else ""),
    )
    _session.recorded.append(claim)
    _write(line, _session.writes)
    return line


def _bar(bar: Bar | None, bound: float | None) -> tuple[str, Any, str] | None:
    if bar is None:
        return None
    return bar.op, bar.value if bound is None else bound, bar.why


def _write(line: Line, writes: bool) -> None:
    text = line.model_dump_json(exclude_defaults=True)
    if not writes:
        print(f"not recorded ({NO_RECORD}): {text}", flush=True)
        return
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{line.claim}.jsonl").open("a") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    print(f"recorded: {line.claim}{f', {line.case}' if line.case else ''}", flush=True)


def _named(values: Any) -> Mapping[str, Any]:
    return values if isinstance(values, Mapping) else {"": values}


def _values(values: Any, unit: str | None) -> list[Value]:
    return [_value(what, value, unit) for what, value in _named(values).items()]


def _value(what: str, value: Any, unit: str | None) -> Value:
    if hasattr(value, "low"):
        value = (value.value, value.low, value.high)
    if isinstance(value, tuple):
        middle, low, high = map(_rounded, value)
        return Value(what=what, median=middle, low=low, high=high, unit=unit)
    if _is_rounds(value):
        middle, low, high = map(_rounded, (statistics.median(value), min(value), max(value)))
        return Value(what=what, median=middle, low=low, high=high, unit=unit)
    return Value(what=what, median=_rounded(value), unit=unit)


def _is_rounds(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, tuple)


def _raw(values: Any, suffix: str = "") -> dict[str, tuple[float, ...]]:
    named = _named(values).items()
    return {f"{name}{suffix}": tuple(map(_rounded, of)) for name, of in named if _is_rounds(of)}


def _rounded(value: Any) -> float:
    return float(f"{float(value):.{DIGITS}g}")
