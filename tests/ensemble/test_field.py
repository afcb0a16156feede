"""Answers in the field: lists of species, what they remove, rows of events, and field.json."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bestiary.ensemble.event_rows import EventRows, in_event_order
from bestiary.ensemble.field_rules import FieldRules
from bestiary.ensemble.only import RemovedShares, read_only
from bestiary.errors import ArgumentError, DamagedError
from bestiary.run.field_card import FieldCard, read_field_card, read_sightings
from bestiary.run.layout import FIELD
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration

CLASSES = ["empty", "Lynx lynx", "Vulpes vulpes"]


def listed(folder: Path, text: str) -> Path:
    file = folder / "list.txt"
    file.write_text(text, encoding="utf-8")
    return file


def test_list_keeps_empty_and_names_strangers(tmp_path: Path) -> None:
    allowed, line = read_only(listed(tmp_path, "# park\nlynx LYNX\n\nUrsus arctos\n"), CLASSES)
    assert allowed.tolist() == [True, True, False]
    assert line.startswith("Only 2 of 3 classes can be answered, empty with them; 1 name")
    assert line.endswith("Ursus arctos")


@pytest.mark.parametrize("text", ['"lynx lynx"', "lynx lynx,", "\ufefflynx lynx", "'LYNX lynx';"])
def test_lists_of_spreadsheets_are_read(tmp_path: Path, text: str) -> None:
    allowed, line = read_only(listed(tmp_path, text + "\r\n"), CLASSES)
    assert "no class" not in line
    assert allowed.tolist() == read_only(listed(tmp_path, "lynx lynx"), CLASSES)[0].tolist()


def test_list_of_classes_that_differ_in_capitals(tmp_path: Path) -> None:
    classes = ["Empty", "Lynx", "empty", "lynx", "Vulpes"]
    exact, _ = read_only(listed(tmp_path, "Lynx\n"), classes)
    assert exact.tolist() == [True, True, True, False, False]
    either, _ = read_only(listed(tmp_path, "LYNX\n"), classes)
    assert either.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Lynx lyns\n", "did you mean Lynx lynx"),
        ("Ursus arctos\n", "has none of the 3 classes"),
        ("", "has none of the 3 classes"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        read_only(listed(tmp_path, text), CLASSES)


def test_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_only(tmp_path / "none.txt", CLASSES)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_only(tmp_path / "bytes.txt", CLASSES)


def test_removed_mass() -> None:
    rules = FieldRules(None, FieldCard(), np.array([True, True, False]))
    shown, removed = rules.remove(np.array([[0.1, 0.1, 0.8], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(shown, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(removed, [0.8, 0, 1])


def test_removed_mass_in_words() -> None:
    shares = RemovedShares()
    assert not str(shares)
    shares.add([{"path": "a", "removed": 0.2}, {"path": "b", "removed": 0.9}, {"path": "c"}])
    assert "55.0" in str(shares) and "1\N{NO-BREAK SPACE}image the larger part" in str(shares)
    assert "first b" in str(shares)


def test_rows_wait_for_their_event() -> None:
    table = in_event_order(pl.DataFrame({"path": ["a", "b", "c"], "event": ["x", None, "x"]}))
    assert table["path"].to_list() == ["b", "a", "c"]
    rows = EventRows(table["event"], lambda logits: {"event_label": str(logits.sum())})
    assert rows.add({"path": "b", "event": None}, None) == [{"path": "b", "event": None}]
    assert rows.add({"path": "a", "event": "x", "unknown": False}, np.ones((2, 3))) == []
    done = rows.add({"path": "c", "event": "x", "error": "damaged"}, None)
    assert [row.get("event_label") for row in done] == ["6.0", None]


def test_unknown_event_is_not_accepted() -> None:
    rows = EventRows(pl.Series(["x"]), lambda logits: {"event_accepted": True})
    (row,) = rows.add({"path": "a", "event": "x", "unknown": True}, np.ones((1, 2)))
    assert row["event_accepted"] is False


def test_sightings() -> None:
    table = pl.DataFrame({"lat": [46.0, None], "lon": [8.0, 9.0], "time": ["2026-07-01", None]})
    sightings = read_sightings(table)
    assert sightings is not None
    assert sightings.month.tolist() == [7, 0] and sightings.has_place.tolist() == [True, False]
    assert read_sightings(table.drop("lat")) is None


def calibration(classes: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 200)
    return Calibration.fit(
        np.eye(classes)[labels] + rng.normal(size=(200, classes)), labels
    ).to_json()


def test_card_is_read_back(tmp_path: Path) -> None:
    card = {
        "events": {"seconds": 30.0, "calibration": calibration(3)},
        "prior": {
            "kilometers": 5.0,
            "smoothing": 1.0,
            "strength": 1.0,
            "calibration": calibration(3),
        },
        "ranks": {
            "levels": ["label", "genus"],
            "thresholds": {risk: [0.9, 0.8] for risk in ("0.01", "0.02", "0.05", "0.1")},
        },
    }
    (tmp_path / FIELD).write_text(json.dumps(card))
    read = read_field_card(Run(tmp_path), 3)
    assert read.event_seconds == 30 and read.prior is not None and read.prior.kilometers == 5
    assert read.thresholds is not None and read.thresholds[0.05] == [0.9, 0.8]
    assert read_field_card(Run(tmp_path / "none"), 3) == FieldCard()


@pytest.mark.parametrize(
    "card",
    [
        {"events": {"seconds": -1.0, "calibration": calibration(3)}},
        {"events": {"seconds": 30.0, "calibration": calibration(4)}},
        {"events": {"seconds": 30.0, "calibration": {}}},
        {"prior": {"kilometers": 0.0, "smoothing": 1.0, "strength": 1.0, "calibration": {}}},
        {"ranks": {"levels": ["label"], "thresholds": {"0.05": [0.5]}}},
        {"ranks": {"levels": ["label"], "thresholds": {"0.05": [9.0]}}},
    ],
)
def test_foreign_cards(tmp_path: Path, card: dict[str, object]) -> None:
    (tmp_path / FIELD).write_text(json.dumps(card))
    with pytest.raises(DamagedError, match=FIELD):
        read_field_card(Run(tmp_path), 3)
