"""The card inside an exported file: classes, input, thresholds, versions and agreement."""

import math
from pathlib import Path

import pytest
import torch

from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.formats import read_card
from bestiary.run.run import Run


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "torch"])
def test_card_of_file(
    format: str, small: Run, ensemble: Ensemble, exported: dict[str, Path]
) -> None:
    card = read_card(exported[format])
    assert card["classes"] == small.read_classes()
    assert card["members"] == [0, 1, 2]
    assert (card["input"]["name"], card["input"]["size"], card["input"]["resize"]) == (
        "pixels",
        32,
        "squash",
    )
    assert ensemble.calibration and ensemble.ood
    assert card["temperature"] == ensemble.calibration.temperature
    assert {
        float(key): value for key, value in card["thresholds"]["prediction_sets"].items()
    } == ensemble.calibration.prediction_sets
    assert {
        float(key): value for key, value in card["thresholds"]["accepted"].items()
    } == ensemble.calibration.accepted
    limit = ensemble.ood.deciding_limit
    assert card["thresholds"]["unknown"] == (limit if math.isfinite(limit) else None)
    assert torch.__version__.startswith(card["versions"]["torch"])
    agreed = card["agreement"]["float32"]
    assert agreed["labels_equal"] == agreed["images"] == 27
    assert agreed["probability_difference"] < 1e-4
    # the file names no folder of this machine
    parts = [exported[format], exported[format].with_suffix(".bin")]
    here = str(Path(__file__).parents[2]).encode()
    assert not any(here in part.read_bytes() for part in parts if part.exists())
