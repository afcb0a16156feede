"""results.jsonl -> each contender on each set, and bestiary against the best peer.

python benchmarks/accuracy/table.py
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).with_name("results.jsonl")
OWN = "bestiary"
HEAD = (
    "set",
    "tool",
    "log loss",
    "ECE",
    "tells",
    "true",
    "minutes",
    "MB",
)
LONGEST_REASON = 12  # words of why a contender did not run
Key = tuple[str, float]  # set and minutes
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """bestiary's mistakes on a set against those of the peer that makes the fewest.

    Attributes:
        name: of the set.
        minutes: of training.
        peer: the best one.
        seeds: of both.
        own: bestiary's mistakes, of all seeds.
        theirs: the peer's.
        won: images that bestiary alone got right.
        lost: images that the peer alone got right.
        images: of all seeds.
    """

    name: str
    minutes: float
    peer: str
    seeds: tuple[int, ...]
    own: int
    theirs: int
    won: int
    lost: int
    images: int

    @property
    def ratio(self) -> float:
        """Its mistakes over the peer's."""
        return self.own / max(1, self.theirs)

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.minutes:g} minutes, {len(self.seeds)} seed"
            f"{'s' * (len(self.seeds) > 1)}: bestiary {self.own} mistakes, best peer {self.peer} "
            f"{self.theirs}: ratio {self.ratio:.3f}; won {self.won}, lost {self.lost} of "
            f"{self.images} images"
        )


def read_results(file: Path = RESULTS) -> list[dict[str, Any]]:
    """Read all results.

    Raises:
        ValueError: a line is no JSON, or lacks what a result has; names the file and the line.
    """
    found = []
    for number, text in enumerate(file.read_text().splitlines(), 1):
        try:
            row = json.loads(text)
            missing = {"set", "seed", "minutes", "contender"} - set(row)
            missing |= set() if "failed" in row else {"hits", "images", "accuracy"} - set(row)
        except ValueError as error:
            raise ValueError(f"{file.name}:{number}: {error}") from None
        if missing:
            raise ValueError(f"{file.name}:{number}: no {', '.join(sorted(missing))}")
        found.append(row)
    return found


def by_set_and_minutes(rows: Rows) -> dict[Key, list[dict[str, Any]]]:
    """Sort results by what they were measured on."""
    found: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["set"], row["minutes"]].append(row)
    return found


def mistakes_table(rows: Rows) -> str:
    """Lay out the share of wrong answers: a row for each set and time, a column for each tool."""
    groups = sorted(by_set_and_minutes(rows).items())
    tools = _in_order(rows)
    lines = []
    for key, of in groups:
        compared = against_best_peer(key, of)
        cells = [_mistakes([row for row in of if row["contender"] == tool]) for tool in tools]
        ratio = "" if compared is None else f"{compared.ratio:.2f} of {compared.peer}"
        lines.append((_where(key), *cells, ratio))
    return markdown_table(("set", *tools, "ratio"), lines)


def _where(key: Key) -> str:
    return f"{key[0]}, {key[1]:g} min"


def _in_order(rows: Rows) -> list[str]:
    """List the contenders that have a result: bestiary first, then those with most."""
    names = [row["contender"] for row in rows if "failed" not in row]
    return sorted(set(names), key=lambda name: (name != OWN, -names.count(name), name))


def _mistakes(rows: Rows) -> str:
    """Share of wrong answers of all seeds together."""
    done = [row for row in rows if "failed" not in row]
    if not done:
        return ""
    wrong = sum(row["hits"].count("0") for row in done)
    return f"{wrong / sum(row['images'] for row in done):.1%}".replace("%", " %")


def not_run(rows: Rows) -> list[str]:
    """Say of each contender that failed what it failed at, in a sentence."""
    return [
        f"{row['contender']} was not run on {row['set']} in {row['minutes']:g} minutes: "
        f"{_reason(row['failed'])}"
        for row in rows
        if "failed" in row
    ]


def _reason(failed: str) -> str:
    """Shorten an error: its first words, without addresses, which no reader can follow here."""
    words = re.sub(r"\S+://\S+?(?=[.,;:]?(\s|$))", "an address", failed.replace("|", "/")).split()
    return " ".join(words[:LONGEST_REASON]).rstrip(".")


def table_rows(rows: Rows) -> list[tuple[str, ...]]:
    """One row a contender, set and time, in the order of HEAD."""
    found = []
    order = _in_order(rows)
    for key, of in sorted(by_set_and_minutes(rows).items()):
        for name in order:
            done = [row for row in of if row["contender"] == name and "failed" not in row]
            if done:
                found.append(_row(key, name, done))
    return found


def _row(key: Key, name: str, rows: Rows) -> tuple[str, ...]:
    def spread(form: str, values: Sequence[float]) -> str:
        low, middle, high = (
            form.format(value) for value in (min(values), float(np.mean(values)), max(values))
        )
        return low if low == high else f"{middle} ({low} to {high})"

    claims = [row["claim"] for row in rows if row["claim"] is not None]
    return (
        _where(key),
        f"{name}, {len(rows)} seeds" if len(rows) > 1 else name,
        spread("{:.2f}", [row["log_loss"] for row in rows]),
        spread("{:.3f}", [row["ece"] for row in rows]),
        spread("{:.3f}", claims) if claims else "nothing",
        spread("{:.3f}", [row["accuracy"] for row in rows]),
        spread("{:.1f}", [row["minutes_trained"] for row in rows]),
        f"{max(row['peak_mb'] for row in rows):,}",
    )


def against_best_peer(key: Key, rows: Rows) -> Comparison | None:
    """Compare with the best peer that has the seeds of bestiary; None where none has."""
    done = [row for row in rows if "failed" not in row]
    own = {row["seed"]: row for row in done if row["contender"] == OWN}
    peers: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in done:
        if not row["contender"].startswith(OWN) and row["seed"] in own:
            peers[row["contender"]][row["seed"]] = row
    full = {name: by_seed for name, by_seed in peers.items() if len(by_seed) == len(own)}
    if not full:
        return None
    wrong = {
        name: sum(row["hits"].count("0") for row in by_seed.values())
        for name, by_seed in full.items()
    }
    best = min(wrong, key=lambda name: wrong[name])
    changes = np.concatenate(
        [
            np.array(list(own[seed]["hits"]), int) - np.array(list(row["hits"]), int)
            for seed, row in full[best].items()
        ]
    )
    return Comparison(
        name=key[0],
        minutes=key[1],
        peer=best,
        seeds=tuple(sorted(full[best])),
        own=sum(own[seed]["hits"].count("0") for seed in full[best]),
        theirs=wrong[best],
        won=int((changes > 0).sum()),
        lost=int((changes < 0).sum()),
        images=len(changes),
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a table in Markdown; numbers align at the right where all of a column are."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    rows = read_results()
    print(mistakes_table(rows))
    print()
    print(markdown_table(HEAD, table_rows(rows)))
    print("\n".join(not_run(rows)))
    print()
    for key, of in sorted(by_set_and_minutes(rows).items()):
        print(against_best_peer(key, of) or f"{key[0]}: no peer has the seeds of bestiary")


if __name__ == "__main__":
    main()
