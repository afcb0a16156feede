"""The prose of README.md and docs/ is short; the lint sees what is not."""

import lint_prose
import pytest

LONG = (
    "This sentence has quite a few words more than the mean of a page may have, as one can count."
)
FIRST_SCREEN = 60  # lines
PARTS = (
    "Train an image classifier",
    "For ecologists",
    "report-photographs.png",
    "pip install",
    "bestiary scan",
    "bestiary probe",
    "bestiary report",
    "bestiary predict",
    "## What you get",
    "results: readme-accuracy",
    "results: readme-speed",
    "When something else is better.",
)


@pytest.mark.parametrize("page", lint_prose.pages(), ids=lambda page: page.stem)
def test_page_is_plain(page: lint_prose.Path) -> None:
    assert lint_prose.faults(page.read_text(encoding="utf-8")) == []


def test_long_sentences_are_seen() -> None:
    assert lint_prose.faults(LONG)
    assert not lint_prose.faults(f"{LONG}\n\n- One.\n- Two.\n")


def test_long_cells_are_seen() -> None:
    assert lint_prose.faults(f"| a |\n|---|\n| {'word ' * 26}|\n")
    assert not lint_prose.faults(f"| a |\n|---|\n| `{'word ' * 26}` |\n")


def test_banned_words_are_seen() -> None:
    assert lint_prose.faults("It was typed by\nhand.")
    assert lint_prose.faults("| by hand |")


def test_first_screen_of_readme_has_what_a_reader_needs() -> None:
    lines = (lint_prose.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    places = [next(n for n, line in enumerate(lines) if part in line) for part in PARTS]
    assert places == sorted(places)
    assert places[-1] < FIRST_SCREEN
