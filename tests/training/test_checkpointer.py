"""Checkpointer: what is written with the next checkpoint comes before it, once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bestiary.run.layout import FoldFiles
from bestiary.signals import Interrupts
from bestiary.training import checkpointer
from bestiary.training.checkpointer import Checkpointer


def test_best_member_is_written_with_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(checkpointer, "_check_finite", lambda _state: None)
    monkeypatch.setattr(checkpointer, "_write", lambda _state, _files: written.append("state"))
    state: Any = SimpleNamespace(progress=SimpleNamespace(epochs_done=1, step=0))
    files = FoldFiles(tmp_path)
    saver = Checkpointer(300.0, Interrupts())

    saver.write_with_next(lambda: written.append("of a fold that failed"))
    saver.start_fold(state)
    saver.write_with_next(lambda: written.append("epoch 1"))
    saver.write_with_next(lambda: written.append("epoch 2"))
    assert not written, "early epochs improve on each other"
    saver.save(state, files)
    saver.save(state, files)
    assert written == ["epoch 2", "state", "state"]

    saver.write_with_next(lambda: written.append("epoch 3"))
    state.progress.epochs_done = 2
    saver.save_on_interrupt(state, files)
    assert written[3:] == ["epoch 3", "state"]
