"""The comparison with other tools records what it ran, and nothing beside it."""

from typing import Any

import pytest

from accuracy import run


def result(contender: str, minutes: float) -> dict[str, Any]:
    found = {"set": "beasts", "seed": 0, "minutes": minutes, "contender": contender}
    found |= {"hits": "1110", "images": 4, "accuracy": 0.75, "minutes_trained": minutes / 2}
    if contender == run.OWN:
        found |= {"members": [0.7, 0.8], "claim": 0.75, "claim_interval": [0.6, 0.9]}
    return found


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []

    def keep(claim: str, *_: Any, case: str, note: str, **__: Any) -> None:
        found.append((claim, case, note))

    monkeypatch.setattr(run, "record", keep)
    return found


def test_other_minutes_keep_their_record(
    monkeypatch: pytest.MonkeyPatch, recorded: list[tuple[str, str, str]]
) -> None:
    rows = [result(name, minutes) for minutes in (10, 30) for name in (run.OWN, "timm")]
    monkeypatch.setattr(run, "results", lambda: rows)
    run.record_ratios([30], "side by side")
    assert recorded == [
        (claim, "30 minutes of one core", "side by side")
        for claim in ("fewer-mistakes-than-tools", "printed-interval-holds", "budget-is-kept")
    ]


def test_peer_alone_promises_nothing(
    monkeypatch: pytest.MonkeyPatch, recorded: list[tuple[str, str, str]]
) -> None:
    monkeypatch.setattr(run, "results", lambda: [result("timm", 30)])
    run.record_ratios([30], "")
    assert recorded == []
