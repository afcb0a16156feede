"""The report page in its print layout -> a PDF, with fonts for its letters."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import ImageFile

from bestiary.atomic import atomic_path
from bestiary.display import Display
from bestiary.errors import BestiaryError, one_line
from bestiary.evaluation.results import Results
from bestiary.reporting.fonts import choose_faces
from bestiary.reporting.run_page import run_page

FAMILY = "report"  # of the font files that the user names


def write_pdf(
    results: Results,
    file: Path,
    display: Display,
    fonts: Sequence[Path] = (),
    *,
    with_saliency: bool = True,
) -> list[Path]:
    """Write the report as a PDF: the print layout of its page, made by WeasyPrint.

    Args:
        results: the results of a run.
        file: the PDF file.
        display: shows the progress.
        fonts: font files to look in first.
        with_saliency: whether to compute saliency maps.

    Returns:
        The file.

    Raises:
        BestiaryError: WeasyPrint is not installed, no font has the characters of a name, or the
            folder cannot be written.
    """
    fills_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        from weasyprint import CSS, HTML
        from weasyprint.text.fonts import FontConfiguration
    except (ImportError, OSError) as error:  # OSError: Pango, which it is built on, is missing
        raise BestiaryError(
            f"--format pdf: needs WeasyPrint and Pango ({one_line(error, 60)}); pip install "
            "'bestiary[report]' and Debian's libpangoft2-1.0-0, or print report.html from a browser"
        ) from None
    finally:
        # Importing it tells Pillow, for the whole process, to fill truncated files with gray.
        ImageFile.LOAD_TRUNCATED_IMAGES = fills_truncated
    page = run_page(results, display, with_saliency=with_saliency, for_print=True)
    _check_letters(page, fonts)
    fetcher = _fetcher({font.absolute().as_uri() for font in fonts})
    configuration = FontConfiguration()
    style = CSS(string=_font_style(fonts), font_config=configuration, url_fetcher=fetcher)
    document = HTML(string=page, url_fetcher=fetcher).render(
        stylesheets=[style], font_config=configuration
    )
    with atomic_path(file) as temporary:
        document.write_pdf(str(temporary))
    return [file]


def _fetcher(fonts: set[str]) -> Any:
    """A fetcher that gives what the page holds itself and the chosen fonts, and nothing else."""
    from weasyprint.urls import URLFetcher

    class OwnFetcher(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.startswith("data:") and url not in fonts:
                raise ValueError("the page loads nothing from elsewhere")
            return super().fetch(url, headers)

    return OwnFetcher(allowed_protocols=("data", "file"), allow_redirects=False)


def _check_letters(page: str, fonts: Sequence[Path]) -> None:
    """Refuse a page with letters that neither the named nor the installed fonts have.

    Pango, which lays out the text, finds the installed ones by itself.
    """
    reader = _Texts()
    reader.feed(page)
    choose_faces(set("".join(reader.texts)) - set("\n\t\r "), fonts)


class _Texts(HTMLParser):
    """The texts of a page that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        """Note where style and script begin."""
        self._hidden += tag in ("style", "script", "title")

    def handle_endtag(self, tag: str) -> None:
        """Note where they end."""
        self._hidden -= tag in ("style", "script", "title")

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if not self._hidden:
            self.texts.append(data)


def _font_style(fonts: Sequence[Path]) -> str:
    """The fonts that the user names come first, then the installed ones."""
    rules = []
    names = []
    for index, file in enumerate(fonts):
        names.append(f'"{FAMILY}{index}"')
        uri = file.absolute().as_uri()
        rules.append(f'@font-face {{ font-family: "{FAMILY}{index}"; src: url("{uri}"); }}')
    families = ", ".join([*names, "sans-serif"])
    rules.append(f"body, svg {{ font-family: {families} !important; }}")
    return "\n".join(rules)
