"""Events by site and time: gaps, unknown times, the user's own column; and who shares a fold."""

import numpy as np
import polars as pl
import pytest

from bestiary.data.events import describe_events, find_events, join_events
from bestiary.data.folds import assign_folds, fold_groups
from bestiary.data.near_duplicates.moments import Moments
from bestiary.errors import DataError

START = "2026-07-01T05:00:"


def frames(sites: list[str | None], times: list[str | None]) -> pl.DataFrame:
    paths = [f"{number}.jpg" for number in range(len(sites))]
    return pl.DataFrame(
        {
            "path": paths,
            "label": ["lynx", "deer"] * (len(paths) // 2) + ["lynx"] * (len(paths) % 2),
            "group": pl.Series([None] * len(paths), dtype=pl.String),
            "sha256": [f"digest {number}" for number in range(len(paths))],
            "duplicate_group": pl.Series([None] * len(paths), dtype=pl.String),
            "site": pl.Series(sites, dtype=pl.String),
            "time": pl.Series(times, dtype=pl.String),
        }
    )


def test_gaps_are_between_neighbors() -> None:
    times = [START + second for second in ("00", "25", "50")] + ["2026-07-01T05:02:00"]
    assert find_events(frames(["a"] * 4, times), 30).to_list() == ["0.jpg"] * 3 + ["3.jpg"]  # type: ignore[union-attr]


def test_sites_and_unknown_times() -> None:
    table = frames(
        ["a", "b", "a", None, "a"], [START + "00", START + "01", None, START + "02", START + "03"]
    )
    events = find_events(table, 30)
    assert events is not None
    assert events.to_list() == ["0.jpg", "1.jpg", None, None, "0.jpg"]


def test_own_events_win() -> None:
    table = frames(["a", "a"], [START + "00", START + "01"]).with_columns(
        event=pl.Series(["x", "y"])
    )
    assert find_events(table, 30).to_list() == ["x", "y"]  # type: ignore[union-attr]


@pytest.mark.parametrize("column", ["site", "time"])
def test_no_events_without_columns(column: str) -> None:
    table = frames(["a", "a"], [START + "00", START + "01"])
    assert find_events(table.drop(column), 30) is None
    assert find_events(table, 0) is None
    assert join_events(table.drop(column), 30).equals(table.drop(column))


def test_events_share_a_group() -> None:
    table = join_events(frames(["a", "a", "b"], [START + "00", START + "01", START + "02"]), 30)
    assert table["group"].to_list() == ["0.jpg", "0.jpg", None]
    assert "3 images in 2 events" in describe_events(table, 30)


def test_folds_by_site() -> None:
    sites = [f"site {number}" for number in range(10) for _ in range(8)]
    table = frames(sites, [None] * 80)  # type: ignore[list-item]
    groups = fold_groups(table, "site")
    folds = assign_folds(table["path"], table["label"], groups, 5, 0)
    assert all(len(set(folds[np.array(sites) == site])) == 1 for site in sites)
    assert np.bincount(folds).tolist() == [16] * 5
    assert len(np.unique(fold_groups(table, "image"))) == 80


def test_images_without_site_stand_alone() -> None:
    groups = fold_groups(frames([None, None, "a", "a"], [None] * 4), "site")
    assert len(np.unique(groups)) == 3


def test_folds_by_site_need_sites() -> None:
    with pytest.raises(DataError, match="the images have no sites; give a table"):
        fold_groups(frames(["a"], [None]).drop("site"), "site")


def test_moments_tell_frames_from_copies() -> None:
    table = frames(["a", "a", "b", "a"], [START + "00", START + "05", START + "05", START + "00"])
    moments = Moments.of([table, table.drop("site")])
    pairs = np.array([[0, 1], [0, 2], [0, 3]])
    differ = moments.differ([f"digest {number}" for number in range(4)], pairs)
    assert differ.tolist() == [True, False, False]
    assert str(moments) and not str(Moments.of([table.drop("time")]))
