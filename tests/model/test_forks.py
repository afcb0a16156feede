"""A forked child that cannot compute says so, and one that can does. No child may hang a test."""

import subprocess
import sys
from pathlib import Path

import pytest

from bestiary.run.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork"),
]
MAX_SECONDS = 120
PROGRAM = """
import multiprocessing, sys, warnings
import torch
import bestiary
from bestiary.ensemble.ensemble import Ensemble

warnings.simplefilter("ignore")
run, image, engine, before, inside = sys.argv[1:]

def load():
    return Ensemble.load(run, device="cpu", engine=engine)

def child():
    try:
        ensemble = inherited if inside == "inherited" else load()
        print(inside, *ensemble.predict(image))
    except bestiary.BestiaryError as error:
        print(type(error).__name__, error)

inherited = None
if before in ("load", "predict"):
    inherited = load()
if before == "predict":
    inherited.predict(image)
if before == "torch":
    torch.rand(2_000_000).exp()
if before == "one thread":
    torch.set_num_threads(1)
if inside == "pool":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            print(inside, *pool.map_async(inherited.predict, [image]).get(60)[0])
        except bestiary.BestiaryError as error:
            print(type(error).__name__, error)
    sys.exit()
if inside == "earlier pool":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(inside, *pool.map_async(load().predict, [image]).get(60)[0])
    sys.exit()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(60)
if process.is_alive():
    process.kill()
    print("hangs")
"""


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize(
    ("before", "inside", "words"),
    [
        ("load", "inherited", "ForkError this ensemble comes from before a fork"),
        ("predict", "inherited", "ForkError this ensemble comes from before a fork"),
        ("load", "loaded", "ForkError this process was forked after its parent had loaded"),
        ("predict", "loaded", "ForkError this process was forked after its parent had loaded"),
        ("load", "pool", "ForkError this ensemble comes from before a fork"),
        ("nothing", "earlier pool", "earlier pool "),
        ("nothing", "loaded", "loaded "),
        ("one thread", "loaded", "loaded "),
    ],
)
def test_forked_child_answers_or_refuses(
    trained: Run, beasts: Path, engine: str, before: str, inside: str, words: str
) -> None:
    printed = run_program(trained, beasts, engine, before, inside)
    assert printed.startswith(words), printed
    if words.startswith("ForkError"):
        assert len(printed.splitlines()) == 1
        assert "get_context('spawn')" in printed
        assert "load the ensemble in the child" in printed


def test_torch_in_the_parent_is_refused_where_it_would_hang(trained: Run, beasts: Path) -> None:
    """PyTorch with one thread starts no others, and hangs nowhere."""
    printed = run_program(trained, beasts, "torch", "torch", "loaded")
    refused = "ForkError this process was forked after its parent had computed with PyTorch"
    assert printed.startswith((refused, "loaded ")), printed


def run_program(trained: Run, beasts: Path, *arguments: str) -> str:
    image = next(beasts.rglob("*.jpg"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(trained.path), str(image), *arguments],
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
