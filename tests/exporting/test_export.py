"""Exported files (ONNX, OpenVINO, torch.export) against the network, int8, prune and the card."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss

import bestiary
from bestiary.data.decode import decode, read_image
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.agreement import accuracy_drop, compare_outputs
from bestiary.exporting.export import build_graph
from bestiary.exporting.formats import WRITERS, Node, _float_tail, read_card
from bestiary.exporting.graph import EnsembleGraph, Outputs, run_graph
from bestiary.exporting.prune import _p_equal
from bestiary.exporting.sample import read_sample, shuffled_manifest, split_calibration
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_onnx.py"
SUFFIXES = {"onnx": "onnx", "openvino": "xml", "torch": "pt2"}


@pytest.fixture(scope="module")
def ensemble(small: Run) -> Ensemble:
    return Ensemble.load(small, device="cpu", engine="torch")


@pytest.fixture(scope="module")
def images(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


@pytest.fixture(scope="module")
def views(ensemble: Ensemble, images: list[Path]) -> np.ndarray:
    return np.stack(
        [
            ensemble.view(decode(read_image(path), min_side=ensemble.view.min_side))
            for path in images
        ]
    )


@pytest.fixture(scope="module")
def exported(small: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each format."""
    folder = tmp_path_factory.mktemp("exported")
    for format, suffix in SUFFIXES.items():
        bestiary.export(small.path, folder / f"m.{suffix}", format=format, quiet=True)  # type: ignore[arg-type]
    return {format: folder / f"m.{suffix}" for format, suffix in SUFFIXES.items()}


@pytest.fixture(scope="module")
def built(ensemble: Ensemble) -> dict[str, Any]:
    """Each format's model, built once for the tests of later steps."""
    program = exporting.trace(build_graph(ensemble, [0, 1, 2]), 32)
    return {format: WRITERS[format].build(program, 32) for format in SUFFIXES}  # type: ignore[index]


@pytest.fixture
def quick(built: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Export all members from the models of `built`, without tracing."""
    copies = {
        "onnx": deepcopy,
        "openvino": lambda model: model.clone(),
        "torch": lambda program: program,
    }
    monkeypatch.setattr(exporting, "_traced", lambda graph, ensemble: None)
    for format, copied in copies.items():
        build = partial(lambda copied, format, program, size: copied(built[format]), copied, format)
        monkeypatch.setitem(WRITERS, format, replace(WRITERS[format], build=build))  # type: ignore[index, misc]


def by_onnxruntime(file: Path, views: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(file).run(
        ["probabilities", "energy", "logits"], {"pixels": views}
    )


def by_openvino(file: Path, views: np.ndarray) -> list[np.ndarray]:
    found = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(views)
    return [np.array(found[name]) for name in ("probabilities", "energy", "logits")]


def by_torch(file: Path, views: np.ndarray) -> list[np.ndarray]:
    return [
        output.detach().numpy() for output in load_program(file).module()(torch.from_numpy(views))
    ]


load_program = cache(torch.export.load)


READERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "ONNX by ONNX Runtime": ("onnx", by_onnxruntime),
    "ONNX by OpenVINO": ("onnx", by_openvino),
    "OpenVINO's own": ("openvino", by_openvino),
    "PyTorch's own": ("torch", by_torch),
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_file_agrees_with_network(
    reader: str,
    small: Run,
    ensemble: Ensemble,
    exported: dict[str, Path],
    views: np.ndarray,
    images: list[Path],
) -> None:
    format, read = READERS[reader]
    probabilities, energy, logits = read(exported[format], views)
    expected = ensemble.predict_proba(images)
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    member_logits = np.concatenate([scored.logits for scored in ensemble.score(images)], axis=1)
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


@pytest.mark.parametrize("tta", [1, 2, 5])
@pytest.mark.parametrize("rule", AVERAGES)
def test_graph_averages_like_ensemble(rule: Any, tta: Any, small: Run, images: list[Path]) -> None:
    ensemble = Ensemble.load(small, device="cpu", engine="torch", tta=tta)
    ensemble.average = rule
    view = ensemble.input_view
    views = np.stack([view(decode(read_image(path), min_side=view.min_side)) for path in images])
    found = run_graph(build_graph(ensemble, [0, 1, 2]), views)
    logits = np.concatenate([scored.logits for scored in ensemble.score(images)], axis=1)
    np.testing.assert_allclose(found.logits, logits.transpose(1, 0, 2), atol=1e-4)
    np.testing.assert_allclose(found.probabilities, ensemble.probabilities(logits, rule), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", SUFFIXES)
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
    limit = float(ensemble.ood.limits[0])
    assert card["thresholds"]["unknown"] == (limit if math.isfinite(limit) else None)
    assert torch.__version__.startswith(card["versions"]["torch"])
    agreed = card["agreement"]["float32"]
    assert agreed["labels_equal"] == agreed["images"] == 27
    assert agreed["probability_difference"] < 1e-4
    # the file names no folder of this machine
    parts = [exported[format], exported[format].with_suffix(".bin")]
    here = str(Path(__file__).parents[2]).encode()
    assert not any(here in part.read_bytes() for part in parts if part.exists())


@pytest.mark.slow
def test_onnx_deduplicates_shared_layers(ensemble: Ensemble, built: dict[str, Any]) -> None:
    twice = EnsembleGraph(
        [ensemble.members[0], deepcopy(ensemble.members[0])], "logits", 1, 1.0, [1.0, 1.0]
    )
    model = WRITERS["onnx"].build(exporting.trace(twice.eval(), 32), 32)
    convolutions = [
        sum(node.op_type == "Conv" for node in each.graph.node) for each in (model, built["onnx"])
    ]
    assert 3 * convolutions[0] == convolutions[1] > 0  # three members that share no weights


@pytest.mark.slow
def test_example_runs_without_bestiary(
    exported: dict[str, Path],
    ensemble: Ensemble,
    images: list[Path],
    small: Run,
    beasts: Path,
    tmp_path: Path,
) -> None:
    assert (
        "import bestiary" not in EXAMPLE.read_text() and "from bestiary" not in EXAMPLE.read_text()
    )
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 32
    some = [str(path) for path in images[::3]]
    command = [sys.executable, str(EXAMPLE), str(exported["onnx"]), *some]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    # Pillow shrinks images slightly differently, so confidence differs in the third digit.
    expected = ensemble.predict_proba(some)
    assert [row[0] for row in rows] == some
    of_labels = expected[np.arange(len(some)), [small.read_classes().index(row[1]) for row in rows]]
    np.testing.assert_allclose(of_labels, expected.max(axis=1), atol=0.02)
    np.testing.assert_allclose([float(row[2]) for row in rows], expected.max(axis=1), atol=0.02)
    predicted = bestiary.predict(small.path, beasts, out=tmp_path / "p.csv", quiet=True).table
    same = 0
    for path, _, _, verdict in rows:
        answer = predicted.filter(path=Path(path).relative_to(beasts).as_posix()).row(0, named=True)
        if answer["unknown"]:
            expected_verdict = "unknown"
        else:
            expected_verdict = "accepted" if answer["accepted"] else answer["prediction_set"]
        same += sorted(verdict.split("|")) == sorted(expected_verdict.split("|"))
    assert same >= len(rows) - 1  # one may lie next to a threshold


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_judged_out_of_fold(format: Any, small: Run, quick: None, tmp_path: Path) -> None:
    out = tmp_path / f"m.{SUFFIXES[format]}"
    made = bestiary.export(small.path, out, format=format, int8=True, max_drop=1.0, quiet=True)
    read = {"onnx": by_onnxruntime, "openvino": by_openvino}[format]
    found = made.card["int8"]
    assert made.card == read_card(out)
    assert (made.card["precision"], found["calibrated_on"], found["images"]) == ("int8", 13, 14)
    # the accuracy in the card, computed again from the file and the run's tables
    calibration, test = split_calibration(shuffled_manifest(small), [0, 1, 2], 100, 400)
    assert not set(calibration["path"]) & set(test["path"])
    sample = read_sample(small, Ensemble.load(small, device="cpu").view, test)
    table, logits = sample.table, read(out, sample.views)[2]
    right = [
        small.read_classes()[logits[row, fold].argmax()] == label
        for row, (fold, label) in enumerate(table.select("fold", "label").iter_rows())
    ]
    assert found["accuracy_int8"] == pytest.approx(np.mean(right))
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(out).graph.node]
        assert "QuantizeLinear" in kinds
        after_last = kinds[len(kinds) - kinds[::-1].index("Gemm") :]
        assert "QuantizeLinear" not in after_last  # averaging stays in float32


def test_int8_above_max_drop_is_not_written(
    small: Run,
    quick: None,
    tmp_path: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wreck(model: Any, views: Any) -> Any:
        """Negate the weights of every member's last layer."""
        heads = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"}
        for tensor in model.graph.initializer:
            if tensor.name in heads:
                tensor.CopyFrom(
                    onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name)
                )
        return model

    monkeypatch.setitem(WRITERS, "onnx", replace(WRITERS["onnx"], quantize=wreck))
    line = fails(
        "export", small.path, tmp_path / "m.onnx", "--int8", "--max-drop", "0.05", "--quiet"
    )
    assert "accuracy falls by" in line and "--max-drop 0.05" in line
    assert not list(tmp_path.iterdir())


def test_disagreeing_file_is_not_kept(
    small: Run,
    quick: None,
    tmp_path: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = WRITERS["onnx"].open

    def wrong(file: Path, precision: Any) -> Any:
        run = read(file, precision)
        return lambda views: run(views)._replace(probabilities=run(views).probabilities + 2e-4)

    monkeypatch.setitem(exporting.WRITERS, "onnx", replace(WRITERS["onnx"], open=wrong))
    assert "from the network's" in fails("export", small.path, tmp_path / "m.onnx", "--quiet")
    assert not list(tmp_path.iterdir())


def test_accuracy_drop_is_out_of_fold() -> None:
    logits = np.zeros((4, 2, 3), np.float32)  # images, members, classes
    logits[:, 0, 0] = logits[:, 1, 1] = 5.0  # member 0 always says a, member 1 always b
    changed = logits.copy()
    changed[3, 1] = (0, 0, 9)  # held out by member 1, which was right and now says c
    changed[0, 1] = (0, 0, 9)  # held out by member 0, so member 1 does not count
    tables = [Outputs(each.mean(axis=1), each.max(axis=(1, 2)), each) for each in (logits, changed)]
    alone = pl.Series([None] * 4, dtype=pl.String)
    table = pl.DataFrame(
        {
            "label": ["a", "b", "c", "b"],
            "fold": [3, 3, 7, 7],
            "group": alone,
            "duplicate_group": alone,
        }
    )
    table = table.with_columns(pl.Series("sha256", list("wxyz")))
    found = accuracy_drop(*tables, table, [3, 7], ["a", "b", "c"])
    assert (found["accuracy_float32"], found["accuracy_int8"]) == (0.5, 0.25)
    assert (found["difference"]["wins"], found["difference"]["losses"]) == (0, 1)
    assert compare_outputs(*tables)["labels_equal"] == 2


@pytest.mark.parametrize(
    ("n_trained", "n_held_out", "folds", "sizes"),
    [
        # two folds: every image can be tested on
        (0, 40, [0, 1], (10, 15)),
        # a pruned member: its images calibrate first
        (0, 40, [1], (10, 15)),
        # a student: it was trained on the others
        (30, 8, [0, 1], (10, 8)),
        # few images
        (0, 12, [0, 1], (6, 6)),
    ],
)
def test_split_calibration_is_disjoint(
    n_trained: int, n_held_out: int, folds: list[int], sizes: tuple[int, int]
) -> None:
    table = pl.DataFrame(
        {
            "path": [str(n) for n in range(n_trained + n_held_out)],
            "fold": [-1] * n_trained + [0, 1] * (n_held_out // 2),
        }
    )
    calibration, test = split_calibration(table, folds, 10, 15)
    assert (calibration.height, test.height) == sizes
    assert set(test["fold"]) <= set(folds) and not set(calibration["path"]) & set(test["path"])


@pytest.mark.slow
def test_prune_keeps_least_log_loss(
    small: Run, ensemble: Ensemble, views: np.ndarray, tmp_path: Path
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


@pytest.mark.slow
def test_missing_images_are_reported(
    small: Run, quick: None, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    table = pl.read_parquet(run / "manifest.parquet")
    table.write_parquet(run / "manifest.parquet", metadata={"root": str(tmp_path / "gone")})
    (run / "SHA256SUMS").unlink()
    made = bestiary.export(run, tmp_path / "m.pt2", format="torch", quiet=True)
    assert "drawn views" in str(made)
    assert "can be read" in fails("export", run, tmp_path / "m.onnx", "--int8", "--quiet")
    assert not (tmp_path / "m.onnx").exists()


WRONG = {
    "a file that exists": (["{exists}"], "exists already"),
    "a file of weights that exists": (["{beside}", "--format", "openvino"], "exists already"),
    "a name for another format": (["{new}.onnx", "--format", "openvino"], "must be named .xml"),
    "a name without a suffix": (["{new}"], "must be named .onnx"),
    "an unknown format": (["{new}.onnx", "--format", "tflite"], "tflite"),
    "int8 with torch": (
        ["{new}.pt2", "--format", "torch", "--int8"],
        "choose --format onnx or openvino",
    ),
    "a max drop above 1": (["{new}.onnx", "--int8", "--max-drop", "2"], "--max-drop 2"),
    "no member": (["{new}.onnx", "--prune", "0"], "--prune 0"),
    "all members": (["{new}.onnx", "--prune", "3"], "--prune 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_get_one_line(
    case: str, small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    arguments, words = WRONG[case]
    (tmp_path / "exists.onnx").write_text("mine")
    (tmp_path / "beside.bin").write_text("mine")
    places = {
        "new": tmp_path / "new",
        "exists": tmp_path / "exists.onnx",
        "beside": tmp_path / "beside.xml",
    }
    assert words in fails(
        "export", small.path, *[argument.format(**places) for argument in arguments]
    )
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.slow
def test_unfinished_run_exports_uncalibrated(
    beasts: Path, small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    card = json.loads((run / "ensemble.json").read_text())
    del card["calibration"]
    card["members"] = card["members"][:2]
    (run / "ensemble.json").write_text(json.dumps(card))
    made = bestiary.export(run, tmp_path / "m.pt2", format="torch", quiet=True)
    assert (made.card["members"], made.card["thresholds"], made.card["temperature"]) == (
        [0, 1],
        None,
        1.0,
    )
    assert "not all folds" in fails(
        "export", run, tmp_path / "n.pt2", "--format", "torch", "--prune", "1"
    )
    assert "no such run" in fails("export", tmp_path / "none", tmp_path / "n.onnx")
