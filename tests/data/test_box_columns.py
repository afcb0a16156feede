"""Many boxes at a time: the same text, names and reasons as one by one."""

import numpy as np
import polars as pl
import pytest

from bestiary.data.box_columns import check_boxes, name_boxes
from bestiary.storage.boxes import checked_box, path_with_box


def one_by_one(values: object) -> str:
    try:
        return str(checked_box([float(value) for value in values]))  # type: ignore[attr-defined]
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("decimals", [3, 4, 6, 7, 17])
def test_boxes_are_as_one_by_one(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    low, high = [-0.002, -0.002, -0.01, -0.01], [1, 1, 0.7, 0.7]
    values = rng.uniform(low, high, (2000, 4)).round(decimals).tolist()
    values += [[0.1234565, 0.0000005, 0.5, 0.5], [0, 0, 1, 1], [0.5, 0.5, 0.5009, 0.5]]
    boxes, reasons = check_boxes(values)
    found = [reasons.get(place, box) for place, box in enumerate(boxes)]
    assert found == [one_by_one(value) for value in values]
    assert 100 < boxes.null_count() == len(reasons) < 1900


def test_names_are_as_one_by_one() -> None:
    values = np.random.default_rng(0).uniform(0, 0.5, (500, 4)).tolist()
    values += [[0, 0, 1, 1], [0.1, 0.01, 0.001, 0.000001], [0.999999, 0.5, 0.000001, 0.5]]
    boxes, _ = check_boxes(values)
    names = name_boxes(pl.Series(["a/1.jpg"] * len(values)), boxes)
    assert names.to_list() == [path_with_box("a/1.jpg", checked_box(one)) for one in values]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "a box is no list of 4 numbers"),
        ("0.1", "a box is no list of 4 numbers"),
        ({"x": 1}, "a box is no list of 4 numbers"),
        ([[0, 0, 1, 1]], "a box is no list of 4 numbers"),
        ([10**400, 0, 1, 1], "a box is no list of 4 numbers"),
        ([0, 0, 1], "a box has 4 numbers, not 3"),
        ([], "a box has 4 numbers, not 0"),
        ([0, 0, float("inf"), 1], "box 0,0,inf,1 has a value that is no number"),
        ([0, 0, 1e-9, 1], "box 0,0,1e-09,1 has no area"),
        ([1.0005, 0, 0.0001, 1], "box 1.0005,0,0.0001,1 has no area"),
    ],
)
def test_what_is_no_box_has_its_reason(value: object, reason: str) -> None:
    for others in ([], [[0.1, 0.2, 0.3, 0.4]]):
        boxes, reasons = check_boxes([*others, value])
        assert boxes.to_list() == [*["0.1,0.2,0.3,0.4"][: len(others)], None]
        assert reasons == {len(others): reason}


def test_no_boxes_are_no_boxes() -> None:
    boxes, reasons = check_boxes([])
    assert (boxes.len(), reasons) == (0, {})
    assert name_boxes(pl.Series([], dtype=pl.String), boxes).len() == 0
