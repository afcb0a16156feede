"""Generators: repeatable, and independent of each other."""

import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from bestiary.rng import keyed_rng


def stream(*key: object) -> bytes:
    return keyed_rng(*key).bytes(64)  # type: ignore[arg-type]


def test_the_same_name_gives_the_same_numbers_in_any_order_of_asking() -> None:
    keys = [(0, "view", 1, 2, 3), (0, "order", 1, 2), (7, "mix"), (0, "view", 3, 2, 1)]
    first = [stream(*key) for key in keys]
    assert [stream(*key) for key in reversed(keys)] == first[::-1]


def test_every_part_of_the_name_matters() -> None:
    numbers = list(itertools.product(range(4), repeat=3))
    keys = [
        (seed, purpose, *n) for seed in (0, 1) for purpose in ("view", "order") for n in numbers
    ]
    assert len({stream(*key) for key in keys}) == len(keys)
    assert stream(0, "x", 1, 2) != stream(0, "x", 2, 1)


def test_numbers_left_out_count_as_nought() -> None:
    assert stream(0, "x") == stream(0, "x", 0) == stream(0, "x", 0, 0, 0)


def test_streams_of_neighbors_do_not_overlap() -> None:
    streams = [keyed_rng(0, "view", 0, 0, row).integers(2**63, size=5000) for row in range(20)]
    assert len(np.unique(np.concatenate(streams))) == 100_000


def test_first_draws_over_rows_epochs_and_seeds_are_uniform_and_uncorrelated() -> None:
    ways = (
        lambda i: (i, "x", 3, 3),
        lambda i: (0, "x", i, 3),
        lambda i: (0, "x", 3, i),
        lambda i: (0, "x", 3, 3, i),
    )
    for way in ways:
        draws = np.array([keyed_rng(*way(i)).random(2) for i in range(2000)])
        assert kstest(draws[:, 0], "uniform").pvalue > 0.001
        assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.09
        assert abs(np.corrcoef(draws.T)[0, 1]) < 0.09


def test_the_numbers_are_the_same_on_every_machine() -> None:
    # A change here means that no run of an earlier version can be reproduced or resumed.
    assert keyed_rng(3, "view", 1, 2, 5).integers(1000, size=4).tolist() == [523, 668, 1, 69]


def test_large_seeds_and_numbers_are_taken() -> None:
    assert stream(2**63, "x", 2**40) != stream(2**63, "x", 2**40 + 1)


@pytest.mark.parametrize("key", [(-1, "x"), (0, "x", -1), (0, "x", 1, 2, 3, 4)])
def test_what_cannot_name_a_generator_is_an_error(key: tuple[object, ...]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        keyed_rng(*key)  # type: ignore[arg-type]
