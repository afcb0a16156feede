"""Results -> the chapters of a report as Markdown text: data, method, results, with charts."""

from dataclasses import dataclass, field

from bestiary.evaluation.results import Results
from bestiary.numbers import percent, percent_range, plain_name
from bestiary.reporting import sections
from bestiary.reporting.budget_section import budget_record, budget_table, budget_text
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.classes import scored_classes
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.run_page import Findings
from bestiary.reporting.run_sections import finding
from bestiary.reporting.run_sections.data import data_section
from bestiary.reporting.run_sections.field import field_section
from bestiary.reporting.run_sections.look_alikes import look_alike_section
from bestiary.reporting.run_sections.trust import (
    accepted_sentences,
    left_out_sentences,
    set_rows,
)
from bestiary.reporting.sections import Table

MAX_CLASSES = 18  # weakest classes in the table


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the report: paragraphs, a command, charts, then tables.

    Attributes:
        title: heading.
        texts: paragraphs.
        tables: tables.
        charts: charts.
        command: a command line to copy, or empty.
    """

    title: str
    texts: list[str]
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    command: str = ""


def chapters(results: Results) -> list[Chapter]:
    """Arrange the findings as chapters, in the order of a reader's questions.

    Args:
        results: the results of a run.

    Returns:
        The chapters, in order.
    """
    findings = Findings.of(results)
    charts = findings.charts()
    data = data_section(results)
    where = finding.provenance(results)
    return [
        _finding_chapter(findings, charts),
        *_field_chapter(results, charts),
        _mistake_chapter(findings, charts),
        _trust_chapter(results, charts),
        Chapter(
            "Training",
            [],
            charts=_chosen(charts, "more-images", "held-out-accuracy", "training-loss"),
        ),
        Chapter(
            "Data",
            [data["text"], data["clean"]],
            [Table(("found by the audit", "count", "listed in"), data["found"])],
        ),
        Chapter("Method", [sections.method_of_run(results.snapshot)]),
        *_budget_chapter(results),
        Chapter("Cost", [], [Table(("what", "how much"), list(cost_rows(results)))]),
        Chapter("Cite", [], command=finding.bibtex(results, where)),
        Chapter("How to repeat it", [], command=sections.reproduce_command(results)),
    ]


def _chosen(charts: dict[str, Chart], *names: str) -> list[Chart]:
    return [charts[name] for name in names if name in charts]


def _budget_chapter(results: Results) -> list[Chapter]:
    record = budget_record(results)
    if record is None:
        return []
    return [Chapter("Choice within a budget", [budget_text(record)], [budget_table(record)])]


def _finding_chapter(findings: Findings, charts: dict[str, Chart]) -> Chapter:
    results = findings.results
    replies = finding.answers(results, findings.groups, findings.suspects, findings.curve)
    rows = [(reply.question, reply.answer) for reply in replies]
    cards = [(card["what"], card["value"], card["more"]) for card in finding.four_numbers(results)]
    return Chapter(
        "Result",
        [
            finding.headline(results, findings.groups),
            sections.accuracy_text(results),
            "Intervals are 95 %, from 1,000 bootstrap samples of whole groups.",
        ],
        [
            Table(("score", "value", "95 % interval"), cards),
            Table(("question", "answer"), rows),
            sections.score_table(results),
        ],
        _chosen(charts, "accuracy"),
    )


def _field_chapter(results: Results, charts: dict[str, Chart]) -> list[Chapter]:
    section = field_section(results.field)
    if section is None:
        return []
    tables = [section.shares] if section.shares.rows else []
    if section.ranks:
        tables.append(section.ranks)
    return [Chapter("In the field", section.texts, tables, _chosen(charts, "sites"))]


def _mistake_chapter(findings: Findings, charts: dict[str, Chart]) -> Chapter:
    results = findings.results
    section = look_alike_section(results, findings.groups, findings.joining)
    groups = [(group["title"], "; ".join(group["pairs"])) for group in section["groups"]]
    return Chapter(
        "Mistakes",
        [section["title"] + ".", section["note"]],
        [Table(("group of look-alikes", "most frequent"), groups), class_table(results)],
        _chosen(charts, "weakest-classes", "confusion", "map", "images-and-recall"),
    )


def _trust_chapter(results: Results, charts: dict[str, Chart]) -> Chapter:
    return Chapter(
        "Can its confidence be trusted?",
        [
            *accepted_sentences(results),
            *left_out_sentences(results),
            "Calibration, prediction sets and accepted answers are cross-fitted: each fold uses "
            "the thresholds of the other folds.",
        ],
        [Table(("target", "over", "measured", "classes in a set"), list(set_rows(results)))],
        _chosen(charts, "reliability", "answer-fewer"),
    )


def class_table(results: Results) -> Table:
    """List the weakest classes: recall, precision, and what they are taken for.

    Args:
        results: the results of a run.

    Returns:
        One row a class, the weakest first, at most `MAX_CLASSES`.
    """
    rows: sections.TableRows = []
    for row in scored_classes(results)[:MAX_CLASSES]:
        precision = results.per_class[row["index"]]["precision"]
        rows.append(
            (
                plain_name(row["name"]),
                f"{row['support']:,}",
                _share(row["recall"]),
                _share(precision) if precision else "never answered",
                f"{row['taken_for']} ({row['times']})" if row["times"] else "",
            )
        )
    head = ("weakest classes", "images", "recall", "precision", "most often taken for")
    return Table(head, rows)


def _share(score: dict[str, float]) -> str:
    return f"{percent(score['value'])} ({percent_range(score['low'], score['high'])})"
