"""The sample of images for int8: calibration and test are disjoint."""

import polars as pl
import pytest

from bestiary.exporting.sample import split_calibration


@pytest.mark.parametrize(
    ("n_trained", "n_held_out", "folds", "sizes"),
    [
        # two folds: every image can be tested on
        (0, 40, [0, 1], (10, 15)),
        # a pruned member: its images calibrate first
        (0, 40, [1], (10, 15)),
        # a student: it was trained on the others
        (30, 8, [0, 1], (10, 8)),
        # few images
        (0, 12, [0, 1], (6, 6)),
    ],
)
def test_split_calibration_is_disjoint(
    n_trained: int, n_held_out: int, folds: list[int], sizes: tuple[int, int]
) -> None:
    table = pl.DataFrame(
        {
            "path": [str(n) for n in range(n_trained + n_held_out)],
            "fold": [-1] * n_trained + [0, 1] * (n_held_out // 2),
        }
    )
    calibration, test = split_calibration(table, folds, 10, 15)
    assert (calibration.height, test.height) == sizes
    assert set(test["fold"]) <= set(folds) and not set(calibration["path"]) & set(test["path"])
