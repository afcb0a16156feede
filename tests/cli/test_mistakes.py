"""What people type when they come from other tools: each is answered with the one thing to type."""

import inspect
import re
from pathlib import Path

import pytest

import bestiary
from bestiary.cli import VERBS
from bestiary.cli.mistakes import COMMANDS, OTHER_OPTIONS, OTHER_VERBS, OWN_OPTIONS
from bestiary.recipe.foreign_names import FOREIGN_KEYS
from bestiary.recipe.options import options
from bestiary.run.run import Run

TRAIN = "train {data} {new} "
MISTAKES = {
    # Verbs: misspelt, and those of other tools.
    "trian {data} {new}": "write bestiary train",
    "tran {data} {new}": "write bestiary train",
    "Train {data} {new}": "write bestiary train",
    "fit {data} {new}": "write bestiary train",
    "probee {data} {new}": "write bestiary probe",
    "predct {run} {data}": "write bestiary predict",
    "infer {run} {data}": "write bestiary predict",
    "classify {run} {data}": "write bestiary predict",
    "eval {run} {data}": "write bestiary evaluate",
    "val {run} {data}": "write bestiary evaluate",
    "test {run} {data}": "write bestiary evaluate",
    "check {data}": "write bestiary scan",
    "status {run}": "write bestiary show",
    "ls": "write bestiary show",
    "reprot {run}": "write bestiary report",
    "onnx {run}": "write bestiary export",
    "tune {data}": "write bestiary ablate",
    "xyzzy": "the verbs are ablate, ",
    # Options of timm, Ultralytics, fastai, torchvision, scikit-learn.
    TRAIN + "--lr 1e-3": "write --set optimizer.lr=1e-3",
    TRAIN + "--lr=1e-3": "write --set optimizer.lr=1e-3",
    TRAIN + "--lr": "write --set optimizer.lr=VALUE",
    TRAIN + "--learning-rate 1e-3": "write --set optimizer.lr=1e-3",
    TRAIN + "--learning_rate 1e-3": "write --set optimizer.lr=1e-3",
    TRAIN + "--lr0 0.01": "write --set optimizer.lr=0.01",
    TRAIN + "--imgsz 224": "write --set view.size=224",
    TRAIN + "--img-size 224": "write --set view.size=224",
    TRAIN + "--batch-size 16": "write --batch 16",
    TRAIN + "--batch_size 16": "write --batch 16",
    TRAIN + "--bs 16": "write --batch 16",
    TRAIN + "--num-epochs 3": "write --epochs 3",
    TRAIN + "--epoch 3": "write --epochs 3",
    TRAIN + "--random-seed 3": "write --seed 3",
    TRAIN + "--model resnet50": "write --set model.backbone=timm/resnet50",
    TRAIN + "--arch resnet50": "write --set model.backbone=timm/resnet50",
    TRAIN + "--backbone timm/resnet50": "write --set model.backbone=timm/resnet50",
    TRAIN + "--weight-decay 0.1": "write --set optimizer.weight_decay=0.1",
    TRAIN + "--smoothing 0.1": "write --set loss.label_smoothing=0.1",
    TRAIN + "--mixup 0.2": "write --set mix.mixup=0.2",
    TRAIN + "--freeze 3": "write --set model.freeze=3",
    TRAIN + "--amp": "write --set train.precision=VALUE",
    TRAIN + "--workers 8": "leave it out",
    TRAIN + "--num-workers 8": "leave it out",
    TRAIN + "--patience 5": "leave it out",
    TRAIN + "--val-split 0.2": "leave it out",
    TRAIN + "--overwrite": "name another place, or continue with --resume",
    TRAIN + "--exist-ok": "name another place, or continue with --resume",
    "probe {data} {new} --force": "name another place",
    "report {run} --gpu": "see bestiary report --help",
    "probe {data} {new} --on ray": "probe has no option --on; ",
    "curve {data} {run} --set data.layout=class": "give it to bestiary probe DATA RUN first",
    TRAIN + "--cv 5": "write --folds",
    TRAIN + "--kfold 5": "write --folds",
    TRAIN + "--gpus 2": "write --processes",
    TRAIN + "--time-limit 600": "write --budget",
    TRAIN + "--preset fast": "write --recipe",
    TRAIN + "--quite": "write --quiet",
    "train --data {data} --run {new}": "write bestiary train DATA RUN",
    TRAIN + "--output-dir out": "write bestiary train DATA RUN",
    "probe {data} {new} --epochs 3": "write --set train.epochs=3",
    "probe {data} {new} --resume": "leave it out and name another folder",
    "predict {run} {data} -o p.csv": "write --out",
    "predict {run} {data} --output p.csv": "write --out",
    "predict {run} {data} --conf 0.5": "write --risk",
    "predict {run} {data} --batch-size 16": "bestiary train sets by --set train.batch_size=16",
    "serve {run} --token abc": "write --token-file",
    # Keys of a recipe.
    TRAIN + "--set train.epoch=3": "did you mean train.epochs?",
    TRAIN + "--set epoch=3": "is called train.epochs here",
    TRAIN + "--set imgsz=224": "is called view.size here",
    TRAIN + "--set seed=3": "write folds.seed or train.seed",
    TRAIN + "--set view.augment=autoaugment": "trivialaugment",
    TRAIN + "--set train.epochs": "section.key=value",
    TRAIN + "--set track.to=tensorboard": "mlflow",
    TRAIN + "--epochs 3 --set epochs=4": "is given twice; leave one of them out",
    TRAIN + "--device gpu": "choose cpu, cuda, mps, xpu",
    TRAIN + "--device cuda:1": "CUDA_VISIBLE_DEVICES=1",
    # Wrong values, arguments too many, too few or swapped.
    TRAIN + "--epochs many": "--epochs",
    TRAIN + "--recipe bset": "did you mean best?",
    "train {data}": "write bestiary train DATA RUN",
    "show {run} {run}": "write bestiary show [RUN]",
    "report {data}": "is not a run",
    "predict {data} {run} --out p.csv": "write bestiary predict {run} {data}",
    "evaluate {data} {run}": "write bestiary evaluate {run} {data}",
    "train {run} {data}": "write bestiary train {data} {run}",
    "options --recipe bset": "did you mean best?",
    "options xyzzy": "bestiary options lists all",
    # Thirty more: verbs and options of other tools, arguments too many, values of another kind.
    "help": "write bestiary --help",
    "version": "write bestiary --version",
    "train help": "write bestiary train --help",
    "resume {run}": "write bestiary train DATA RUN --resume",
    "plot {run}": "write bestiary report",
    "visualize {run}": "write bestiary report",
    "gradcam {run}": "write bestiary report",
    "split {data}": "write bestiary train DATA RUN",
    "cache clear": "write --clear",
    "cache --clean": "write --clear",
    "report {run} out.html": "write --out out.html",
    "report {run} --pdf": "write --format pdf",
    "labels {run} {data}": "write bestiary labels RUN",
    "predict {run} {data} --csv p.csv": "write --out",
    "predict {run} {data} --top-k 3": "leave it out",
    "predict {run} {data} --format csv": "full",
    "export {run} m.onnx --half": "write --float16",
    "export {run} m.onnx --fp16": "write --float16",
    "export {run} m.tflite --format tflite": 'Did you mean "litert"?',
    "export {run}": "write bestiary export RUN OUT",
    "serve {run} --bind 0.0.0.0": "write --host",
    "serve {run} -p 80": "write --port",
    "advise {data} --time 5min": "write --budget",
    TRAIN + "--max-epochs 3": "write --epochs 3",
    TRAIN + "--augment randaugment": "write --set view.augment=randaugment",
    TRAIN + "--optimizer adam": "it is AdamW",
    TRAIN + "--num-classes 3": "each folder is a class",
    TRAIN + "--dropout 0.2": "leave it out",
    TRAIN + "--gpu 0": "write --device cuda",
    TRAIN + "--k-fold 5": "write --folds",
    TRAIN + "--folds 0": "folds.n = 0",
    TRAIN + "--budget 30": "give 10min, 30min",
    TRAIN + "extra": "write bestiary train DATA RUN",
    "compare {run}": "write bestiary compare RUN OTHER MORE...",
}


def options_of(verb: str) -> set[str]:
    """Long options of a verb; those of `train`, which a remedy may name, of what is none."""
    parameters = inspect.signature(getattr(bestiary, verb if verb in VERBS else "train")).parameters
    named = {f"--{name.replace('_', '-')}" for name in parameters}
    return named | {"--help", "--version", "--set", "--json"}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistake_gets_one_remedy(
    command: str,
    beasts: Path,
    trained: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails,
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    places = {"data": beasts, "run": trained.path, "new": tmp_path / "new"}
    line = fails(*[word.format(**places) for word in command.split()])
    assert MISTAKES[command].format(**places) in line
    verb, remedy = command.split()[0], line.partition("; ")[2]
    assert set(re.findall("--[a-z0-9-]+", remedy)) <= options_of(verb)
    assert not (tmp_path / "new").exists()


def test_no_gpu_is_said(beasts: Path, tmp_path: Path, monkeypatch, fails) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda **_: None)
    line = fails("train", beasts, tmp_path / "new", "--device", "cuda")
    assert line.endswith("--device cuda: this machine has no such device; choose cpu")


def test_words_of_other_tools_lead_to_known_ones() -> None:
    keys = {option.name for option in options()}
    assert set(FOREIGN_KEYS.values()) <= keys
    assert set(OWN_OPTIONS) <= keys
    assert set(OTHER_VERBS.values()) <= set(VERBS)
    assert not (set(OTHER_VERBS) | set(COMMANDS)) & set(VERBS)
    assert not set(OTHER_OPTIONS) & set(FOREIGN_KEYS)


def test_short_keys_and_lists_are_understood() -> None:
    recipe = bestiary.load_recipe(
        "fast", ["epochs=7", "gamma=1", "track.to=mlflow,wandb", "scale=0.5, 1"]
    )
    assert recipe.train.epochs == 7
    assert recipe.loss.gamma == 1
    assert recipe.track.to == ("mlflow", "wandb")
    assert recipe.view.scale == (0.5, 1.0)
    assert bestiary.load_recipe("fast", ["track.to=wandb"]).track.to == ("wandb",)
    assert bestiary.load_recipe("fast", ["track.to="]).track.to == ()
