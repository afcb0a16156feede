"""Finished run -> its charts as files in RUN/figures/, and one image that sums it up.

Written unasked when a run ends: `summary.png` is what people paste into a message.
"""

from pathlib import Path

from bestiary.atomic import write_bytes, write_text
from bestiary.details import stage
from bestiary.evaluation.results import Results
from bestiary.numbers import plain_name
from bestiary.reporting.charts.chart import Chart, cut
from bestiary.reporting.charts.classes import support_chart, weakest_chart
from bestiary.reporting.charts.scores import accuracy_chart, confusion_chart
from bestiary.reporting.charts.training import training_charts
from bestiary.reporting.charts.trust import coverage_chart, reliability_chart
from bestiary.reporting.drawing import EDGE, QUIET, Drawing
from bestiary.reporting.gallery import order_by_confusion
from bestiary.reporting.raster import png
from bestiary.reporting.run_sections import finding
from bestiary.run.layout import FIGURES, SUMMARY_IMAGE
from bestiary.stats.look_alikes import look_alike_groups

WIDTH = 1200.0
MARGIN = 36.0
TITLE_SIZE = 27.0
CARD_TOP = 100.0
CARD_HEIGHT = 86.0
CHART_TOP = 236.0


@stage("Drawing the charts")
def write_figures(results: Results) -> list[Path]:
    """Write the charts that take no long work as SVG and CSV, and the summary as SVG and PNG.

    Args:
        results: the results of a run.

    Returns:
        The files.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    charts = _quick_charts(results)
    folder = results.run.file(FIGURES)
    written = []
    for chart in charts.values():
        svg, rows = folder / f"{chart.name}.svg", folder / f"{chart.name}.csv"
        write_text(svg, chart.drawing.svg(themed=False) + "\n")
        write_text(rows, chart.csv())
        written += [svg, rows]
    summary = summary_drawing(results, charts)
    image = folder / SUMMARY_IMAGE
    write_text(image.with_suffix(".svg"), summary.svg(themed=False) + "\n")
    write_bytes(image, png(summary))
    return [*written, image.with_suffix(".svg"), image]


def _quick_charts(results: Results) -> dict[str, Chart]:
    order = order_by_confusion(results.confusion)
    keeps_best = results.snapshot.recipe.train.keep_best
    charts: list[Chart | None] = [
        accuracy_chart(results),
        weakest_chart(results),
        confusion_chart(results, order),
        reliability_chart(results),
        coverage_chart(results),
        support_chart(results),
        *training_charts(results.histories, keeps_best),
    ]
    return {chart.name: chart for chart in charts if chart}


def summary_drawing(results: Results, charts: dict[str, Chart]) -> Drawing:
    """Draw the finding, the four numbers, the weakest classes and whether it can be trusted.

    Args:
        results: the results of a run.
        charts: of the run, by name.

    Returns:
        The drawing.
    """
    groups, _ = look_alike_groups(results.confusion)
    title = finding.headline(results, groups)
    weakest, reliable = charts["weakest-classes"], charts["reliability"]
    scale = 1.08
    height = max(CHART_TOP + 30 + weakest.drawing.height * scale + 20, 780.0)
    drawing = Drawing(WIDTH, height, title)
    for number, sentence in enumerate(title.split(". ", 1)):
        text = sentence if sentence.endswith(".") else sentence + "."
        drawing.words(MARGIN, 44 + 33 * number, text, size=TITLE_SIZE, bold=True)
    _draw_cards(drawing, finding.four_numbers(results))
    where = finding.provenance(results)
    line = " · ".join([plain_name(where["data"]), *finding.facts_line(results), where["version"]])
    drawing.words(MARGIN, CARD_TOP + CARD_HEIGHT + 24, line, size=13, color=QUIET)
    left = MARGIN + 720
    below = CHART_TOP + 268
    for x, y, room, chart, size in (
        (MARGIN, CHART_TOP, 700.0, weakest, scale),
        (left, CHART_TOP, 430.0, reliable, 0.8),
        (left, below, 430.0, charts["answer-fewer"], 0.8),
    ):
        drawing.words(x, y + 6, cut(chart.title, room, 14), size=14, bold=True)
        drawing.place(chart.drawing, x, y + 20, size)
    return drawing


def _draw_cards(drawing: Drawing, cards: list[dict[str, str]]) -> None:
    width = (WIDTH - 2 * MARGIN) / len(cards)
    for number, card in enumerate(cards):
        left = MARGIN + number * width
        if number:
            line = [(left - 14, CARD_TOP), (left - 14, CARD_TOP + CARD_HEIGHT - 8)]
            drawing.line(line, EDGE, 1.5)
        drawing.words(left, CARD_TOP + 14, cut(card["what"], width - 24, 13), size=13, color=QUIET)
        drawing.words(left, CARD_TOP + 48, card["value"], size=29, bold=True)
        more = cut(card["more"], width - 24, 12.5)
        drawing.words(left, CARD_TOP + 70, more, size=12.5, color=QUIET)
