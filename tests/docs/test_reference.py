"""The reference pages say what the code says: run `make reference` where one does not."""

from pathlib import Path

import http_reference
import pytest
import write_reference

from bestiary.cli.verbs import VERBS
from bestiary.run.run import Run

PAGES = write_reference.pages()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_is_current(page: Path) -> None:
    assert (write_reference.REFERENCE / page).read_text(encoding="utf-8") == PAGES[page]


def test_every_verb_has_its_options() -> None:
    text = "".join(PAGES.values())
    for verb in VERBS:
        assert f"## bestiary {verb}\n" in text
    assert "--checkpoint-every" in text and "Default: `5min`" in text


def test_pages_name_every_recipe() -> None:
    assert (
        "`best-gpu`" in PAGES[Path("options.md")] and "## foundation" in PAGES[Path("recipes.md")]
    )


@pytest.mark.slow
def test_http_page_is_current(trained: Run) -> None:
    application = pytest.importorskip("bestiary.serving.application", reason="extra `serve`")
    from bestiary.ensemble.ensemble import Ensemble

    document = application.build_application(Ensemble.load(trained, engine="torch")).openapi()
    page = write_reference.REFERENCE / "http.md"
    assert page.read_text(encoding="utf-8") == http_reference.http_page(document)
