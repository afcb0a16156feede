"""`drift`: the same world and another one, images that were trained on, the monitor of a watch."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.errors import RunError
from bestiary.evaluation.drift_features import project
from bestiary.evaluation.drifting import (
    NEW_IMAGES,
    AccuracyEstimate,
    DriftMonitor,
    World,
    describe_drift,
)
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.run.run import Run

CLASSES = 4


def logits(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Logits of three members that differ in their spread."""
    rng = np.random.default_rng(seed)
    own = 6 * np.eye(CLASSES)[rng.integers(CLASSES, size=n)]
    noise = rng.standard_normal((3, n, CLASSES)) + shift * np.array([1, -1, 1, 0])
    return ((own + noise) * np.array([1, 2, 3])[:, None, None]).astype(np.float32)


@pytest.fixture
def world() -> World:
    seen = logits(300, 0)
    members = np.arange(300) % 3
    scales = np.array([seen[m].std() for m in range(3)], np.float64)
    own = seen[members, np.arange(300)] / scales[members][:, None]
    return World(own.astype(np.float64), members, scales)


def test_members_of_other_spread_are_no_drift(world: World) -> None:
    assert not world.compare(logits(100, 1)).changed
    changed = world.compare(logits(100, 1, 1.2))
    assert changed.changed and describe_drift(changed).startswith("Drift: the new")
    with pytest.raises(RunError, match="members"):
        world.compare(logits(100, 1)[:2])


def test_bursts_count_once(world: World) -> None:
    """Five frames of an event are one piece of evidence: else they are a change by themselves."""
    alarms = {"grouped": 0, "single": 0}
    for seed in range(40):
        frames = np.repeat(logits(30, 100 + seed), 5, axis=1)
        alarms["single"] += world.compare(frames).changed
        grouped = world.compare(frames, np.repeat(np.arange(30), 5))
        alarms["grouped"] += grouped.changed
        assert grouped.images == 30 and len(grouped.scores) == 150
        assert np.array_equal(grouped.scores[0::5], grouped.scores[4::5], equal_nan=True)
    assert alarms["grouped"] <= 6  # 2 expected; more than 6 has a chance of 1 in 200
    assert alarms["single"] > 2 * max(alarms["grouped"], 2)


def test_features_show_what_logits_hide(world: World) -> None:
    rng = np.random.default_rng(3)
    old = rng.normal(size=(len(world.logits), 40)).astype(np.float32)
    same, other = rng.normal(size=(2, 80, 40)).astype(np.float32)
    seen = logits(80, 4)
    assert not world.compare(seen, features=project(old, same)).changed
    assert world.compare(seen, features=project(old, other + 1)).changed
    assert project(old[:20], same[:20]).new.shape == (20, 10)
    frames = np.repeat(seen, 2, axis=1)
    both = project(old, np.repeat(other + 1, 2, axis=0))
    assert world.compare(frames, np.repeat(np.arange(80), 2), both).images <= 80


def test_world_is_of_events_not_of_sites() -> None:
    """With folds by site, a site has many events, and each counts."""
    n = 60
    table = pl.DataFrame(
        {
            "label": np.where(np.arange(n) % 2, "a", "b"),
            "fold": np.arange(n) // 20,
            "site": [f"site-{row // 20}" for row in range(n)],
            "group": [f"event-{row // 2}" for row in range(n)],
            "sha256": [f"{row:064}" for row in range(n)],
            "duplicate_group": pl.Series([None] * n, dtype=pl.Int64),
            "logits": pl.Series(np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)),
        }
    )
    assert len(World.of(OutOfFold(table, ["a", "b"], "site")).logits) == n // 2
    assert len(World.of(OutOfFold(table, ["a", "b"])).logits) == n // 2


def test_fewer_images_have_a_wider_estimate() -> None:
    estimate = AccuracyEstimate(np.array([0.01, -0.01, 0.02]), 100.0)
    many = estimate.expected_accuracy(np.full(200, 0.9))
    few = estimate.expected_accuracy(np.full(25, 0.9))
    assert many.value == pytest.approx(few.value)
    assert few.high - few.low == pytest.approx(2 * (many.high - many.low))


def test_monitor_tells_once_of_a_lasting_change(world: World) -> None:
    told: list[str] = []
    monitor = DriftMonitor(world, 60, latest=True)
    for batch in range(10):
        monitor.notify(told.append, logits(NEW_IMAGES // 2, batch))
    assert told == []
    for batch in range(20):
        monitor.notify(told.append, logits(NEW_IMAGES // 2, batch, 1.5))
    assert len(told) == 1 and "Drift: the new" in told[0]


def test_monitor_keeps_a_sample_of_all(world: World) -> None:
    monitor = DriftMonitor(world, 30)
    assert monitor.line() == ""
    monitor.add(logits(200, 3))
    result = monitor.result()
    assert monitor.images == 200 and result and result.images == 30


@pytest.mark.slow
def test_drift_of_a_run(
    trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    bestiary.sample(new, species=3, per_species=8, size=48, seed=5, quiet=True)
    known = sorted(beasts.rglob("*.jpg"))[0]
    (new / "known.jpg").write_bytes(known.read_bytes())
    table = tmp_path / "drift.csv"
    assert main(["drift", str(trained.path), str(new), "--out", str(table), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "Expected accuracy" in text and "Left out: 1 " in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(table.read_text().splitlines()) == 25

    # Two frames of a site within seconds are one event
    files = sorted(path.relative_to(new).as_posix() for path in new.rglob("*/*.jpg"))
    frames = pl.DataFrame(
        {
            "path": files,
            "site": ["brook"] * len(files),
            "time": [f"2026-07-01T05:{row // 2:02}:{row % 2:02}" for row in range(len(files))],
        }
    )
    frames.write_csv(new / "frames.csv")
    report = bestiary.drift(trained.path, new / "frames.csv", quiet=True)
    assert report.groups == 12 and report.images.height == 24
    assert "24 images in 12 groups" in str(report)


@pytest.mark.slow
def test_probe_is_compared_by_features(beasts: Path, tmp_path: Path) -> None:
    """A probe leaves the features of its images in the cache."""
    overrides = ["view.size=64", "view.eval_size=64"]
    run = bestiary.probe(beasts, tmp_path / "run", overrides=overrides, quiet=True)
    new = tmp_path / "new"
    bestiary.sample(new, species=3, per_species=8, size=48, seed=5, quiet=True)
    report = bestiary.drift(run.path, new, quiet=True)
    assert report.by == "features" and "features of the frozen network" in str(report)
    assert report.images["score"].is_not_null().any()
