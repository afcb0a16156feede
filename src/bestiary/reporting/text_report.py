"""Results -> the chapters of a report to hand in: data, method, results, with figures.

`markdown` and `pdf` write them.
"""

from dataclasses import dataclass, field

from bestiary.evaluation.results import Results
from bestiary.reporting import figures, gallery, sections
from bestiary.reporting.budget_section import budget_record, budget_table, budget_text
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.drawing import Drawing
from bestiary.reporting.sections import Table
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.metrics import reliability

MAX_PAIRS = 10  # most confused pairs in the table


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the report: paragraphs, a command, figures, then tables.

    Attributes:
        title: heading.
        texts: paragraphs.
        tables: tables.
        drawings: pairs of file name and figure.
        command: a command line to copy, or empty.
    """

    title: str
    texts: list[str]
    tables: list[Table] = field(default_factory=list)
    drawings: list[tuple[str, Drawing]] = field(default_factory=list)
    command: str = ""


def chapters(results: Results) -> list[Chapter]:
    """Arrange the sections as chapters.

    Args:
        results: the results of a run.

    Returns:
        The chapters, in order.
    """
    audit = Table(("found by the audit", "count", "listed in"), sections.audit_rows(results))
    method = sections.method_text(results.snapshot.recipe, len(results.snapshot.folds))
    cost = Table(("what", "how much"), list(cost_rows(results)))
    return [
        Chapter("Task", [sections.data_text(results)], [audit]),
        Chapter("Method", [method]),
        *_budget_chapter(results),
        _result_chapter(results),
        _mistake_chapter(results),
        _calibration_chapter(results),
        Chapter("Cost", [], [cost]),
        Chapter("How to reproduce it", [], command=sections.reproduce_command(results)),
    ]


def _budget_chapter(results: Results) -> list[Chapter]:
    record = budget_record(results)
    if record is None:
        return []
    return [Chapter("Choice within a budget", [budget_text(record)], [budget_table(record)])]


def _result_chapter(results: Results) -> Chapter:
    curves = [
        (f"training-{index}", drawing)
        for index, drawing in enumerate(figures.curves(results.histories))
    ]
    return Chapter(
        "Results",
        [
            sections.accuracy_text(results),
            "Intervals are 95 %, from 1,000 bootstrap samples of whole groups.",
        ],
        [sections.score_table(results)],
        [("accuracy", figures.accuracy_figure(results)), *curves],
    )


def _mistake_chapter(results: Results) -> Chapter:
    order = gallery.order_by_confusion(results.confusion)
    counts = results.confusion[order][:, order]
    names = [results.classes[index] for index in order]
    return Chapter(
        "Mistakes",
        ["Rows are labels, columns are predictions. Classes that are confused are adjacent."],
        [_pair_table(results), _class_table(results)],
        [("confusion", figures.confusion_figure(counts, names))],
    )


def _calibration_chapter(results: Results) -> Chapter:
    before = reliability(results.raw.max(axis=1), results.hits)
    after = reliability(results.confidence, results.hits)
    coverage, risk = risk_coverage(results.confidence, results.hits)
    return Chapter(
        "Calibration and uncertainty",
        [
            "Calibration, prediction sets and accepted predictions are cross-fitted: each fold "
            "uses the thresholds of the other folds."
        ],
        [sections.prediction_set_table(results), sections.accepted_table(results)],
        [
            ("reliability", figures.reliability_figure(before, after)),
            ("risk-coverage", figures.risk_figure(coverage, risk)),
        ],
    )


def _pair_table(results: Results) -> Table:
    """The pairs of classes that are confused most often."""
    counts = results.confusion
    names = results.classes
    rows: sections.TableRows = []
    for first, second in gallery.confused_pairs(counts)[:MAX_PAIRS]:
        rows.append(
            (
                f"{names[first]} and {names[second]}",
                f"{counts[first, second]} of {counts[first].sum()}",
                f"{counts[second, first]} of {counts[second].sum()}",
            )
        )
    return Table(("classes", "first taken for second", "second taken for first"), rows)


def _class_table(results: Results) -> Table:
    """Recall, precision and F1 of each class."""
    rows: sections.TableRows = []
    for scores in sections.class_rows(results):
        rows.append(
            (
                scores["name"],
                f"{scores['support']:,}",
                _score(scores["recall"]),
                _score(scores["precision"]),
                f"{scores['f1']:.3f}",
                scores["confused_with"],
            )
        )
    head = ("class", "images", "recall", "precision", "F1", "most confused with")
    return Table(head, rows)


def _score(score: dict[str, float] | None) -> str:
    if score is None:
        return "never predicted"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
