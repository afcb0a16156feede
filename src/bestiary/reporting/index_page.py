"""A folder of runs -> one page that lists them: accuracy, data, what they are, and their reports.

Runs of the same images stand together, for only these compare. Reads of each run what `show` reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.atomic import write_text
from bestiary.errors import BestiaryError, DataError
from bestiary.numbers import count, percent, percent_range
from bestiary.printable import printable_name
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.forest import ForestRow, forest
from bestiary.reporting.drawing import QUIET
from bestiary.reporting.links import report_link, runs_in
from bestiary.reporting.render import render
from bestiary.run.checksums import file_digest
from bestiary.run.costs import read_costs
from bestiary.run.layout import INDEX_PAGE, MANIFEST
from bestiary.run.run import Run

MAX_RUNS = 500


@dataclass(frozen=True, slots=True)
class Index:
    """What `report` prints for a folder of runs.

    Attributes:
        file: the page.
        runs: number of runs on it.
        left_out: runs that cannot be read, each with the reason.
    """

    file: Path
    runs: int
    left_out: list[str]

    def __str__(self) -> str:
        lines = [f"{count(self.runs, 'run')}: {printable_name(self.file)}"]
        return "\n".join([*lines, *map(printable_name, self.left_out)])


@dataclass(frozen=True, slots=True)
class Entry:
    """A run of the list.

    Attributes:
        run: the run.
        scores: of metrics.json; None until all folds have ended.
        images: in its manifest.
        classes: number of classes.
        made: in words: backbone, what is trained, folds.
        date: of its last training, or empty.
        digest: of its manifest.
    """

    run: Run
    scores: dict[str, Any] | None
    images: int
    classes: int
    made: str
    date: str
    digest: str


def write_index(folder: Path, out: Path | None = None) -> Index:
    """Write the page of a folder of runs.

    Args:
        folder: has runs right below it.
        out: the file to write; None: index.html in the folder.

    Returns:
        The page and what it lists.

    Raises:
        DataError: there is no run, or there are too many.
        BestiaryError: the page cannot be written.
    """
    places = runs_in(folder)
    if not places or len(places) > MAX_RUNS:
        raise DataError(
            f"{folder}: has {len(places):,} runs right below it; name a folder with 1 to {MAX_RUNS}"
        )
    entries, left_out = [], []
    for place in places:
        try:
            entries.append(_read(Run.open(place)))
        except BestiaryError as error:
            left_out.append(f"left out: {error}")
    file = out or folder / INDEX_PAGE
    write_text(file, _page(entries, left_out, folder, file.parent))
    return Index(file, len(entries), left_out)


def _read(run: Run) -> Entry:
    snapshot = run.load()
    recipe = snapshot.recipe
    trained = count(recipe.train.epochs, "epoch") if recipe.train.epochs else "frozen, new head"
    costs = read_costs([run.fold(fold) for fold in snapshot.folds])
    started = sorted(costs["started"].to_list())
    return Entry(
        run=run,
        scores=run.read_scores(),
        images=snapshot.manifest.height,
        classes=snapshot.manifest["label"].n_unique(),
        made=f"{recipe.model.backbone.split('/')[-1]}, {trained}, "
        f"{recipe.view.eval_side} px, {count(len(snapshot.folds), 'fold')}",
        date=started[-1][:10] if started else "",
        digest=file_digest(run.file(MANIFEST)),
    )


def _page(entries: Sequence[Entry], left_out: list[str], folder: Path, start: Path) -> str:
    by_data: dict[str, list[Entry]] = {}
    for entry in entries:
        by_data.setdefault(entry.digest, []).append(entry)
    sets = []
    for number, group in enumerate(by_data.values(), 1):
        group.sort(key=lambda entry: -_accuracy(entry))
        sets.append(
            {
                "chart": _chart(group, number),
                "title": f"{count(group[0].images, 'image')}, "
                f"{count(group[0].classes, 'class', 'classes')}",
                "digest": group[0].digest[:12],
                "rows": [_row(entry, start) for entry in group],
            }
        )
    title = f"{count(len(entries), 'run')} on {count(len(sets), 'set')} of images"
    return render(
        "runs.html", title=title, folder=folder.resolve().name, sets=sets, left_out=left_out
    )


def _accuracy(entry: Entry) -> float:
    return float(entry.scores["accuracy"]["value"]) if entry.scores else -1.0


def _row(entry: Entry, start: Path) -> dict[str, str]:
    scores = entry.scores
    accuracy = scores["accuracy"] if scores else None
    return {
        "name": entry.run.name,
        "link": report_link(entry.run, start),
        "accuracy": percent(accuracy["value"]) if accuracy else "not finished",
        "interval": percent_range(accuracy["low"], accuracy["high"]) if accuracy else "",
        "made": entry.made,
        "date": entry.date,
    }


def _chart(group: Sequence[Entry], number: int) -> Chart | None:
    """The accuracies of runs of the same images; None with fewer than two."""
    rows = []
    for entry in group:
        if entry.scores:
            score = entry.scores["accuracy"]
            value, low, high = (float(score[key]) for key in ("value", "low", "high"))
            text = f"{percent(value)} ({percent_range(low, high)})"
            name = printable_name(entry.run.name)
            rows.append(ForestRow(name, value, low, high, f"{name}: {text}", text))
    if len(rows) < 2:
        return None
    title = f"{rows[0].name} is the most accurate: {percent(rows[0].value)}"
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    room = max(0.01, 0.06 * (high - low))
    span = (max(0.0, low - room), min(1.0, high + room))
    drawings = [
        forest(title, rows, span, narrow=narrow, aside_color=QUIET) for narrow in (False, True)
    ]
    note = (
        "Out-of-fold accuracy, 95 % intervals. Overlapping intervals may still differ: "
        "bestiary compare pairs the images."
    )
    csv_rows = [(row.name, row.value, row.low, row.high) for row in rows]
    head = ("run", "accuracy", "low", "high")
    return Chart(f"runs-{number}", title, note, drawings[0], head, csv_rows, drawings[1])
