"""`next`: unsure and spread out, no near duplicates, and its gain is simulated honestly."""

from pathlib import Path

import numpy as np
import pytest

import bestiary
from bestiary.errors import ArgumentError
from bestiary.evaluation.labeling_gain import LabelingGain, gain_of
from bestiary.evaluation.next_images import gain_lines
from bestiary.run.run import Run
from bestiary.stats.batch_choice import choose_batch


def test_choice_is_spread_out_and_has_no_copies() -> None:
    rng = np.random.default_rng(0)
    centers = 20 * rng.standard_normal((5, 8))
    vectors = np.repeat(centers, 4, axis=0) + 1e-6 * rng.standard_normal((20, 8))
    chosen = choose_batch(vectors, np.ones(20), np.zeros((1, 8)), 5)
    assert sorted(chosen // 4) == [0, 1, 2, 3, 4]
    # What is already labeled, or certain, comes last.
    order = choose_batch(vectors, np.repeat([0.0, 1, 1, 1, 1], 4), centers[1:2], 20)
    assert set(order[:3] // 4) == {2, 3, 4} and len(set(order.tolist())) == 20


def test_gain_of_hard_classes_and_of_easy_ones() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 150)
    means = 2.2 * np.eye(4, 10)
    vectors = (means[labels] + rng.standard_normal((600, 10))).astype(np.float32)
    gain = gain_of(vectors, labels, np.arange(600), 4)
    assert gain.random.shape == gain.chosen.shape == (3, len(gain.labels))
    assert (gain.random[:, 0] == gain.chosen[:, 0]).all()  # both start alike
    assert gain.chosen.mean() > gain.random.mean() - 0.02


def test_no_gain_is_said() -> None:
    labels = np.array([10.0, 20, 30])
    random = np.array([[0.5, 0.7, 0.8]] * 3)
    better = LabelingGain(labels, random, np.array([[0.5, 0.8, 0.9]] * 3))
    assert better.saved == pytest.approx(1 / 3)
    assert "saved 33" in gain_lines(better)[0]
    same = LabelingGain(labels, random, random)
    assert same.saved == pytest.approx(0)
    never = LabelingGain(labels, random, random - 0.1)
    assert never.saved == -1
    for useless in (same, never):
        assert "gains nothing" in gain_lines(useless)[0]
    assert "not known" in gain_lines(None)[0]


@pytest.mark.slow
def test_next_of_a_run(trained: Run, tmp_path: Path) -> None:
    bestiary.sample(tmp_path / "new", species=3, per_species=4, size=48, seed=5, quiet=True)
    table = tmp_path / "next.csv"
    chosen = bestiary.next(trained.path, tmp_path / "new", count=5, out=table, quiet=True)
    assert chosen.images.height == 5 == len(table.read_text().splitlines()) - 1
    assert chosen.images["path"].n_unique() == 5
    with pytest.raises(ArgumentError, match="--count 0"):
        bestiary.next(trained.path, tmp_path / "new", count=0, quiet=True)
