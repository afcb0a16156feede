"""The page of an evaluation on held-out images: its numbers, its escapes, its accessibility."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bestiary.evaluation.evaluation_text import Evaluation
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.numbers import percent
from bestiary.reporting.evaluation_page import evaluation_page

CLASSES = ["lynx", "<b>wild_cat</b>", "ant"]


@pytest.fixture
def evaluation(beasts: Path) -> Evaluation:
    """40 images of two of three classes, 4 of them wrong."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    answers = np.where(np.arange(40) % 10 == 0, 2, labels)
    probabilities = rng.uniform(0, 0.2, (40, 3))
    probabilities[np.arange(40), answers] = rng.uniform(0.5, 0.99, 40)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    files = sorted(beasts.rglob("*.jpg"))
    paths = [files[index % 20].relative_to(beasts).as_posix() for index in range(40)]
    results = HeldOutResults(beasts, paths, CLASSES, labels, np.arange(40), probabilities)
    scores = dict.fromkeys(
        ("seen_in_training", "same_pixels", "near_duplicate", "unreadable", "gone"), 0
    )
    scores |= {
        "n": 40,
        "classes": 2,
        "mean_member": 0.85,
        "unknown_class": 3,
        "unknown_classes": {"cougar": 3},
        "suggestions": {"cougar": {"name": "lynx", "duplicates": 2}},
        "classes_without_images": ["ant"],
        "recognized": [],
        "estimate": {"value": 0.9, "low": 0.8, "high": 0.95, "holds": True},
        "reliability": None,
    }
    return Evaluation(scores, results)


def test_numbers_are_those_of_the_scores(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, "my run", "new images")
    scores = evaluation.results.scores
    assert scores["accuracy"]["value"] == 0.9
    assert f"Right on {percent(0.9)} of 40" in page
    values = re.findall(r'<p class="value">(.*?)</p>', page)
    balanced = scores["scores"]["balanced_accuracy"]["value"]
    assert values == [percent(0.9), percent(0.85), percent(balanced), percent(0.5)]
    assert "as expected" in page and "has not been calibrated" in page
    assert "perhaps lynx" in page and "--map" in page


def test_mistakes_are_shown_surest_first(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, "my run", "new images")
    part = page[page.index("Surest mistakes") : page.index("Barely right")]
    shown = [int(text) for text in re.findall(r'class="sure">(\d+)', part)]
    assert len(shown) == 4 and shown == sorted(shown, reverse=True)
    assert part.count("data:image/jpeg") == 4
    assert "<b>wild" not in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_evaluation_accessibility(
    chromium: Any,
    evaluation: Evaluation,
    tmp_path: Path,
    width: int,
    scheme: str,
    violations: Callable[[Any], list[str]],
) -> None:
    file = tmp_path / "evaluation.html"
    file.write_text(evaluation_page(evaluation, "my run", "new images"), encoding="utf-8")
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(tab) == []
    assert complaints == []
    context.close()
