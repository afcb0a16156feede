"""Files of each format (ONNX, OpenVINO, torch.export) against the network."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.formats import WRITERS, Node, _float_tail, read_card
from bestiary.exporting.graph import EnsembleGraph
from bestiary.stats.ood import OodDetector, OodScore

READERS = {  # name -> format, and the fixture that runs the file
    "ONNX by ONNX Runtime": ("onnx", "by_onnxruntime"),
    "ONNX by OpenVINO": ("onnx", "by_openvino"),
    "OpenVINO's own": ("openvino", "by_openvino"),
    "PyTorch's own": ("torch", "by_torch"),
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_file_agrees_with_network(
    reader: str,
    request: pytest.FixtureRequest,
    ensemble: Ensemble,
    exported: dict[str, Path],
    views: np.ndarray,
    images: list[Path],
) -> None:
    format, fixture = READERS[reader]
    read = request.getfixturevalue(fixture)
    probabilities, energy, logits = read(exported[format], views)
    expected = ensemble.predict_proba(images)
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    member_logits = np.concatenate(
        [scored.logits for scored in ensemble.iter_logits(images)], axis=1
    )
    np.testing.assert_allclose(logits, member_logits.transpose(1, 0, 2), atol=1e-4)
    assert ensemble.ood is not None
    np.testing.assert_allclose(energy, ensemble.ood.unlikeness(member_logits), atol=1e-4)
    # the thresholds mark the same images as unknown
    unknown = energy > read_card(exported[format])["thresholds"]["unknown"]
    assert unknown.tolist() == ensemble.ood.is_unknown(member_logits).tolist()
    for count in (1, 5):  # the batch axis is free
        np.testing.assert_allclose(
            read(exported[format], views[:count])[0], probabilities[:count], atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("score", ["distance", "both"])
def test_graph_decides_as_the_run_does(score: OodScore, ensemble: Ensemble) -> None:
    rng = np.random.default_rng(0)
    labels, folds = np.arange(300) % len(ensemble.classes_), np.arange(300) % 3
    logits = (6 * np.eye(len(ensemble.classes_))[labels] + rng.normal(size=(300, 1))) * 5
    detector = OodDetector.fit(logits, labels, folds, score=score)
    graph = EnsembleGraph(ensemble.members, 32, "logits", 1, 1.0, detector.scales, detector)
    new = 9 * rng.standard_normal((3, 40, len(ensemble.classes_)))
    scaled = torch.tensor(new / detector.scales[:, None, None], dtype=torch.float32)
    found = graph._unlikeness(scaled.swapaxes(0, 1)).numpy()
    np.testing.assert_allclose(found, detector.unlikeness(new), rtol=1e-4)


@pytest.mark.slow
def test_onnx_deduplicates_shared_layers(ensemble: Ensemble, built: dict[str, Any]) -> None:
    twice = EnsembleGraph(
        [ensemble.members[0], deepcopy(ensemble.members[0])], 32, "logits", 1, 1.0, [1.0, 1.0]
    )
    model = WRITERS["onnx"].build(exporting.trace(twice.eval(), 32), 32)
    convolutions = [
        sum(node.op_type == "Conv" for node in each.graph.node) for each in (model, built["onnx"])
    ]
    assert 3 * convolutions[0] == convolutions[1] > 0  # three members that share no weights


def test_float_tail_follows_last_layer() -> None:
    nodes = [
        Node("input", "Parameter", [], ["x"]),
        Node("first", "Conv", ["x"], ["a"]),
        Node("pool", "ReduceMean", ["a"], ["b"]),
        Node("head", "Gemm", ["b"], ["c"]),
        Node("mean", "ReduceMean", ["c"], ["d"]),
        Node("softmax", "Softmax", ["d"], ["e"]),
    ]
    assert _float_tail(nodes) == ["softmax", "mean"]
