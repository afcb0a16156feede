"""Bars of rich -> one output of a notebook's cell: updated in place, and gone at the end.

Works in JupyterLab, VS Code and Colab, and needs no widgets: rich's own way needs ipywidgets, which
most notebooks lack. Elsewhere the bars are rich's. Knows nothing of what is counted.
"""

import io
import time
import warnings
from typing import Any

from rich.console import Console
from rich.progress import Progress

WIDTH = 74  # letters of a line, which fit the cell of a narrow window
INTERVAL = 0.2  # seconds between two updates
SIZE = "var(--jp-code-font-size,13px)"  # as the lines around it have
FORMAT = f'<pre style="margin:0;white-space:pre;font-size:{SIZE}">{{code}}</pre>'


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return Console().is_jupyter


if in_notebook():  # libraries import tqdm, which asks for the widgets that are not needed here
    warnings.filterwarnings("ignore", message="IProgress not found")


class LiveProgress(Progress):
    """Bars that are updated in place, in a terminal and in a notebook.

    Args:
        columns: as for rich's `Progress`.
        options: as for rich's `Progress`.
    """

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._in_notebook = in_notebook()
        self._handle: Any = None
        self._due = 0.0

    def start(self) -> None:
        """Show the bars."""
        if self.disable or not self._in_notebook:
            super().start()
            return
        from IPython.display import display

        self._handle = display(self._bundle(), raw=True, display_id=True)

    def stop(self) -> None:
        """Remove the bars."""
        if self._handle is None:
            super().stop()
            return
        self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
        self._handle = None

    def update(self, *args: Any, **options: Any) -> None:
        """Update a bar, as rich's `Progress.update` does, and show it if the last time is old."""
        super().update(*args, **options)
        if self._handle is not None and time.monotonic() >= self._due:
            self._handle.update(self._bundle(), raw=True)
            self._due = time.monotonic() + INTERVAL

    def _bundle(self) -> dict[str, str]:
        """Render the bars as text and as HTML."""
        console = Console(
            file=io.StringIO(),
            width=WIDTH,
            record=True,
            force_jupyter=False,
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
        )
        console.print(self.get_renderable())
        html = console.export_html(inline_styles=True, code_format=FORMAT, clear=False)
        return {"text/html": html, "text/plain": console.export_text()}
