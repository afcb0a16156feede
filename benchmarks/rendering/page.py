"""Results of an area -> its page: verdict, what is missed, figure, one table, details folded.

What is stale stands in marks of its own, `STALE`, since it changes without any new result: a check
compares pages without them.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from accuracy.table import (
    HEAD,
    against_best_peer,
    by_set_and_minutes,
    markdown_table,
    mistakes_table,
    not_run,
    read_results,
    table_rows,
)
from harness.results import Line, Machine
from harness.scripts import AREAS
from rendering.staleness import UNKNOWN
from rendering.words import bar_words, measured, n_words, number, state, value_words

STALE = '<span class="stale">{}</span>'  # what holds one is grey: docs/stylesheets/site.css
STALE_COUNT = '<span class="stale count">{}</span>'  # of many results, most of which may not be
GENERATED = "<!-- benchmarks/render.py writes this from benchmarks/results/ -->"
ORDER = ("missed", "met", "told")
QUESTIONS = {
    "speed": "How fast does bestiary train, predict, serve and start, alone and against others?",
    "accuracy": "How often are its classifiers right, and what is each part of a recipe worth?",
    "honesty": "Does what it tells of itself hold: scores, intervals, sets, warnings?",
    "reliability": "What does it survive, and does it answer alike in other engines?",
    "scale": "How do memory and time grow with the images and the workers?",
}
CAPTION = (
    "Each claim by its worst case. Right of the line is better than asked; what is far off stands "
    "at the edge. Bars of all or nothing are left out."
)
NOT_SHOWN = {
    "speed": (
        "Of a GPU, training a large network and LoRA alone are measured. `benchmarks/gpu/run.py` "
        "has the stages that measure more. Machines were shared, so compare ratios and not seconds."
    ),
    "accuracy": (
        "One or a few photographs decide most differences here. Where an interval holds zero, "
        "nothing is shown. Data sets on which networks train for days were not at hand."
    ),
    "honesty": (
        "A single set of new images has noise of its own. Worlds that are simulated are "
        "simpler than those outside."
    ),
    "reliability": (
        "Other file systems, other operating systems and a GPU were not at hand. Seconds of the "
        "browser are of a busy machine."
    ),
    "scale": (
        "No dataset of a million images was at hand: rows stand for them. Clusters of more than "
        "two workers are simulated."
    ),
}


@dataclass(frozen=True)
class Row:
    """A result on a page.

    Attributes:
        line: the result.
        stale: why it is stale; empty where it is not.
    """

    line: Line
    stale: str

    @property
    def is_stale(self) -> bool:
        """Whether it is known to be stale."""
        return self.stale not in ("", UNKNOWN)

    @property
    def state(self) -> str:
        """Missed, met or told."""
        return state(self.line)

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        words = "".join(c if c.isalnum() else " " for c in f"{self.line.claim} {self.line.case}")
        return "-".join(words.lower().split())


def stale_mark(reason: str) -> str:
    """Mark a stale result, in a cell or a sentence."""
    if not reason:
        return ""
    word = "not known whether stale" if reason == UNKNOWN else "stale"
    return STALE.format(f" · {word}")


def strip(rows: Sequence[Row]) -> str:
    """Count the states, in one line."""
    counts = {name: sum(row.state == name for row in rows) for name in ORDER}
    stale = sum(row.is_stale for row in rows)
    unknown = any(row.stale == UNKNOWN for row in rows)
    text = f"**{counts['missed']} missed** · {counts['met']} met · {counts['told']} without a bar"
    if unknown:
        return text + STALE.format(" · stale: not known here, without git")
    return text + (STALE.format(f" · {stale} of {len(rows)} stale") if stale else "")


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Missed results first; else as they came."""
    return sorted(rows, key=lambda row: ORDER.index(row.state))


def area_page(
    area: str,
    rows: Sequence[Row],
    has_figure: bool,
    unmeasured: Sequence[str] = (),
    replaced: Sequence[Line] = (),
) -> str:
    """Write the page of an area.

    Args:
        area: its folder.
        rows: its results.
        has_figure: whether it has a figure.
        unmeasured: statements of claims without a result.
        replaced: results that newer ones replace; they are only counted.
    """
    ordered = in_order(rows)
    parts = [GENERATED, f"# {AREAS[area]}", QUESTIONS[area], strip(rows)]
    missed = [row for row in ordered if row.state == "missed"]
    if missed:
        parts += ["## Missed", "\n".join(f"- {text}" for text in missed_sentences(missed))]
    if has_figure:
        title = f"{AREAS[area]}: how far each result is from its bar"
        parts += ["## Against the bars", figure_lines(area, title)]
        parts.append(CAPTION)
    if area == "accuracy":
        parts += ["## Against other tools", tools_section()]
    parts += ["## All results", table(ordered), f"*Not shown.* {NOT_SHOWN[area]}"]
    if unmeasured:
        parts.append("*Not measured yet.* " + " ".join(f"{text}." for text in unmeasured))
    if replaced:
        parts.append(replaced_words(replaced))
    parts += ["## Details", "\n".join(details(row) for row in ordered)]
    parts.append(f"Measure again: `make bench AREA={area}`.")
    return "\n\n".join(parts) + "\n"


def replaced_words(lines: Sequence[Line]) -> str:
    """Count the results that newer ones replace, and those of them that had missed."""
    missed = sum(state(line) == "missed" for line in lines)
    are = "older result is" if len(lines) == 1 else "older results are"
    return (
        f"*Replaced.* {len(lines)} {are} left out for newer ones of the same claim; {missed} of "
        "them had missed. `benchmarks/results/retired.toml` says why."
    )


def figure_lines(area: str, title: str) -> str:
    """Show the figure, in the colors of the reader's theme."""
    return (
        f"![{title}](figures/{area}.svg#only-light)\n![{title}](figures/{area}-dark.svg#only-dark)"
    )


def missed_sentences(rows: Sequence[Row]) -> list[str]:
    """Say what is missed, one text a claim and bar."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        bar = bar_words(row.line.parsed_bar(), in_text=True)
        groups.setdefault((row.line.claim, bar), []).append(row)
    return [_missed_words(bar, of) for (_, bar), of in groups.items()]


def _missed_words(bar: str, rows: Sequence[Row]) -> str:
    found = [
        f"**{measured(row.line)}**" + (f" ({row.line.case})" if row.line.case else "")
        for row in rows
    ]
    notes = dict.fromkeys(row.line.note for row in rows if row.line.note)
    text = f"{rows[0].line.statement}: {', '.join(found)}. The bar is {bar}."
    return f"{' '.join([text, *notes])}{stale_mark(rows[0].stale)}"


def table(rows: Sequence[Row]) -> str:
    """Lay all results out, one row each; further cases of a claim stand below its first."""
    cells = []
    before: tuple[str, str] = ("", "")
    for row in rows:
        line = row.line
        is_further = before == (row.state, line.claim)
        before = (row.state, line.claim)
        title = line.case if is_further else line.statement
        case = f"<br>{escaped(line.case)}" if line.case and not is_further else ""
        what = f"[{escaped(title)}](#{row.anchor}){case}"
        word = f"**{row.state}**" if row.state == "missed" else row.state
        bar = bar_words(line.parsed_bar())
        mark = stale_mark(row.stale)
        cells.append((what, escaped(measured(line)), bar, n_words(line), f"{word}{mark}"))
    return markdown_table(("what", "measured", "bar", "n", "state"), cells)


def escaped(text: str) -> str:
    """Keep a text inside its cell."""
    return text.replace("|", "/")


def details(row: Row) -> str:
    """Everything about a result, folded: in HTML alone, which all renderers take."""
    line = row.line
    title = f"{line.statement}{f', {line.case}' if line.case else ''}"
    facts = [(name, text) for name, text in _facts(line) if text]
    listed = "".join(f"<dt>{name}</dt><dd>{_html(text)}</dd>" for name, text in facts)
    rest = [value for value in line.values if value.unit is not None]
    values = "".join(
        f"<li>{_html(value_words(line, value))} {_html(value.unit or line.unit)}</li>"
        for value in (*line.judged, *rest)
    )
    why = STALE.format(f"<p>{_html(f'Stale: {row.stale}.')}</p>") if row.stale else ""
    note = f"<p>{_html(line.note)}</p>" if line.note else ""
    return (
        f'<details id="{row.anchor}"><summary>{_html(title)}: {row.state}</summary>'
        f"{note}{why}<ul>{values}</ul><dl>{listed}</dl></details>"
    )


def _facts(line: Line) -> list[tuple[str, str]]:
    bar = line.parsed_bar()
    libraries = ", ".join(f"{name} {text}" for name, text in line.versions.items())
    commit = (line.commit or "unknown")[:9] + (", with changes" if line.dirty else "")
    of = f"{line.data.name}, {line.data.n:,} images" if line.data and line.data.n else ""
    return [
        ("Bar", f"{bar_words(bar)}: {bar.why}" if bar else ""),
        ("n", n_words(line)),
        ("Spread", line.spread),
        ("Data", of or (line.data.name if line.data else "")),
        ("Machine", machine_words(line.machine)),
        ("Versions", libraries),
        ("Date, commit", f"{line.date}, {commit}"),
        ("Script", f"{line.script} {line.arguments}".strip()),
        ("Took", f"{number(line.seconds)} s" if line.seconds else ""),
    ]


def machine_words(machine: Machine) -> str:
    """Name a machine."""
    cores = f"{machine.cores} cores of " if machine.cores else ""
    load = f", load {number(machine.load)} at the start" if machine.load is not None else ""
    return f"{cores}{machine.cpu}, {machine.gpu or 'no GPU'}{load}"


def _html(text: str) -> str:
    return html.escape(text, quote=False)


def tools_section() -> str:
    """Tell bestiary's mistakes from those of other tools."""
    rows = read_results()
    compared = [
        f"- {found}."
        for key, of in sorted(by_set_and_minutes(rows).items())
        if (found := against_best_peer(key, of)) is not None
    ]
    words = (
        "Every tool gets the same images, minutes of one core, and weights of EfficientNet-Lite0. "
        "A fifth of the images is held out, without copies of trained ones. How much of it is "
        "answered wrongly, of all seeds together (empty: not measured), and bestiary's mistakes in "
        "relation to those of the best peer:"
    )
    more = (
        "Of each tool, the mean of its seeds and their range; one seed where none is said. "
        "*Tells* is the accuracy that the tool says of itself; *true* is that on the held-out "
        "fifth."
    )
    failures = " ".join(f"{text}." for text in not_run(rows))
    parts = [words, mistakes_table(rows), "\n".join(compared), failures, more]
    return "\n\n".join([*filter(None, parts), markdown_table(HEAD, table_rows(rows))])


def index_page(rows: dict[str, list[Row]]) -> str:
    """Write the first page: verdicts by area, what is missed, how it is measured."""
    every = [row for of in rows.values() for row in of]
    areas = [
        (f"[{AREAS[area]}]({area}.md)", QUESTIONS[area], *counts(of), _stale_count(of))
        for area, of in rows.items()
    ]
    head = ("area", "question", "missed", "met", "no bar", "stale")
    missed = [
        (
            f"[{escaped(row.line.statement)}]({row.line.area}.md#{row.anchor})"
            + (f"<br>{escaped(row.line.case)}" if row.line.case else ""),
            escaped(measured(row.line)),
            bar_words(row.line.parsed_bar()),
        )
        for row in every
        if row.state == "missed"
    ]
    return (
        "\n\n".join(
            [
                GENERATED,
                "# Benchmarks",
                "Every number here was printed by a script of `benchmarks/`, and is kept with its "
                "machine, data, commit and spread. A *bar* is what was to come out, set before it "
                "was measured. *Stale* is a number whose code has changed since.",
                strip(every),
                markdown_table(head, areas),
                "## Missed",
                "What was promised and not reached stands first.",
                markdown_table(("what", "measured", "bar"), missed),
                "## How we measure",
                HOW,
                "## Not measured",
                not_measured(every),
            ]
        )
        + "\n"
    )


def not_measured(rows: Sequence[Row]) -> str:
    """Say what the results leave out."""
    gpus = sum(row.line.machine.gpu is not None for row in rows)
    seeds: dict[str, set[object]] = {}
    for result in read_results():
        seeds.setdefault(result["contender"], set()).add(result.get("seed"))
    once = sorted(name for name, of in seeds.items() if len(of) == 1)
    words = f"{gpus} of {len(rows)} results are from a GPU. No benchmark has a million real images."
    return f"{words} Of the other tools, {', '.join(once)} had one seed only." if once else words


HOW = """- Programs that are compared take turns. Only ratios within a round are results.
- A turn that other programs disturbed is repeated.
- Ranges in parentheses are the least and the most; brackets are 95 % intervals.
- A bar is set before it is measured, and says what must come out. A missed bar stays.
- A result is *stale* when a file that it depends on has changed since. It is stale too with another
  PyTorch, or after 180 days.
- `make bench AREA=speed` measures an area again. Results are lines of JSON in
  `benchmarks/results/`.
- `python benchmarks/render.py` writes these pages; `make check` compares them."""


def counts(rows: Sequence[Row]) -> tuple[str, ...]:
    """Count missed, met and told results."""
    return tuple(str(sum(row.state == name for row in rows)) for name in ORDER)


def _stale_count(rows: Sequence[Row]) -> str:
    stale = sum(row.is_stale for row in rows)
    is_known = any(row.stale != UNKNOWN for row in rows)
    return STALE_COUNT.format(f"{stale} of {len(rows)}" if is_known else "unknown")
