"""Clocks that jump: what is doubted, what is not, and what such a time is not used for."""

from datetime import UTC, datetime

import polars as pl
import pytest

from bestiary.data.clocks import describe_clocks, doubt_clocks, trust_clocks
from bestiary.data.events import find_events

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


def camera(times: list[str | None], first: int = 1) -> pl.DataFrame:
    names = [f"brook/IMG_{first + number:04}.jpg" for number in range(len(times))]
    return pl.DataFrame({"path": names, "site": ["brook"] * len(names), "time": times})


def july(n: int) -> list[str | None]:
    return [f"2026-07-{day + 1:02}T05:00:00" for day in range(n)]


def doubts(table: pl.DataFrame) -> dict[int, str]:
    found = doubt_clocks(table, NOW).to_list()
    return {place: reason for place, reason in enumerate(found) if reason}


def test_future_and_early_times() -> None:
    times = ["2026-08-02T11:00:00+12:00", "2026-08-03", "2031-01-01T00:00:00", None, "1989-12-31"]
    assert doubts(camera(times)) == {1: "in the future", 2: "in the future", 4: "before 1990"}
    assert doubts(camera(times).drop("time")) == {}


def test_a_clock_that_starts_again() -> None:
    reset = [f"2020-01-01T00:{minute:02}:00" for minute in range(4)]
    assert doubts(camera(july(20) + reset)) == dict.fromkeys(range(20, 24), "going back")
    jump = [*july(5), "2026-07-30T05:00:00", *july(20)[5:]]
    assert doubts(camera(jump)) == {5: "going back"}  # ahead, and back again


@pytest.mark.parametrize(
    "table",
    [
        camera(july(20)),
        camera(july(20)[::-1]),  # the numbers do not follow the time
        camera([*july(5), *july(3)]),  # too few to know
        camera([*july(20), *july(3)], first=9_980),  # the camera has counted to the end
        camera([*july(20), "2026-07-20T04:00:00"]),  # winter time
    ],
)
def test_what_is_not_doubted(table: pl.DataFrame) -> None:
    assert doubts(table) == {}


def test_two_cards_of_a_site() -> None:
    second = camera(july(3)).with_columns(path="b" + pl.col("path"))
    assert doubts(pl.concat([camera(july(20)), second])) == {}


def test_doubted_times_make_no_event() -> None:
    table = camera(["2099-01-01T00:00:00", "2099-01-01T00:00:01", *july(1), None])
    assert trust_clocks(table)["time"].to_list() == [None, None, *july(1), None]
    events = find_events(table, 30)
    assert events is not None
    assert events.to_list() == [None, None, "brook/IMG_0003.jpg", None]
    assert table["time"].null_count() == 1  # the column itself stays


def test_clocks_in_words() -> None:
    line = describe_clocks(camera(["1970-01-01T00:00:09", *july(1)]))
    assert line.startswith(
        "Clocks: 1\N{NO-BREAK SPACE}time cannot be right (1 before 1990), such as 1970-01-01T00"
    )
    assert describe_clocks(camera(july(1))) == ""
    assert describe_clocks(camera(["1970-01-01T00:00:09"]).drop("site")) == ""
