"""Prune: the members of least log loss stay; Cochran's test of equal members."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.formats import read_card
from bestiary.exporting.graph import build_graph, run_graph
from bestiary.exporting.prune import _p_equal
from bestiary.run.run import Run

Read = Callable[[Path, np.ndarray], list[np.ndarray]]


@pytest.mark.slow
def test_prune_keeps_least_log_loss(
    small: Run, ensemble: Ensemble, views: np.ndarray, tmp_path: Path, by_torch: Read
) -> None:
    made = bestiary.export(small.path, tmp_path / "m.pt2", format="torch", prune=2, quiet=True)
    choice = made.choice
    assert choice is not None and ensemble.calibration is not None
    for fold in range(3):
        oof = pl.read_parquet(small.fold(fold).oof)
        logits = oof["logits"].to_numpy() / ensemble.calibration.temperature
        expected = log_loss(
            oof["label"],
            torch.from_numpy(logits).softmax(dim=1).numpy(),
            labels=small.read_classes(),
        )
        assert choice.losses[fold] == pytest.approx(expected, rel=1e-4)
    assert choice.kept_folds == sorted(sorted(choice.losses, key=choice.losses.__getitem__)[:2])
    assert (
        made.card["members"] == choice.kept_folds == read_card(tmp_path / "m.pt2")["prune"]["kept"]
    )
    np.testing.assert_allclose(
        by_torch(tmp_path / "m.pt2", views)[0],
        run_graph(build_graph(ensemble, choice.kept_folds), views).probabilities,
        atol=1e-6,
    )
    assert choice.after.value < choice.before.value or choice.before.value == 1


def test_cochran_q_false_positive_rate() -> None:
    rng = np.random.default_rng(0)
    same = [_p_equal(rng.normal(1.0, 0.1, 5).tolist(), [0.1] * 5) for _ in range(400)]
    assert 0.02 < np.mean(np.array(same) < 0.05) < 0.09
    assert _p_equal([1.0, 1.0, 1.0, 1.0, 1.6], [0.1] * 5) < 1e-3
