"""A chart of a run -> a figure for Python: it shows itself in a notebook and saves itself.

The finding stands above the drawing and the note below it, inside the image, so that a figure says
all by itself. No plotting library is needed.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.atomic import write_bytes, write_text
from bestiary.errors import ArgumentError, RunError
from bestiary.evaluation.results import Results, read_histories
from bestiary.printable import printable_name
from bestiary.reporting.charts.chart import LETTER_WIDTH, Chart, cut, letters
from bestiary.reporting.charts.classes import support_chart, weakest_chart
from bestiary.reporting.charts.scores import accuracy_chart, confusion_chart
from bestiary.reporting.charts.training import MIN_EPOCHS, training_charts
from bestiary.reporting.charts.trust import coverage_chart, reliability_chart
from bestiary.reporting.drawing import QUIET, Drawing
from bestiary.reporting.gallery import order_by_confusion
from bestiary.reporting.raster import png
from bestiary.run.run import Run

FORMATS = (".svg", ".png", ".csv")
TITLE_SIZE = 15.0
NOTE_SIZE = 12.0
LINE = 1.3  # of the font size
MARGIN = 14.0
MIN_WIDTH = 460.0  # narrower drawings leave their title too little room


@dataclass(frozen=True)
class Figure:
    """A chart of a run, with its finding and its note.

    Attributes:
        chart: the chart.

    Example:
        >>> import bestiary
        >>> figure = bestiary.Run.open("run").plot.confusion()
        >>> figure.rows.columns
        ['label', 'answer', 'images']
        >>> figure.save("confusion.png").name
        'confusion.png'
    """

    chart: Chart

    def __repr__(self) -> str:
        return f"<Figure {self.chart.name}: {printable_name(self.chart.title)}>"

    @property
    def title(self) -> str:
        """The finding, in a sentence."""
        return self.chart.title

    @property
    def rows(self) -> pl.DataFrame:
        """The numbers behind the drawing."""
        columns = {
            name: [row[index] for row in self.chart.rows]
            for index, name in enumerate(self.chart.head)
        }
        return pl.DataFrame(columns, strict=False)

    def drawing(self) -> Drawing:
        """Draw the finding, the chart and the note on one canvas."""
        inner = self.chart.drawing
        width = max(inner.width, MIN_WIDTH)
        title = _wrap(self.chart.title, width, TITLE_SIZE)
        note = _wrap(self.chart.note, width, NOTE_SIZE)
        top = MARGIN + len(title) * TITLE_SIZE * LINE + 10
        bottom = top + inner.height + 6
        height = bottom + len(note) * NOTE_SIZE * LINE + MARGIN
        whole = Drawing(width + 2 * MARGIN, height, self.chart.title)
        for number, line in enumerate(title):
            y = MARGIN + (number + 0.8) * TITLE_SIZE * LINE
            whole.words(MARGIN, y, line, size=TITLE_SIZE, bold=True)
        whole.place(inner, MARGIN, top, 1.0)
        for number, line in enumerate(note):
            y = bottom + (number + 0.8) * NOTE_SIZE * LINE
            whole.words(MARGIN, y, line, size=NOTE_SIZE, color=QUIET)
        return whole

    def save(self, file: str | Path) -> Path:
        """Write the figure to a file; one that exists is replaced.

        Args:
            file: its name ends in .svg, .png (twice the size) or .csv (the rows).

        Returns:
            The file.

        Raises:
            ArgumentError: the name ends otherwise.
            BestiaryError: the file cannot be written.
        """
        path = Path(file)
        kind = path.suffix.lower()
        if kind not in FORMATS:
            raise ArgumentError(f"{file}: a figure is saved as {', '.join(FORMATS)}; name one")
        if kind == ".csv":
            write_text(path, self.chart.csv())
        elif kind == ".svg":
            write_text(path, self._repr_svg_() + "\n")
        else:
            write_bytes(path, png(self.drawing()))
        return path

    def _repr_svg_(self) -> str:
        """Show the figure in a notebook, on white and in its own size."""
        drawing = self.drawing()
        size = f'width="{drawing.width:.0f}" height="{drawing.height:.0f}"'
        return drawing.svg(themed=False).replace("<svg ", f"<svg {size} ", 1)


class Plots:
    """The charts of a run, each as a figure: `run.plot.confusion()`.

    Args:
        run: the run.
        results: reads its out-of-fold results.
    """

    def __init__(self, run: Run, results: Callable[[], Results]) -> None:
        self._run = run
        self._results = results

    def __repr__(self) -> str:
        return f"<Plots of {printable_name(self._run.place)}: {', '.join(PLOTS)}>"

    def accuracy(self) -> Figure:
        """Accuracies with intervals: single members, all together, mean over classes, each fold."""
        return Figure(accuracy_chart(self._results()))

    def weakest_classes(self) -> Figure:
        """The weakest classes: share found, its interval, and where the mistakes go."""
        return Figure(weakest_chart(self._results()))

    def confusion(self) -> Figure:
        """The confusion matrix; classes that are taken for each other are neighbors."""
        results = self._results()
        return Figure(confusion_chart(results, order_by_confusion(results.confusion)))

    def reliability(self) -> Figure:
        """How often answers of a confidence are right."""
        return Figure(reliability_chart(self._results()))

    def answer_fewer(self) -> Figure:
        """The share of errors, where only the surest images are answered."""
        return Figure(coverage_chart(self._results()))

    def class_sizes(self) -> Figure:
        """Recall by number of images of a class.

        Raises:
            RunError: all classes have about as many images.
        """
        chart = support_chart(self._results())
        if chart is None:
            raise RunError(
                f"{self._run.place}: all classes have about as many images, so their sizes explain "
                "nothing; see plot.weakest_classes()"
            )
        return Figure(chart)

    def held_out_accuracy(self) -> Figure:
        """Accuracy on the held-out part by epoch, also while the run is in training.

        Raises:
            RunError: there are too few epochs for a curve.
        """
        return self._curve("held-out-accuracy", "val_accuracy")

    def training_loss(self) -> Figure:
        """Training loss by epoch, also while the run is in training.

        Raises:
            RunError: there are too few epochs for a curve.
        """
        return self._curve("training-loss", "train_loss")

    def _curve(self, name: str, column: str) -> Figure:
        histories = read_histories(self._run, self._run.fold_numbers())
        begun = {fold: history for fold, history in histories.items() if history.height}
        keeps_best = self._run.read_recipe().train.keep_best
        for chart in training_charts(begun, keeps_best):
            if chart.name == name:
                return Figure(chart)
        epochs = min((history[column].count() for history in begun.values()), default=0)
        raise RunError(
            f"{self._run.place}: a curve needs {MIN_EPOCHS} epochs with a {column} in each fold, "
            f"and a fold has {epochs}; see run.history, and plot.accuracy()"
        )


PLOTS: Sequence[str] = [name for name in vars(Plots) if not name.startswith("_")]
"""Names of the charts."""


def _wrap(text: str, width: float, size: float) -> list[str]:
    """Wrap a text to the width of a drawing; a word that is too long is cut."""
    most = int(width / (size * LETTER_WIDTH))
    # Chinese letters count twice, and textwrap counts them once.
    stretch = max(1.0, letters(text) / max(1, len(text)))
    lines = textwrap.wrap(text, max(10, int(most / stretch)), break_long_words=True)
    return [cut(line, width, size) for line in lines]
