"""A forked child that cannot compute says so, and one that can does. No child may hang a test."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bestiary.run.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork"),
]
MAX_SECONDS = 120
PROGRAM = """
import json, multiprocessing, os, signal, sys, warnings
import torch
import torchvision  # or each case would, when it loads its network
import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.model import forks

warnings.simplefilter("ignore")

def answer(run, image, engine, before, inside):
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
        return
    if inside == "earlier pool":
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(inside, *pool.map_async(load().predict, [image]).get(60)[0])
        return
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
        print("hangs")

# Imports take seconds and start no thread. So each case begins in a fork of this process, which
# has imported, and computes nothing itself.
for line in sys.stdin:
    max_seconds, printed, arguments = json.loads(line)
    case = os.fork()
    if case == 0:
        signal.alarm(max_seconds)
        file = os.open(printed, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        forks._pids["imported"] = os.getpid()  # as if it had imported itself
        answer(*arguments)
        sys.exit()
    print(os.waitpid(case, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def importer() -> Iterator["subprocess.Popen[str]"]:
    """A process that has imported bestiary and PyTorch, and forks for each case it reads."""
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.fixture
def run_case(
    importer: "subprocess.Popen[str]", trained: Run, beasts: Path, tmp_path: Path
) -> Callable[..., str]:
    """Runs a case, with the session's run and an image; returns what it printed."""

    def run(*case: str) -> str:
        printed = tmp_path / "printed"
        image = next(beasts.rglob("*.jpg"))
        order = [MAX_SECONDS, str(printed), [str(trained.path), str(image), *case]]
        assert importer.stdin and importer.stdout
        print(json.dumps(order), file=importer.stdin, flush=True)
        status = importer.stdout.readline()
        assert status == "0\n", printed.read_text()
        return printed.read_text()

    return run


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
    run_case: Callable[..., str], engine: str, before: str, inside: str, words: str
) -> None:
    printed = run_case(engine, before, inside)
    assert printed.startswith(words), printed
    if words.startswith("ForkError"):
        assert len(printed.splitlines()) == 1
        assert "get_context('spawn')" in printed
        assert "load the ensemble in the child" in printed


def test_torch_in_the_parent_is_refused_where_it_would_hang(run_case: Callable[..., str]) -> None:
    """PyTorch with one thread starts no others, and hangs nowhere."""
    printed = run_case("torch", "torch", "loaded")
    refused = "ForkError this process was forked after its parent had computed with PyTorch"
    assert printed.startswith((refused, "loaded ")), printed
