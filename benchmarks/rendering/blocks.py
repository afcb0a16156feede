"""Documents with markers -> the same, with tables and numbers of the results between the markers.

``<!-- results: readme-speed -->`` to ``<!-- end -->`` is a table of `TABLES`;
``<!-- n: claim.median -->`` to ``<!-- /n -->`` is one number: CLAIM, "@CASE" where it has cases,
"/WHAT" where it has several values, and one of median, low, high and n; " %" shows it in percent.
"""

import re
from collections.abc import Callable, Sequence

from accuracy.table import OWN, by_set_and_minutes, markdown_table, read_results
from harness.results import Line
from rendering.words import bar_words, number, state, with_spread

TABLE = re.compile(r"(<!-- results: ([^>]*?) -->)(.*?)(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- n: ([^>]*?) -->)(.*?)(<!-- /n -->)", re.DOTALL)
RECIPES = {
    "probe": "`probe`: a pretrained network, and a new last layer",
    "fast": "`fast`: the same, 3.6 times fewer pixels",
    "best": "`best`: all layers trained (one core, beside other work)",
}
NAMES = {
    "timm": "timm",
    "fastai": "fastai",
    "torchvision": "torchvision",
    "ultralytics": "Ultralytics",
    "autogluon": "AutoGluon",
}
SPEED = (
    ("train-against-peers", "resnext50@224, fastest flags", "Training a ResNeXt-50 on two cores"),
    ("train-against-peers", "resnet18@64, fastest flags", "Training a ResNet-18, small images"),
    ("predict-against-described", "", "Predicting a folder with a run of `probe`"),
    ("views-from-jpeg", "", "Making training images from JPEGs, one thread"),
    ("serve-throughput", "", "Serving 64 clients at once"),
    ("scan-speed", "", "Finding copies and damage, two cores"),
)
MEASURES = {
    "predict-against-described": "{} x a usual PyTorch loop",
    "views-from-jpeg": "{} x torchvision v2",
    "serve-throughput": "{} x the speed without HTTP",
    "scan-speed": "{} images/s",
}
TOOLS = ("timm", "fastai", "torchvision", "autogluon")


def find(lines: Sequence[Line], claim: str, case: str = "") -> Line | None:
    """Find a result; without a case the last one of the claim."""
    found = [line for line in lines if line.claim == claim and case in ("", line.case)]
    return found[-1] if found else None


def accuracy_table(lines: Sequence[Line]) -> str:
    """Recipes on photographs: accuracy and time."""
    rows = []
    for recipe, words in RECIPES.items():
        line = find(lines, "recipe-accuracy", f"{recipe}, seed 0")
        if line is not None:
            score = line.judged[0]
            percent = [f"{100 * end:.1f}" for end in (score.median, score.low, score.high) if end]
            rows.append((words, f"{percent[0]} % [{', '.join(percent[1:])}]", time_words(line)))
    against = find(lines, "fewer-mistakes-than-tools", "10 minutes of one core")
    if against is not None:
        ratios = [value.median for value in against.judged]
        peers = {NAMES[value.what.rpartition(" ")[2]] for value in against.judged}
        whose = f"{' or '.join(sorted(peers))}'s mistakes, {len(ratios)} sets"
        share = f"{100 * min(ratios):.0f} to {100 * max(ratios):.0f} % of {whose}"
        rows.append(
            ("`--budget 10min`: tries both ways, chooses", share, "10 minutes each, one core")
        )
    return markdown_table(("recipe", "accuracy [95 %]", "time, two cores at most"), rows)


def _whole(value: float) -> str:
    """Show a time; from ten on without a fraction."""
    return number(round(value) if value >= 10 else value)


def time_words(line: Line) -> str:
    """Show how long a training took."""
    for unit in ("minutes", "s"):
        values = [value for value in line.values if value.unit == unit]
        if values:
            ends = dict.fromkeys(_whole(value.median) for value in values)
            shown = " to ".join(ends) if unit == "minutes" else next(iter(ends))
            return f"{shown} {unit}"
    return ""


def tools_table(_: Sequence[Line]) -> str:
    """Mistakes of bestiary and of other tools, each with the same weights and minutes."""
    rows = []
    for (name, minutes), of in sorted(by_set_and_minutes(read_results()).items()):
        done = [row for row in of if "failed" not in row]
        own = [row for row in done if row["contender"] == OWN]
        if not own:
            continue
        cells = [f"{name}, {minutes:g} minutes", str(sum(row["images"] for row in own))]
        for tool in (OWN, *TOOLS):
            of_tool = [row for row in done if row["contender"] == tool]
            wrong = sum(row["hits"].count("0") for row in of_tool)
            cells.append(str(wrong) if len(of_tool) == len(own) else "not run")
        rows.append(cells)
    return markdown_table(("mistakes on", "new images", OWN, *map(NAMES.get, TOOLS)), rows)


def speed_table(lines: Sequence[Line]) -> str:
    """What is fast, against whom; a missed bar is told."""
    rows = []
    for claim, case, words in SPEED:
        line = find(lines, claim, case)
        if line is not None:
            rows.append((words, _speed_words(line)))
    return markdown_table(("speed", "measured (2 x: twice as fast)"), rows)


def _speed_words(line: Line) -> str:
    words = MEASURES.get(line.claim, "{}")
    if line.claim == "train-against-peers":
        of = [f"{v.median:.3g} x {NAMES.get(v.what, v.what)}" for v in line.judged]
        text = ", ".join(of)
    else:
        text = words.format(f"{line.judged[0].median:.3g}")
    bar = bar_words(line.parsed_bar())
    return f"{text} (target missed: {bar})" if state(line) == "missed" else text


def honesty_table(lines: Sequence[Line]) -> str:
    """Whether the numbers that a user gets can be believed."""
    rows = []
    leak = find(lines, "leak-guard-heads")
    if leak is not None:
        shuffled, own = (f"{100 * value.median:+.1f}" for value in leak.judged)
        rows.append(
            (
                "Accuracy told, less the true one, with a fifth of near copies",
                f"{shuffled} points with shuffled folds, {own} with bestiary's",
            )
        )
    labels = find(lines, "wrong-labels-found", "head of fast")
    if labels is not None:
        share = f"{100 * labels.judged[0].median:.0f} %"
        rows.append(("Wrong labels among the first suspects, of 3 % planted", share))
    scores = [v.median for line in lines if line.claim == "score-intervals" for v in line.judged]
    if scores:
        ends = [f"{100 * end:.1f}" for end in (min(scores), max(scores))]
        rows.append(("95 % intervals that cover the truth", f"{ends[0]} to {ends[1]} %"))
    return markdown_table(("honesty", "measured"), rows)


TABLES: dict[str, Callable[[Sequence[Line]], str]] = {
    "readme-accuracy": accuracy_table,
    "readme-tools": tools_table,
    "readme-speed": speed_table,
    "readme-honesty": honesty_table,
}


def filled(text: str, lines: Sequence[Line], where: str) -> str:
    """Fill all markers of a document.

    Raises:
        ValueError: a marker names a table, claim, case, value or field that there is not.
    """

    def table(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in TABLES:
            raise ValueError(f"{where}: no table {name}; there are {', '.join(TABLES)}")
        return f"{match.group(1)}\n{TABLES[name](lines)}\n{match.group(4)}"

    def one(match: re.Match[str]) -> str:
        return f"{match.group(1)}{one_number(match.group(2), lines, where)}{match.group(4)}"

    return NUMBER.sub(one, TABLE.sub(table, text))


def one_number(wanted: str, lines: Sequence[Line], where: str) -> str:
    """Show the number that a marker asks for.

    Raises:
        ValueError: there is none such.
    """
    is_percent = wanted.endswith(" %")
    path, _, field = wanted.removesuffix(" %").rpartition(".")
    place, _, what = path.partition("/")
    claim, _, case = place.partition("@")
    found = [line for line in lines if line.claim == claim and case in ("", line.case)]
    if len(found) != 1:
        cases = ", ".join(repr(line.case) for line in found) or "no result"
        raise ValueError(f"{where}: {wanted}: claim {claim} has {cases}; name one with @CASE")
    values = [value for value in found[0].values if value.what == what]
    if not values or field not in ("median", "low", "high", "interval", "n"):
        names = ", ".join(sorted({value.what for value in found[0].values}))
        raise ValueError(f"{where}: {wanted}: fields are median, low, high, n; values are {names}")
    if field == "n":
        return f"{found[0].n:,}"
    if field == "interval":
        return with_spread(values[0], found[0].spread, False)
    value = getattr(values[0], field)
    if value is None:
        raise ValueError(f"{where}: {wanted}: the value has no {field}")
    return f"{100 * value:.1f} %" if is_percent else number(value)
