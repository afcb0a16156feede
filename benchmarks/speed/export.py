"""Claim: an exported file of five ResNet-50 members agrees with PyTorch, and int8 is faster.

Makes five members of ResNet-50 on a part of DATA: heads fitted on frozen features, then every
weight of every member changed by noise of a hundredth of its layer's spread, so that no two members
share a part, as after fine-tuning. Without --weights they are random: then accuracy means little,
but agreement and speed are valid, as labels that depend on small differences are the harder test.
Exports both formats in float32 and int8. Compares every file, opened by ONNX Runtime or OpenVINO
alone, with PyTorch's float32 on images that did not calibrate int8. Then all take turns.

    python benchmarks/speed/export.py DATA [--backbone torchvision/resnet50] [--weights FILE]
                                      [--rounds 7] [--place DIR] [--run RUN]

--place keeps run and files: a second call only compares and times. --run uses an existing run.
--rounds 0 compares answers alone, as on a machine that is busy.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.data.listing import list_labeled
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.export import CALIBRATION_IMAGES, run_batches
from bestiary.exporting.formats import read_card
from bestiary.exporting.graph import OUTPUTS, Outputs, build_graph, input_view, run_graph
from bestiary.exporting.sample import read_sample, shuffled_manifest, split_calibration
from bestiary.model.backbone import build_backbone
from bestiary.model.classifier import load_member, save_member
from bestiary.model.tensor_card import claimed_checksum
from bestiary.rng import keyed_rng
from bestiary.run.images import RunImages
from bestiary.run.layout import ENSEMBLE
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording

CLAIMS = {
    "export-agreement": {
        "statement": "An exported file gives the labels of PyTorch in float32",
        "unit": "of the labels equal",
        "watches": ("@export", "src/bestiary/exporting/formats.py"),
    },
    "export-speed": {
        "statement": "An exported file predicts faster than PyTorch in float32",
        "unit": "times as fast",
        "watches": ("@export", "src/bestiary/exporting/formats.py"),
    },
    "export-int8-accuracy": {
        "statement": "int8 loses little accuracy",
        "unit": "points",
        "watches": ("@export", "src/bestiary/exporting/formats.py"),
    },
}
COMMANDS = ("{data}",)


Runner = Callable[[np.ndarray], Outputs]
KINDS = {"onnx": "m.onnx", "openvino": "m.xml"}


def make_run(data: Path, place: Path, backbone: str, weights: Path | None, images: int) -> Run:
    """Five members with heads of their own and slightly different weights, on some of `data`."""
    place.mkdir(parents=True, exist_ok=True)
    listing = list_labeled(data)
    order = keyed_rng(0, "benchmark").permutation(listing.table.height)[:images]
    listing.table.select("path", "label")[np.sort(order)].write_csv(place / "known.csv")
    if weights is None:
        torch.manual_seed(0)
        weights = place / "random.safetensors"
        save_file(build_backbone(backbone, 2, "none").network.state_dict(), weights)
    overrides = [
        f"data.root={data.resolve()}",
        f"model.backbone={backbone}",
        f"model.weights={weights}",
    ]
    overrides += ["predict.tta=1", "folds.rare_classes=drop"]
    run = bestiary.probe(
        place / "known.csv", place / "run", overrides=overrides, folds=5, quiet=True
    )
    for fold in run.fold_numbers():
        member = load_member(run.fold(fold).weights)
        noise = torch.Generator().manual_seed(fold)
        with torch.no_grad():
            for values in member.network.parameters():
                values += (
                    0.01 * values.std(correction=0) * torch.randn(values.shape, generator=noise)
                )
        save_member(member, run.fold(fold).weights)
    card = run.read_json(ENSEMBLE)
    for entry in card["members"]:
        entry["digest"] = claimed_checksum(run.fold(entry["fold"]).weights)
    run.write_json(ENSEMBLE, card)
    return run


def export_all(run: Run, place: Path, precisions: tuple[str, ...]) -> dict[str, Path]:
    """Export a file for each format and precision."""
    files = {}
    for format, name in KINDS.items():
        for precision in precisions:
            file = place / precision / name
            if not file.exists():
                started = time.perf_counter()
                options = {
                    "format": format,
                    "int8": precision == "int8",
                    "max_drop": 1.0,
                    "quiet": True,
                }
                exported = bestiary.export(run.path, file, **options)
                print(f"{exported}\n({time.perf_counter() - started:.0f} s)")
            files[f"{format} {precision}"] = file
    return files


def by_onnxruntime(file: Path) -> Runner:
    session = onnxruntime.InferenceSession(file)
    return lambda views: Outputs(*session.run([*OUTPUTS], {"pixels": views}))


def by_openvino(file: Path, hint: str) -> Runner:
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": hint})

    def run(views: np.ndarray) -> Outputs:
        outputs_found = compiled(views)
        return Outputs(*(np.array(outputs_found[name]) for name in OUTPUTS))

    return run


def agreement(
    reference: Outputs, outputs_found: Outputs, fold: np.ndarray
) -> tuple[float, float, str]:
    """Agreement of the ensembles: labels, largest difference, and words with the members'."""
    same = (
        reference.probabilities.argmax(axis=1) == outputs_found.probabilities.argmax(axis=1)
    ).mean()
    rows = np.arange(len(fold))
    own = (
        reference.logits[rows, fold].argmax(axis=1)
        == outputs_found.logits[rows, fold].argmax(axis=1)
    ).mean()
    difference = np.abs(reference.probabilities - outputs_found.probabilities).max()
    words = (
        f"labels equal {same:.4f} (members on held-out images {own:.4f}), "
        f"probabilities within {difference:.2g}"
    )
    return float(same), float(difference), words


def take_turns(
    runners: dict[str, Runner], views: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Images a second of each runner, one figure a round, always in the same order."""
    speeds: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, run in runners.items():
            started = time.perf_counter()
            run_batches(run, views)
            if number:  # the first round warms up
                speeds[name].append(len(views) / (time.perf_counter() - started))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="torchvision/resnet50")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=int, default=300, help="to train on")
    parser.add_argument("--compared", type=int, default=100, help="images to compare on")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--make", action="store_true", help="stop when everything is made")
    parser.add_argument("--float32", action="store_true", help="leave int8 out")
    args = parser.parse_args()
    print(
        machine(),
        f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}",
        sep="; ",
    )
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        existing = args.run or (
            place / "run" if (place / "run" / "metrics.json").exists() else None
        )
        run = (
            Run.open(existing)
            if existing
            else make_run(args.data, place, args.backbone, args.weights, args.images)
        )
        print(run.score_line)
        files = export_all(run, place, ("float32",) if args.float32 else ("float32", "int8"))
        if args.make:
            return
        measure(run, files, args.compared, args.rounds)


def accuracy_words(int8: dict[str, Any]) -> str:
    value, low, high = (100 * int8["difference"][name] for name in ("value", "low", "high"))
    return f", accuracy {value:+.2f} points ({low:+.2f} to {high:+.2f}), n = {int8['images']}"


def measure(run: Run, files: dict[str, Path], compared: int, rounds: int) -> None:
    ensemble = Ensemble.load(run, device="cpu", engine="torch")
    graph = build_graph(ensemble, list(range(len(ensemble.members))))
    _, judges = split_calibration(
        shuffled_manifest(run), run.fold_numbers(), CALIBRATION_IMAGES, compared
    )
    sample = read_sample(RunImages(run.read_root(), judges), input_view(ensemble), judges)
    views = sample.views
    fold = sample.table["fold"].to_numpy()
    backbone = ensemble.members[0].name
    size = input_view(ensemble).size
    print(f"\n{len(ensemble.members)} members of {backbone}, {size} px, on {len(views)} images")
    runners: dict[str, Runner] = {"PyTorch float32": lambda views: run_graph(graph, views)}
    for name, file in files.items():
        format, precision = name.split()
        if format == "onnx":
            runners |= {f"ONNX Runtime {precision}": by_onnxruntime(file)}
            runners |= {f"OpenVINO, the ONNX {precision} file": by_openvino(file, "f32")}
        else:
            hints = ("f32", "bf16") if precision == "float32" else ("f32",)
            runners |= {f"OpenVINO {precision}, {hint}": by_openvino(file, hint) for hint in hints}
    outputs_found = {name: run_batches(runner, views) for name, runner in runners.items()}
    reference = outputs_found["PyTorch float32"]
    same, gaps = {}, {}
    for name, outputs in outputs_found.items():
        same[name], gaps[name], words = agreement(reference, outputs, fold)
        print(f"{name:32} {words}")
    details = {"largest difference of a probability": gaps}
    record("export-agreement", same, len(views), "images", case=backbone, details=details)
    if rounds:
        compare_speeds(take_turns(runners, views[:16], rounds), backbone)
    for name, file in files.items():
        parts = [part for part in (file, file.with_suffix(".bin")) if part.exists()]
        size = sum(part.stat().st_size for part in parts) / 1e6
        int8 = read_card(file).get("int8")
        print(f"{name}: {size:.0f} MB{accuracy_words(int8) if int8 else ''}")
        if int8:
            lost = tuple(100 * int8["difference"][key] for key in ("value", "low", "high"))
            n = int8["images"]
            case = f"{backbone}, {name}"
            spread_of = "95 % interval"
            record("export-int8-accuracy", lost, n, "images", case=case, spread=spread_of)


def compare_speeds(speeds: dict[str, list[float]], backbone: str) -> None:
    """Record how many times as fast as PyTorch each runner is."""
    base = speeds["PyTorch float32"]
    gains = {}
    for name, values in speeds.items():
        ratios = gains[name] = [ours / theirs for ours, theirs in zip(values, base, strict=True)]
        print(
            f"{name:32} {spread(values)} images/s, {spread(ratios)} times PyTorch float32, n = "
            f"{len(values)}"
        )
    record("export-speed", gains, len(base), "rounds", case=backbone, details={"images/s": speeds})


if __name__ == "__main__":
    recording(main, __file__)
