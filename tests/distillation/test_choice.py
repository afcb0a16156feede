"""The choice between a student and the mean of the members: no score is flattered by it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bestiary.display import Display
from bestiary.distillation import student as student_module
from bestiary.distillation.student import _choose_candidate, _put_student_back, _TestPart
from bestiary.model.classifier import load_member
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.stats.crossfit import random_parts
from bestiary.stats.selection import best_of, crossfit_logits


def test_best_of_prefers_accuracy_then_loss() -> None:
    labels = np.array([0, 1, 0, 1])
    right, wrong = np.eye(2)[labels] * 3, np.eye(2)[1 - labels] * 3
    half = np.where(np.arange(4)[:, None] < 2, right, wrong)
    assert best_of({"half": half, "right": right}, labels) == "right"
    assert best_of({"right": right, "surer": 2 * right}, labels) == "surer"


def test_crossfit_logits_are_unbiased_by_choice() -> None:
    rng = np.random.default_rng(0)
    flattered, honest = [], []
    for _ in range(200):
        labels, groups = rng.integers(2, size=60), np.arange(60)
        guesses = {str(n): rng.standard_normal((60, 2)) for n in range(8)}
        flattered.append((guesses[best_of(guesses, labels)].argmax(axis=1) == labels).mean())
        honest.append((crossfit_logits(guesses, labels, groups).argmax(axis=1) == labels).mean())
    assert np.mean(flattered) > 0.56
    assert abs(np.mean(honest) - 0.5) < 0.02


def test_halves_that_disagree_are_in_the_scores(
    small: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each candidate is right on the half that chooses it, and wrong on the half it answers for."""
    run = Run(Path(shutil.copytree(small.path, tmp_path / "run")))
    weights = run.fold(0).weights.read_bytes()
    test = _TestPart.read(run)
    right = 5 * np.eye(3, dtype=np.float32)[test.labels]
    is_first = (random_parts(test.groups, 2, "halves") == 0)[:, None]
    test = replace(test, logits=np.where(is_first, right, -right))
    monkeypatch.setattr(student_module, "_average_members", lambda *_: _other_member(run))
    monkeypatch.setattr(_TestPart, "predict", lambda *_: np.where(is_first, -right, right))

    best, candidates, _ = _choose_candidate(small, test, True, Display(quiet=True))
    hits = {name: logits.argmax(axis=1) == test.labels for name, logits in candidates.items()}
    assert hits["student"].any() and hits["average"].any()
    table, classes = read_oof(run.fold(0))
    labels = [classes.index(label) for label in table["label"]]
    assert not (table["logits"].to_numpy().argmax(axis=1) == labels).any()

    # Should it be interrupted now, the next call begins with the student again.
    assert (run.fold(0).weights.read_bytes() == weights) is (best == "student")
    _put_student_back(run.fold(0))
    assert run.fold(0).weights.read_bytes() == weights
    assert not run.fold(0).oof.exists()


def _other_member(run: Run) -> torch.nn.Module:
    return load_member(run.fold(1).weights)
