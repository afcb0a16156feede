"""A budget's choice: what is chosen, how many epochs fit, and no optimism from pure noise."""

import numpy as np
import pytest

from bestiary.advising.budget_plan import (
    CHOOSING_FOLD,
    MAX_EPOCHS,
    Costs,
    Trial,
    choose,
    larger_size,
)
from bestiary.advising.budget_request import check_arguments, check_seconds
from bestiary.errors import ArgumentError
from bestiary.recipe.options import Recipe


def trial(name: str, hits: int, margin: float = 2.0, images: int = 20) -> Trial:
    """A trial of two classes that is right on the first `hits` images, by `margin`."""
    labels = np.zeros(images, np.int64)
    right = np.arange(images) < hits
    logits = np.stack([np.where(right, margin, -margin), np.zeros(images)], 1)
    return Trial(name, Recipe(), logits.astype(np.float32), labels, 1.0)


def test_choose_most_hits_then_lowest_loss() -> None:
    assert choose([trial("a", 15), trial("b", 17), trial("c", 16)]).name == "b"
    # Equal in hits; the wrong answers of "b" are as wrong, but its scale is that of all others.
    unsure = trial("b", 15)
    unsure.logits[:5] *= 4
    assert choose([trial("a", 15), unsure]).name == "b"
    assert choose([trial("a", 15), trial("b", 15)]).name == "a", "the cheapest of equals"


def test_choice_among_noise_is_not_optimistic() -> None:
    """Ways that all guess: the fold that chose flatters them, the folds that are scored do not."""
    rng = np.random.default_rng(0)
    folds = np.repeat(np.arange(5), 20)
    chosen_all, chosen_scored = [], []
    for _ in range(400):
        labels = rng.integers(0, 2, len(folds))
        ways = rng.normal(size=(6, len(folds), 2)).astype(np.float32)
        here = folds == CHOOSING_FOLD
        trials = [
            Trial(str(at), Recipe(), way[here], labels[here], 1) for at, way in enumerate(ways)
        ]
        way = ways[int(choose(trials).name)]
        hits = way.argmax(axis=1) == labels
        chosen_all.append(hits.mean())
        chosen_scored.append(hits[~here].mean())
    standard_error = np.std(chosen_scored) / np.sqrt(len(chosen_scored))
    assert abs(np.mean(chosen_scored) - 0.5) < 3 * standard_error
    assert np.mean(chosen_all) - 0.5 > 6 * standard_error, "else this test could not fail"


def test_epochs_that_fit() -> None:
    costs = Costs(epoch=10, fixed=20)
    assert costs.epochs_within(600, folds=5) == 10
    assert costs.epochs_within(99, folds=5) == 0
    assert costs.epochs_within(1e9, folds=5) == MAX_EPOCHS


@pytest.mark.parametrize(("size", "larger"), [(224, 288), (32, 64), (96, 128)])
def test_larger_size_is_larger(size: int, larger: int) -> None:
    assert larger_size(size) == larger


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"only_fold": [1]}, "--only-fold 1"),
        ({"processes": 2}, "--processes 2"),
        ({"cluster": "ray"}, "--cluster ray"),
        ({"overrides": ["train.epochs=3"]}, "--set train.epochs=3: --budget chooses train.epochs"),
    ],
)
def test_contradictions_are_refused(arguments: dict[str, object], words: str) -> None:
    usual = {"overrides": [], "only_fold": [], "processes": 1, "cluster": None}
    with pytest.raises(ArgumentError, match=words):
        check_arguments(**{**usual, **arguments})  # type: ignore[arg-type]


def test_useless_budgets_are_refused() -> None:
    with pytest.raises(ArgumentError, match="--budget 5s: is not a time"):
        check_seconds("5s", 5.0)
