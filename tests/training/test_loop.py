"""Training loop: mixing stops at its share of the steps; epochs reuse each other's memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import bestiary
from bestiary.rng import keyed_rng
from bestiary.training import loop


@pytest.mark.slow
def test_mixup_stops_at_its_share_of_steps(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[tuple[object, ...]] = []

    def record_key(seed: int, purpose: str, *key: int) -> np.random.Generator:
        keys.append((seed, purpose, *key))
        return keyed_rng(seed, purpose, *key)

    monkeypatch.setattr(loop, "keyed_rng", record_key)
    bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=["mix.stop_at=0.5", "train.epochs=4", "mix.probability=1.0"],
        folds=3,
        only_fold=[0],
        quiet=True,
    )
    mix_keys = [key for key in keys if key[1] == "mix"]
    assert {epoch for _, _, _, epoch, _ in mix_keys} == {0, 1}


@pytest.mark.slow
def test_freed_memory_is_kept_over_epochs(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeps: list[str] = []

    @contextmanager
    def note_keeping(device: torch.device) -> Iterator[None]:
        keeps.append("kept")
        yield
        keeps.append("returned")

    monkeypatch.setattr(loop, "keep_freed_memory", note_keeping)
    bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=["train.epochs=3"],
        folds=3,
        only_fold=[0],
        quiet=True,
    )
    assert keeps == ["kept", "returned"]
