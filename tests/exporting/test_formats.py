"""Files of each format (ONNX, OpenVINO, torch.export) against the network."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.formats import WRITERS, Node, _float_tail, read_card
from bestiary.exporting.graph import EnsembleGraph

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
    np.testing.assert_allclose(energy, ensemble.ood.scores(member_logits)[0], atol=1e-4)
    # the thresholds mark the same images as unknown
    unknown = energy > read_card(exported[format])["thresholds"]["unknown"]
    assert unknown.tolist() == ensemble.ood.is_unknown(member_logits).tolist()
    for count in (1, 5):  # the batch axis is free
        np.testing.assert_allclose(
            read(exported[format], views[:count])[0], probabilities[:count], atol=1e-5
        )


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
