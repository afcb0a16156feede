"""The drift test: false alarms at its level, power, other class shares are no drift."""

import numpy as np
import pytest

from bestiary.stats.drift import MAX_IMAGES, _compared, drift_test

CLASSES = 5
MEANS = 2 * np.random.default_rng(7).normal(size=(CLASSES, 12))


def draw(n: int, seed: int, shares: list[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.choice(CLASSES, n, p=shares)
    return MEANS[classes] + rng.normal(size=(n, 12)), classes


@pytest.fixture(scope="module")
def old() -> tuple[np.ndarray, np.ndarray]:
    return draw(240, 0)


def test_false_alarms_keep_the_level() -> None:
    alarms = 0
    for seed in range(100):
        (old, old_classes), (new, new_classes) = draw(120, seed), draw(40, 1000 + seed)
        alarms += drift_test(old, new, old_classes, new_classes, seed).changed
    assert 0 < alarms <= 11  # 5 expected; more than 11 has a chance of 1 in 200


def test_a_change_is_found_and_measured(old: tuple[np.ndarray, np.ndarray]) -> None:
    new, classes = draw(80, 1)
    result = drift_test(old[0], new + 0.8, old[1], classes)
    assert result.changed
    assert 0.9 < result.auc.low < result.auc.value < result.auc.high < 1
    assert result.by_class.keys() == set(range(CLASSES))
    assert sum(n_new for _, _, n_new in result.by_class.values()) == result.images == 80


def test_the_images_that_carry_it(old: tuple[np.ndarray, np.ndarray]) -> None:
    new, classes = draw(80, 2)
    new[:40] += 1.5
    result = drift_test(old[0], new, old[1], classes)
    assert result.changed
    assert np.median(result.scores[:40]) > np.quantile(result.scores[40:], 0.9)


def test_other_class_shares_are_no_drift(old: tuple[np.ndarray, np.ndarray]) -> None:
    new, classes = draw(100, 3, [0.8, 0.05, 0.05, 0.05, 0.05])
    assert not drift_test(old[0], new, old[1], classes).changed


def test_too_few_or_no_images_say_nothing(old: tuple[np.ndarray, np.ndarray]) -> None:
    new, classes = draw(10, 4)
    few = drift_test(old[0], new + 5, old[1], classes)
    assert not few.can_tell and not few.changed
    foreign = drift_test(old[0], new, old[1], classes + CLASSES)
    assert foreign.images == 0 and np.isnan(foreign.scores).all()
    assert (foreign.auc.low, foreign.auc.high) == (0, 1)


def test_many_images_are_drawn_from() -> None:
    codes = np.zeros(MAX_IMAGES + 5, np.int64)
    rows = _compared(codes, codes, 0)
    assert len(rows) == 2 * MAX_IMAGES and len(np.unique(rows)) == len(rows)
