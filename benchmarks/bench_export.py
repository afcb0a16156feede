"""Claim: five ResNet-50 members as one file agree with the network, in plain ONNX Runtime and OpenVINO; int8 is faster.

Trains five members of ResNet-50, which begin from the same weights, on a part of DATA; with no weights given these are
random, so that accuracy means little while agreement and speed mean what they say: labels that hang on small
differences are the harder test. Exports them in both formats, in float32 and in int8, and compares every file, opened
by the libraries alone, with PyTorch's float32 on pictures that int8's ranges were not taken from. Then all take turns.

    python benchmarks/bench_export.py DATA [--backbone torchvision/resnet50] [--weights FILE] [--rounds 7] [--place DIR]

With --place what is made is kept, and found there again: a second call only compares and times. --run takes a run that
is there.
"""

import argparse
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
from bestiary.data.draws import generator
from bestiary.data.listing import list_labelled
from bestiary.deploy.export import CALIBRATION, build_graph, run_batches
from bestiary.deploy.formats import read_card
from bestiary.deploy.graph import OUTPUTS, Outputs, run_graph
from bestiary.deploy.views import deal_pictures, read_sample, shuffled_pictures
from bestiary.ensemble import Ensemble
from bestiary.model import build_backbone
from bestiary.run import Run
from paired import machine, spread

Runner = Callable[[np.ndarray], Outputs]
KINDS = {"onnx": "m.onnx", "openvino": "m.xml"}


def make_run(data: Path, place: Path, backbone: str, weights: Path | None, pictures: int) -> Run:
    """Five members, each fine-tuned for an epoch from the same weights, on so many pictures of `data`."""
    if (place / "run").exists():
        return bestiary.train(place / "known.csv", place / "run", resume=True, quiet=True)
    place.mkdir(parents=True, exist_ok=True)
    listing = list_labelled(data)
    order = generator(0, "benchmark").permutation(listing.table.height)[:pictures]
    listing.table.select("path", "label")[np.sort(order)].write_csv(place / "known.csv")
    if weights is None:
        torch.manual_seed(0)
        weights = place / "random.safetensors"
        save_file(build_backbone(backbone, 2, "none").network.state_dict(), weights)
    overrides = [f"data.root={data.resolve()}", f"model.backbone={backbone}", f"model.weights={weights}"]
    overrides += ["model.freeze=0", "model.freeze_norms=false", "train.epochs=1", "view.size=96", "view.eval_size=224"]
    overrides += ["predict.mirror=false", "folds.rare=drop", "optimiser.lr=1e-5"]
    return bestiary.train(place / "known.csv", place / "run", recipe="fast", overrides=overrides, folds=5, quiet=True)


def export_all(run: Run, place: Path) -> dict[str, Path]:
    """A file for each format and precision."""
    files = {}
    for format, name in KINDS.items():
        for precision in ("float32", "int8"):
            file = place / precision / name
            if not file.exists():
                started = time.perf_counter()
                options = {"format": format, "int8": precision == "int8", "max_drop": 1.0, "quiet": True}
                print(f"{bestiary.export(run.path, file, **options)}\n({time.perf_counter() - started:.0f} s)")
            files[f"{format} {precision}"] = file
    return files


def by_onnxruntime(file: Path) -> Runner:
    session = onnxruntime.InferenceSession(file)
    return lambda views: Outputs(*session.run([*OUTPUTS], {"pixels": views}))


def by_openvino(file: Path, hint: str) -> Runner:
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": hint})

    def run(views: np.ndarray) -> Outputs:
        found = compiled(views)
        return Outputs(*(np.array(found[name]) for name in OUTPUTS))

    return run


def agreement(reference: Outputs, found: Outputs, fold: np.ndarray) -> str:
    """Of the ensembles, and of the members that have not seen the pictures."""
    same = (reference.probabilities.argmax(axis=1) == found.probabilities.argmax(axis=1)).mean()
    rows = np.arange(len(fold))
    own = (reference.logits[rows, fold].argmax(axis=1) == found.logits[rows, fold].argmax(axis=1)).mean()
    difference = np.abs(reference.probabilities - found.probabilities).max()
    return f"labels equal {same:.4f} (members on pictures held out {own:.4f}), probabilities within {difference:.2g}"


def take_turns(runners: dict[str, Runner], views: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Pictures a second of each, one figure a round; what came first comes first again."""
    speeds: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, run in runners.items():
            started = time.perf_counter()
            run_batches(run, views)
            if number:  # the first round warms up
                speeds[name].append(len(views) / (time.perf_counter() - started))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="torchvision/resnet50")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=int, default=300, help="to train on")
    parser.add_argument("--compared", type=int, default=100, help="pictures to compare on")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--make", action="store_true", help="stop when everything is made")
    asked = parser.parse_args()
    print(machine(), f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}", sep="; ")
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        there = asked.run or (place / "run" if (place / "run" / "metrics.json").exists() else None)
        run = Run.open(there) if there else make_run(asked.data, place, asked.backbone, asked.weights, asked.pictures)
        print(run.score_line)
        files = export_all(run, place)
        if asked.make:
            return
        measure(run, files, asked.compared, asked.rounds)


def accuracy_words(lost: dict[str, Any]) -> str:
    value, low, high = (100 * lost["difference"][name] for name in ("value", "low", "high"))
    return f", accuracy {value:+.2f} points ({low:+.2f} to {high:+.2f}), n = {lost['pictures']}"


def measure(run: Run, files: dict[str, Path], compared: int, rounds: int) -> None:
    ensemble = Ensemble.load(run, device="cpu", engine="torch")
    graph = build_graph(ensemble, list(range(len(ensemble.members))))
    _, judges = deal_pictures(shuffled_pictures(run), run.folds, CALIBRATION, compared)
    sample = read_sample(run, ensemble.view, judges)
    views, fold = sample.views, sample.table["fold"].to_numpy()
    name, size = ensemble.members[0].name, ensemble.view.size
    print(f"\n{len(ensemble.members)} members of {name}, {size} px, on {len(views)} pictures")
    runners: dict[str, Runner] = {"PyTorch float32": lambda views: run_graph(graph, views)}
    runners |= {f"ONNX Runtime {p}": by_onnxruntime(files[f"onnx {p}"]) for p in ("float32", "int8")}
    runners |= {f"OpenVINO {h}": by_openvino(files["openvino float32"], h) for h in ("f32", "bf16")}
    runners["OpenVINO int8"] = by_openvino(files["openvino int8"], "f32")
    runners["OpenVINO, the ONNX float32 file"] = by_openvino(files["onnx float32"], "f32")
    found = {name: run_batches(runner, views) for name, runner in runners.items()}
    reference = found["PyTorch float32"]
    for name, outputs in found.items():
        print(f"{name:32} {agreement(reference, outputs, fold)}")
    speeds = take_turns(runners, views[:16], rounds)
    base = speeds["PyTorch float32"]
    for name, values in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(values, base, strict=True)]
        print(f"{name:32} {spread(values)} pictures/s, {spread(ratios)} times PyTorch float32, n = {len(values)}")
    for name, file in files.items():
        parts = [part for part in (file, file.with_suffix(".bin")) if part.exists()]
        size = sum(part.stat().st_size for part in parts) / 1e6
        lost = read_card(file).get("int8")
        print(f"{name}: {size:.0f} MB{accuracy_words(lost) if lost else ''}")


if __name__ == "__main__":
    main()
