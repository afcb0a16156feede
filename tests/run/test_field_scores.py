"""Scores in the field: read from metrics.json with care, and put into words."""

import json
from pathlib import Path

import pytest

from bestiary.errors import DamagedError
from bestiary.run.field_scores import FieldScores, field_lines, read_field_scores
from bestiary.run.layout import METRICS
from bestiary.run.run import Run


def score(value: float, n: int = 40, groups: int = 12) -> dict[str, object]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05, "n": n, "groups": groups}


PLACES = {
    "by": "site",
    "sites": [
        {"site": "mill", **score(0.2, 7)},
        {"site": "brook", **score(0.5)},
        {"site": "hill", **score(0.9)},
    ],
    "known": score(0.92),
    "new": score(0.71),
    "gap": {"value": 0.21, "low": 0.1, "high": 0.3},
    "heads": False,
}


def read(folder: Path, field: object) -> FieldScores:
    (folder / METRICS).write_text(json.dumps({"oof": {}, "field": field}))
    return read_field_scores(Run(folder))


def test_known_and_new_sites(tmp_path: Path) -> None:
    text = " ".join(field_lines(read(tmp_path, {"places": PLACES}))).replace("\xa0", " ")
    assert "At known sites 92.0 %" in text and "at new ones 71.0 %" in text
    assert "12 sites; from known to new \N{MINUS SIGN}21.0 points" in text
    assert "20 images or more: brook, 50.0 %" in text  # 7 images of the mill say too little


def test_runs_without_sites_say_nothing(tmp_path: Path) -> None:
    assert field_lines(read(tmp_path, {})) == []
    assert field_lines(read_field_scores(Run(tmp_path / "none"))) == []


@pytest.mark.parametrize(
    "field",
    [
        {"places": PLACES | {"known": score(1.5)}},
        {"places": PLACES | {"by": "moon"}},
        {"ranks": [{"rank": "genus"}]},
        [],
    ],
)
def test_foreign_scores(tmp_path: Path, field: object) -> None:
    with pytest.raises(DamagedError, match=METRICS):
        read(tmp_path, field)
