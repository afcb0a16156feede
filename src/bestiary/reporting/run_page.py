"""Results -> the report page: one self-contained HTML file that opens offline, and prints.

`run_sections` says what each section shows, `charts` draws, `templates/run/` has the sections in
the order of a reader's questions. Computes no score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bestiary.display import Display
from bestiary.evaluation.image_map import ImageMap, image_map
from bestiary.evaluation.learning_curve import learning_curve
from bestiary.evaluation.results import Results
from bestiary.printable import printable_name
from bestiary.reporting import sections
from bestiary.reporting.budget_section import budget_record, budget_table, budget_text
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.classes import scored_classes, support_chart, weakest_chart
from bestiary.reporting.charts.map import map_chart, place_on_map
from bestiary.reporting.charts.places import places_chart
from bestiary.reporting.charts.scores import accuracy_chart, confusion_chart
from bestiary.reporting.charts.training import learning_chart, training_charts
from bestiary.reporting.charts.trust import coverage_chart, reliability_chart
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.gallery import (
    MAX_MISTAKES,
    Examples,
    Gallery,
    choose_examples,
    order_by_confusion,
)
from bestiary.reporting.render import render
from bestiary.reporting.run_sections import finding
from bestiary.reporting.run_sections.data import data_section
from bestiary.reporting.run_sections.field import field_section
from bestiary.reporting.run_sections.look_alikes import look_alike_section
from bestiary.reporting.run_sections.trust import trust_section
from bestiary.reporting.saliency_examples import saliency_examples
from bestiary.stats.learning_curve import LearningCurve
from bestiary.stats.look_alikes import LookAlikes, look_alike_groups

MAX_EXAMPLES = 12  # mistakes, and as many barely right, shown as large images
LARGE_SIDE = 320  # pixels of the long side of a large image
MEDIUM_SIDE = 120  # of a sample of a class
MAX_TOP = 5  # answers listed with an image


@dataclass(frozen=True)
class Findings:
    """What the sections are made of, computed once.

    Attributes:
        results: the results of a run.
        groups: of look-alikes.
        joining: number of mistakes that joins two classes.
        order: class numbers, those taken for each other next to each other.
        suspects: number of labels that look wrong; None: not known.
        curve: the learning curve; None: not known.
        places: the map of images; None: too few.
    """

    results: Results
    groups: list[LookAlikes]
    joining: int
    order: list[int]
    suspects: int | None
    curve: LearningCurve | None
    places: ImageMap | None

    @classmethod
    def of(cls, results: Results) -> "Findings":
        """Compute what the sections are made of."""
        groups, joining = look_alike_groups(results.confusion)
        return cls(
            results,
            groups,
            joining,
            order_by_confusion(results.confusion),
            finding.suspect_labels(results),
            learning_curve(results),
            image_map(results),
        )

    def charts(self) -> dict[str, Chart]:
        """All charts of the run by name, in the order of the page."""
        results = self.results
        train = results.snapshot.recipe.train
        places = results.field.places
        charts: list[Chart | None] = [
            accuracy_chart(results),
            places_chart(places) if places else None,
            weakest_chart(results),
            confusion_chart(results, self.order),
            map_chart(results, self.places) if self.places else None,
            reliability_chart(results),
            coverage_chart(results),
            learning_chart(self.curve) if self.curve else None,
            support_chart(results),
            *training_charts(results.histories, train.keep_best),
        ]
        return {chart.name: chart for chart in charts if chart}


def run_page(
    results: Results,
    display: Display,
    *,
    with_saliency: bool = True,
    for_print: bool = False,
    others: Sequence[tuple[str, str]] = (),
) -> str:
    """Render the report page of a run.

    Args:
        results: the results of a run.
        display: shows the progress.
        with_saliency: whether to compute saliency maps.
        for_print: whether a program that knows no scripts and no themes lays it out.
        others: names of other runs of the same images, with links to their reports.

    Returns:
        The page as HTML. An image that is missing is shown by name.
    """
    findings = Findings.of(results)
    examples = choose_examples(results)
    gallery = _read_gallery(results, examples, display)
    saliency = saliency_examples(results, examples, display) if with_saliency else []
    charts = findings.charts()
    title = finding.headline(results, findings.groups)
    cards = finding.four_numbers(results)
    replies = finding.answers(results, findings.groups, findings.suspects, findings.curve)
    where = finding.provenance(results)
    registry = _Registry.of(results, examples)
    return render(
        "run.html",
        for_print=for_print,
        others=others,
        run=results.run.name,
        title=title,
        cards=cards,
        answers=replies,
        where=where,
        facts=finding.facts_line(results),
        estimate=sections.accuracy_text(results),
        scores=sections.score_table(results),
        charts=charts,
        curves=[charts[name] for name in ("held-out-accuracy", "training-loss") if name in charts],
        classes=_class_rows(results),
        look_alikes=look_alike_section(results, findings.groups, findings.joining),
        shown=registry.shown(results, gallery, examples),
        saliency=saliency,
        saliency_asked=with_saliency,
        trust=trust_section(results),
        field=field_section(results.field),
        no_curve=_no_curve_reason(results),
        data_part=data_section(results),
        method=sections.method_of_run(results.snapshot),
        budget=_budget(results),
        costs=cost_rows(results),
        reproduce=sections.reproduce_command(results),
        labels_command=finding.labels_command(results),
        recipe=results.snapshot.recipe.to_toml(),
        bibtex=finding.bibtex(results, where),
        summary=finding.summary_markdown(results, title, cards, replies),
        hidden=max(0, len(examples.mistakes) - MAX_MISTAKES),
        script_data=None if for_print else _script_data(findings, registry, gallery, examples),
    )


def _no_curve_reason(results: Results) -> str:
    folds = len(results.snapshot.folds)
    if folds < 2:
        return "It takes two folds or more: a student has one."
    return (
        "It is made from cached features of the frozen network, and they are not in this "
        "machine's cache (or the classes have too few images). bestiary probe on the same data "
        "makes them; then write the report again."
    )


def _class_rows(results: Results) -> list[dict[str, Any]]:
    """Rows of the full class table, weakest first."""
    return [row | results.per_class[row["index"]] for row in scored_classes(results)]


def _read_gallery(results: Results, examples: Examples, display: Display) -> Gallery:
    """Read all images of the page, large ones first."""
    gallery = Gallery(results.snapshot.images)
    paths = results.table["path"]
    large = [examples.mistakes[:MAX_EXAMPLES], examples.unsure[:MAX_EXAMPLES]]
    with display.counter("Images for the page") as tick:
        gallery.add(paths[np.concatenate(large)].to_list(), LARGE_SIDE)
        gallery.add(paths[np.concatenate(list(examples.typical.values()))].to_list(), MEDIUM_SIDE)
        gallery.add(paths[examples.mistakes[:MAX_MISTAKES]].to_list())
        tick(len(gallery.uris), len(gallery.uris))
    return gallery


@dataclass(frozen=True)
class _Registry:
    """The rows that the page shows; each has a number, by which the page names it."""

    rows: list[int]
    numbers: dict[int, int]

    @classmethod
    def of(cls, results: Results, examples: Examples) -> "_Registry":
        mistakes = examples.mistakes[:MAX_MISTAKES]
        unsure = examples.unsure[:MAX_EXAMPLES]
        typical = np.concatenate(list(examples.typical.values()))
        rows = list(dict.fromkeys([*mistakes.tolist(), *unsure.tolist(), *typical.tolist()]))
        return cls(rows, {row: number for number, row in enumerate(rows)})

    def shown(self, results: Results, gallery: Gallery, examples: Examples) -> dict[str, Any]:
        """The images that stand in the page itself, by section."""
        card = self._card

        def cards(rows: list[int]) -> list[dict[str, Any]]:
            return [card(results, gallery, row) for row in rows]

        return {
            "mistakes": cards(examples.mistakes[:MAX_EXAMPLES].tolist()),
            "unsure": cards(examples.unsure[:MAX_EXAMPLES].tolist()),
            "typical": {label: cards(rows.tolist()) for label, rows in examples.typical.items()},
        }

    def _card(self, results: Results, gallery: Gallery, row: int) -> dict[str, Any]:
        return {
            "number": self.numbers[row],
            "path": results.table["path"][row],
            "uri": gallery.uris[results.table["path"][row]],
            "label": results.classes[results.labels[row]],
            "answer": results.classes[results.predicted[row]],
            "right": bool(results.hits[row]),
            "confidence": float(results.confidence[row]),
        }


def _budget(results: Results) -> dict[str, Any] | None:
    """What was tried within a time budget, if the run had one."""
    record = budget_record(results)
    if record is None:
        return None
    return {"text": budget_text(record), "table": budget_table(record)}


def _script_data(
    findings: Findings, registry: _Registry, gallery: Gallery, examples: Examples
) -> dict[str, Any]:
    """What run.js draws the confusion matrix, the map's lists and the large images from.

    Images are a list; everything else refers to them by their index in it.
    """
    results = findings.results
    counts = results.confusion
    numbers = registry.numbers
    cells = [[int(a), int(b), int(counts[a, b])] for a, b in zip(*np.nonzero(counts), strict=True)]
    return {
        "classes": [printable_name(name) for name in results.classes],
        "order": findings.order,
        "cells": cells,
        "support": counts.sum(axis=1).tolist(),
        "images": _image_records(results, gallery, registry, examples),
        "typical": {
            label: [numbers[row] for row in rows.tolist()]
            for label, rows in examples.typical.items()
        },
        "map": _map_records(findings, numbers),
    }


def _image_records(
    results: Results, gallery: Gallery, registry: _Registry, examples: Examples
) -> list[list[Any]]:
    """Per image: path, label, answer, confidence, fold, best answers, data URI.

    The URI is empty where the image stands in the page already: the script takes it from there.
    """
    paths = results.table["path"]
    in_page = {*examples.mistakes[:MAX_EXAMPLES].tolist(), *examples.unsure[:MAX_EXAMPLES].tolist()}
    in_page.update(row for rows in examples.typical.values() for row in rows.tolist())
    records = []
    for row in registry.rows:
        top = np.argsort(-results.probabilities[row], kind="stable")[:MAX_TOP]
        records.append(
            [
                printable_name(paths[row]),
                int(results.labels[row]),
                int(results.predicted[row]),
                round(float(results.confidence[row]), 4),
                int(results.folds[row]),
                [[int(n), round(float(results.probabilities[row, n]), 4)] for n in top],
                "" if row in in_page else gallery.uris[paths[row]],
            ]
        )
    return records


def _map_records(findings: Findings, numbers: dict[int, int]) -> list[list[Any]]:
    """Per image on the map: x, y, label, answer, its number in the list of images or its path."""
    if findings.places is None:
        return []
    results = findings.results
    paths = results.table["path"]
    records = []
    for row, (x, y) in zip(
        findings.places.rows.tolist(), place_on_map(findings.places), strict=True
    ):
        image = numbers[row] if row in numbers else printable_name(paths[row])
        label, answer = int(results.labels[row]), int(results.predicted[row])
        records.append([round(x, 1), round(y, 1), label, answer, image])
    return records
