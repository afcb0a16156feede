"""A sample of the hostile runs of benchmarks/harness/hostile.py, with the verbs that train nothing.

benchmarks/reliability/hostile_runs.py has all of them with every verb.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from harness import attacking
from harness.hostile import HOSTILE, make_places
from reliability.hostile_runs import attack_all

SAMPLE = (
    "root chained reference",
    "root dev zero",
    "root plain",
    "link SHA256SUMS",
    "link figures",
    "fifo ensemble.json",
    "huge ensemble.json",
    "logit 0",
    "calibration temperature 0",
    "bomb folds.parquet",
)

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="forks, and limits memory"
)


def test_corpus_is_large() -> None:
    assert len(HOSTILE) >= 60
    assert set(SAMPLE) <= set(HOSTILE)


@pytest.mark.parametrize("computes", [False, True])
def test_only_an_idle_verb_hangs(computes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacking, "LOOK_EVERY", 0.5)
    monkeypatch.setattr(attacking, "MAX_IDLE", 4)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        while not computes:
            time.sleep(1)
        while time.process_time() < 1.5:
            pass
        os._exit(0)
    os.close(writer)
    assert attacking._has_hung(child, reader) is not computes
    os.waitpid(child, 0)
    os.close(reader)


@pytest.mark.slow
def test_hostile_runs_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path / "state"))
    make_places(tmp_path)
    results = attack_all(tmp_path, list(SAMPLE), quick=True)
    assert [result["name"] for result in results] == list(SAMPLE)
    assert [failure for result in results for failure in result["failures"]] == []
