"""Left-out classes: the better score is found, does not flatter itself, and decides in the run."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bestiary.errors import RunError
from bestiary.evaluation.left_out_classes import left_out_sets
from bestiary.run.ood import DECISION, read_ood, write_ood
from bestiary.stats.left_out import LeftOutSet, better_score, honest_rates, judge_set
from bestiary.stats.ood import OodDetector

RNG = np.random.default_rng(0)


def one_set(energy: float, distance: float, both: float) -> LeftOutSet:
    rates = {"energy": energy, "distance": distance, "both": both}
    return LeftOutSet([0], 10, rates, rates)  # type: ignore[arg-type]


def test_judge_set_counts_and_catches() -> None:
    known = np.stack([np.arange(100.0), RNG.normal(size=100)], axis=1)
    unknown = np.array([[97.5, 0.0], [200.0, 0.0], [-1.0, 0.0]])
    judged = judge_set([3], known, unknown)
    assert judged.auroc["energy"] == pytest.approx((98 + 100 + 0) / 300)
    assert judged.caught["energy"] == pytest.approx(2 / 3)


def test_energy_stays_without_a_gain() -> None:
    assert better_score([one_set(0.8, 0.7, 0.805)]) == "energy"
    assert better_score([one_set(0.8, 0.9, 0.85)]) == "distance"


def test_the_choice_does_not_flatter_itself() -> None:
    sets = [one_set(0.5, 0.9, 0.5), one_set(0.5, 0.3, 0.5), one_set(0.5, 0.3, 0.5)]
    # The first set is judged by energy, which the others choose; these by distance, as it wants.
    assert honest_rates(sets)[0] == pytest.approx((0.5 + 0.3 + 0.3) / 3)


def test_left_out_classes_far_away_are_told() -> None:
    labels = np.repeat(np.arange(6), 30)
    means = 3 * RNG.standard_normal((6, 20))
    features = (means[labels] + RNG.standard_normal((180, 20))).astype(np.float32)
    confusion = 25 * np.eye(6, dtype=np.int64)
    confusion[0, 1] = confusion[1, 0] = 5
    sets = list(left_out_sets(features, labels, np.arange(180) % 5, confusion))
    assert [one.classes for one in sets] == [[0], [1], [2], [3], [4], [5], [0, 1]]
    assert sets[-1].images == 60
    assert np.mean([one.auroc["both"] for one in sets]) > 0.8


@pytest.mark.parametrize("last", [[4], [4, 5]])
def test_a_fold_of_left_out_classes_alone(last: list[int]) -> None:
    """As a site with one animal, or two, is."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.repeat(np.arange(6), 30), np.repeat(last, 20)])
    means = 3 * rng.standard_normal((6, 20))
    features = (means[labels] + rng.standard_normal((len(labels), 20))).astype(np.float32)
    folds = np.where(np.arange(len(labels)) < 180, np.arange(len(labels)) % 2, 2)
    confusion = 25 * np.eye(6, dtype=np.int64)
    confusion[4, 5] = 5
    sets = list(left_out_sets(features, labels, folds, confusion))
    assert [one.classes for one in sets] == [[0], [1], [2], [3], [4], [5], [4, 5]]
    assert np.mean([one.auroc["both"] for one in sets]) > 0.8


def test_a_head_that_would_know_one_class_is_not_judged() -> None:
    """The second fold's head is fitted to the first fold, which has two classes."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.repeat([0, 1], 30), np.repeat(np.arange(4), 10)])
    features = (3 * np.eye(4)[labels] + rng.standard_normal((100, 4))).astype(np.float32)
    folds = (np.arange(100) >= 60).astype(np.int64)
    sets = list(left_out_sets(features, labels, folds, 20 * np.eye(4, dtype=np.int64)))
    assert [one.classes for one in sets] == [[2], [3]]


@pytest.mark.parametrize("score", ["distance", "both"])
def test_the_chosen_score_decides(tmp_path: Path, score: str) -> None:
    labels = RNG.integers(4, size=600)
    folds = RNG.integers(3, size=600)
    logits = 8 * np.eye(4)[labels] + RNG.standard_normal((600, 4))
    detector = OodDetector.fit(logits, labels, folds, score=score)  # type: ignore[arg-type]
    assert detector.score == score
    write_ood(tmp_path / "ood", detector)
    read = read_ood(tmp_path / "ood", 3, 4)
    assert read.score == score and read.deciding_limit == detector.deciding_limit
    # Far from every class and as confident as any: energy alone takes it for known.
    strange = np.tile([9.0, 9.0, 9.0, -30.0], (3, 1, 1))
    assert read.is_unknown(strange).all()
    assert not OodDetector.fit(logits, labels, folds).is_unknown(strange).any()


def test_a_damaged_decision_is_refused(tmp_path: Path) -> None:
    labels = np.arange(120) % 4
    logits = 8 * np.eye(4)[labels] + RNG.standard_normal((120, 4))
    detector = OodDetector.fit(logits, labels, np.arange(120) % 3, score="both")
    write_ood(tmp_path / "ood", detector)
    arrays = load_file(tmp_path / "ood")
    for damage in ([1.0, 1.0, np.nan], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0]):
        save_file(arrays | {DECISION: np.array(damage)}, tmp_path / "ood")
        with pytest.raises(RunError, match="decision"):
            read_ood(tmp_path / "ood", 3, 4)
