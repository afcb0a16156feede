"""The ensemble's accuracy without held-out images, and what picking the best epoch flatters."""

import numpy as np
import pytest

from bestiary.stats.ensemble_gain import ensemble_estimate, pick_optimism


def test_the_estimate_lies_above_the_members_and_its_interval_holds_both_ends() -> None:
    hits = np.arange(1000) % 20 != 0  # 0.95
    found = ensemble_estimate(hits, np.arange(1000), 5)
    assert found.value == pytest.approx(1 - 0.87 * 0.05)
    assert found.low < 0.95 < 1 - 0.7 * 0.05 < found.high
    assert "0.87" in found.method


def test_one_member_gains_nothing_and_more_members_gain_more() -> None:
    hits = np.arange(1000) % 20 != 0
    values = [ensemble_estimate(hits, np.arange(1000), members).value for members in (1, 2, 5, 10)]
    assert values[0] == pytest.approx(0.95)
    assert values == sorted(values)


def test_copies_widen_it_and_fewer_new_images_too() -> None:
    hits = np.arange(1000) % 20 != 0
    alone = ensemble_estimate(hits, np.arange(1000), 5)
    copied = ensemble_estimate(np.repeat(hits, 3), np.repeat(np.arange(1000), 3), 5)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.05)
    few, many = alone.on(50), alone.on(10**9)
    assert few[0] < many[0] and many[1] < few[1]
    assert many == pytest.approx((alone.low, alone.high))


def test_no_errors_still_leave_an_interval() -> None:
    found = ensemble_estimate(np.ones(30, bool), np.arange(30), 5)
    assert found.value == 1.0
    assert 0.8 < found.low < 1.0


def test_it_holds_on_simulated_ensembles_whatever_they_gain() -> None:
    """A world in which members err independently in part: ratios of errors from about 0.75 to 1."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        error, ratio = rng.uniform(0.03, 0.2), rng.uniform(0.72, 1.0)
        estimate = ensemble_estimate(rng.random(1500) > error, np.arange(1500), 5)
        low, high = estimate.on(400)
        held += low <= (rng.random(400) > ratio * error).mean() <= high
    assert 184 <= held <= 200


def test_optimism_is_the_gain_of_picking_by_the_own_part() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(0.9, 0.01, (5, 40))  # nothing but noise: the pick gains two to three spreads
    assert 0.015 < pick_optimism(flat.tolist()) < 0.035
    same = [[0.5, 0.7, 0.9, 0.8]] * 5
    assert pick_optimism(same) == 0.0
    assert (
        pick_optimism([[None, 0.9], [None, 0.8]]) == 0.0
    )  # one epoch was scored, so none was picked
