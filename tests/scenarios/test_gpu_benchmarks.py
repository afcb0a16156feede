"""benchmarks/gpu: its command lines are those of today, and a stage runs alone, tiny, on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bestiary
from bestiary.cli import build_app
from bestiary.recipe.load import load_recipe
from gpu import checks, prediction, speed
from gpu.images import ShortTraining, large_set
from gpu.kit import Done, Kit
from harness.results import read_line

RUN = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"
WORDS: list[list[str]] = []


class RecordingKit(Kit):
    """A kit whose verbs are not run: each command line is noted, and counts as failed."""

    def cli(self, *words: object, name: str = "", needed: bool = False) -> Done:
        WORDS.append([str(word) for word in words])
        return Done(False, 1.0, "")


@pytest.mark.parametrize("tiny", [True, False])
def test_command_lines_of_stages_are_valid(
    tiny: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WORDS.clear()
    kit = RecordingKit("test", tmp_path, tmp_path, tiny)
    for name in ("small_set", "large_set"):
        monkeypatch.setattr(checks, name, lambda _kit: tmp_path)
    monkeypatch.setattr(prediction, "large_set", lambda _kit: tmp_path)
    monkeypatch.setattr(checks, "beasts", lambda _kit: (tmp_path, tmp_path))
    monkeypatch.setattr(speed, "large_set", lambda _kit: tmp_path)
    monkeypatch.setattr(speed, "fifth_held_out", lambda _kit: tmp_path / "fifth.csv")
    stages = (checks.demo, checks.switches, checks.resume, checks.advise, prediction.probe)
    for stage in (*stages, speed.epochs):
        stage(kit)
    short = ShortTraining(tmp_path, tmp_path / "killed")
    killed = short.words("train.epochs=3", options=("--checkpoint-every", "100ms"))
    WORDS.append([str(word) for word in killed])

    verbs = {words[0] for words in WORDS}
    assert verbs >= {"train", "probe", "show", "predict", "evaluate", "report", "export", "advise"}
    for words in WORDS:
        _, bound, unused, _ = build_app(words[0]).parse_known_args(words)
        assert not unused, words
        overrides = bound.arguments.get("overrides", ())
        load_recipe(bound.arguments.get("recipe") or "best", overrides)


@pytest.mark.slow
def test_a_stage_runs_alone_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "--stage", "env", "paper", "epochs", "--tiny"]
    command += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["contender"] for row in rows if row.get("name") == "speed"] == [
        "bestiary, store",
        "resident batch",
    ]
    assert rows[-1]["stage"] == "epochs"
    assert rows[-1]["status"] == 0

    keep = [sys.executable, RUN.parents[1] / "speed" / "gpu.py", tmp_path / "out", "--no-record"]
    text = subprocess.run(keep, check=True, capture_output=True, text=True).stdout
    lines = [read_line(line.partition("): ")[2], "kept") for line in text.splitlines()]
    assert [line.case for line in lines if line.claim == "gpu-loop"] == [
        "ResNeXt-101 64x4d, from the store",
        "ResNeXt-101 64x4d, whole epochs",
    ]
    (env,) = (row for row in rows if row.get("name") == "machine")
    assert {line.machine.cpu for line in lines} == {env["processor"]}
    assert all(line.machine.gpu is None for line in lines) or torch.cuda.is_available()


@pytest.mark.parametrize("first", [[], ["epochs"]])
def test_a_stage_that_was_cut_off_counts(first: list[str], tmp_path: Path) -> None:
    """Rounds and epochs of the last run count, beside the resident batch of another stage."""
    env = [
        {"stage": "env", "name": "versions", "at": 1e9, "torch": "2.11.0"},
        {"stage": "env", "name": "machine", "processor": "of another machine", "cores": 16},
    ]
    earlier = [
        {"stage": stage, "name": "epoch", "images": 1, "at": 1.0 + at}
        for stage in first
        for at in range(3)
    ]
    earlier += [{"stage": stage, "status": 124, "seconds": 90.0} for stage in first]
    speeds = [
        {"stage": "paper", "name": "speed", "contender": name, "beside": "bestiary, store"}
        | {"speeds": of_rounds}
        for name, of_rounds in [
            ("bestiary, store", [90.0]),
            ("resident batch", [100.0]),
            ("bestiary, store", [90.0, 80.0]),
            ("resident batch", [100.0, 100.0]),
        ]
    ]
    epochs = [
        {"stage": "epochs", "name": "epoch", "images": 100, "seconds": 1.9, "at": at}
        for at in (9.0, 11.0, 13.0)
    ]
    rows = [*env, *earlier, *speeds, *epochs, {"stage": "small", "skipped": "no time is left"}]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))

    keep = [sys.executable, RUN.parents[1] / "speed" / "gpu.py", tmp_path, "--no-record"]
    keep += ["--commit", "abcdef0", "--note", "A card to itself."]
    text = subprocess.run(keep, check=True, capture_output=True, text=True).stdout
    kept = [read_line(line.partition("): ")[2], "kept") for line in text.splitlines()]
    assert [(line.case, line.judged[0].median, line.n) for line in kept] == [
        ("ResNeXt-101 64x4d, from the store", 0.85, 2),
        ("", 85.0, 2),
        ("ResNeXt-101 64x4d, whole epochs", 0.5, 2),
    ]
    assert {line.commit for line in kept} == {"abcdef0"}
    assert all(line.note.endswith("A card to itself.") for line in kept)
    assert kept[-1].note.startswith("The resident batch was timed"), "not beside these epochs"


def test_images_of_the_stages_are_no_copies(tmp_path: Path) -> None:
    place = large_set(Kit("test", tmp_path, tmp_path, tiny=True))
    table = bestiary.scan(place, quiet=True).manifest.table
    assert table.height == 52
    assert table["group"].null_count() == 52
