"""Small histograms of a page: their bars, their axis, and the range of the middle half."""

import re

import numpy as np
import polars as pl
import pytest

from bestiary.reporting.charts.axes import whole_percent
from bestiary.reporting.histogram import BINS, histogram, middle_half
from bestiary.reporting.shapes import shape_charts


def test_bars_have_the_counts_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=500)
    drawing = histogram(values, "a title")
    counts = [int(text) for text in re.findall(r"<title>(\d+)</title>", drawing)]
    expected, _ = np.histogram(values, BINS)
    assert counts == [count for count in expected if count]
    assert sum(counts) == 500


def test_steps_of_equal_ratio() -> None:
    values = np.array([1.0, 10.0, 100.0] * 5)
    places = re.findall(r'<rect x="([\d.]+)"', histogram(values, "a title", log=True))
    first, second, third = map(float, places)
    assert second - first == pytest.approx(third - second, abs=12.0), "one bin"


def test_equal_values_have_one_bar() -> None:
    assert str(histogram([3, 3, 3], "a title")).count("<rect") == 1


def test_texts_are_escaped() -> None:
    assert "<b>" not in histogram([1, 2], "<b>", "<b>")


def test_shapes_are_named_by_their_finding() -> None:
    images = pl.DataFrame({"height": [100, 100, 200, 100], "width": [300, 200, 100, 100]})
    short, shape = shape_charts(images)
    assert short["title"] == "Half are 100 to 100 px on the short side"
    assert shape["title"].replace("\N{NO-BREAK SPACE}", " ") == "50 % are wide, 25 % tall"


def test_ticks_between_whole_per_cents_say_so() -> None:
    ticks = [whole_percent(value) for value in (0, 0.005, 0.015, 0.02, 1)]
    assert [tick.split("\N{NO-BREAK SPACE}")[0] for tick in ticks] == [
        "0",
        "0.5",
        "1.5",
        "2",
        "100",
    ]


def test_middle_half_holds_half() -> None:
    values = np.arange(1, 1001)
    low, high = map(float, middle_half(values).replace(",", "").split(" to "))
    assert ((values >= low) & (values <= high)).mean() == pytest.approx(0.5, abs=0.01)
