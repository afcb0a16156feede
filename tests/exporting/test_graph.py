"""The graph inside a file: averaging and test-time augmentation as in the ensemble."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bestiary.data.decode import decode, read_image
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.graph import build_graph, run_graph
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES


@pytest.mark.parametrize("tta", [1, 2, 5])
@pytest.mark.parametrize("rule", AVERAGES)
def test_graph_averages_like_ensemble(rule: Any, tta: Any, small: Run, images: list[Path]) -> None:
    ensemble = Ensemble.load(small, device="cpu", engine="torch", tta=tta)
    ensemble.average = rule
    view = ensemble.input_view
    views = np.stack([view(decode(read_image(path), min_side=view.min_side)) for path in images])
    found = run_graph(build_graph(ensemble, [0, 1, 2]), views)
    logits = np.concatenate([scored.logits for scored in ensemble.iter_logits(images)], axis=1)
    np.testing.assert_allclose(found.logits, logits.transpose(1, 0, 2), atol=1e-4)
    np.testing.assert_allclose(found.probabilities, ensemble.probabilities(logits, rule), atol=1e-5)
