"""Details: shown when asked for, timed without counting twice, and Python's own logging."""

import logging
import threading
from collections.abc import Iterator

import pytest

from bestiary import details as module
from bestiary.details import LOGGER, OTHER, detail, details_shown, stage
from bestiary.errors import DataError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a list of one number to change."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def lines(printed: str) -> list[str]:
    """Lines as they were printed, with plain spaces."""
    return [" ".join(line.split()) for line in printed.splitlines()]


def test_nothing_is_shown_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    with details_shown(0):
        detail("decided")
        with stage("Counting"):
            pass
    assert capsys.readouterr() == ("", "")


def test_stages_count_once(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with details_shown(1):
        clock[0] = 1.0
        with stage("Training"):
            clock[0] += 2.0
            with stage("Reading", said=False):
                clock[0] += 5.0
            with stage("Reading", said=False):
                clock[0] += 1.0
    assert lines(capsys.readouterr().err) == [
        "9.00 s Training: 8.00 s",
        "9.00 s where the time went:",
        "6.00 s Reading",
        "2.00 s Training",
        f"1.00 s {OTHER}",
    ]


def test_work_of_threads_is_no_time_of_its_own(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with stage("Uploading"):
            clock[0] += 3.0

    with details_shown(1), stage("Waiting"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    printed = lines(capsys.readouterr().err)
    assert printed[0] == "3.00 s Uploading: 3.00 s"
    assert printed[-1] == "3.00 s Waiting"


def test_failed_stages_are_timed(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError), details_shown(1), stage("Reading"):
        clock[0] += 2.0
        raise DataError("gone")
    printed = capsys.readouterr().err
    assert "Reading: 2.00" in printed
    assert "Traceback" not in printed


def test_level_two_shows_where_errors_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError), details_shown(2):
        raise DataError("red \x1b[31m")
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "\x1b" not in printed


def test_names_do_not_steer(capsys: pytest.CaptureFixture[str]) -> None:
    with details_shown(1):
        detail("100 % of\n\x1b[2J")
    assert capsys.readouterr().err.endswith("100 % of\\n\\x1b[2J\n")


@pytest.fixture
def own_level() -> Iterator[None]:
    before = LOGGER.level
    yield
    LOGGER.setLevel(before)


def test_programs_take_details_by_logging(
    own_level: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    with details_shown(1):
        pass
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before
    with caplog.at_level(logging.INFO, logger="bestiary"):
        detail("graph: from the cache")
    assert caplog.messages == ["graph: from the cache"]
    assert capsys.readouterr().err == ""
