"""Commands and programs in README.md and docs/ are understood, and all but marked ones run.

The runs take minutes, so they are for `make run-docs`.
"""

import ast
import contextlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import blocks
import pytest
from cyclopts import App
from lint_prose import ROOT, pages

import bestiary
from bestiary.cli.application import build_app
from bestiary.cli.program import main
from bestiary.recipe.options import options
from bestiary.recipe.overrides import parse_override

BLOCKS = blocks.all_blocks()
RUN = [block for block in BLOCKS if not block.reason]
TUTORIALS = [f"docs/tutorials/{name}.md" for name in ("folder-to-number", "put-to-work")]
ALONE = sorted({block.page for block in RUN} - set(TUTORIALS))
FAKES = {"docs/how-to/hub.md": "hub"}
"""Page -> the fixture that stands for what it needs and cannot have."""
TRAINS = ("train", "distill")
TINY = [
    "model.backbone=timm/test_resnet",
    "model.weights=none",
    "model.head=random",
    "model.freeze=0",
    "view.size=32",
    "train.epochs=1",
    "train.precision=float32",
]
"""A network that trains in a second, in the place of a recipe's."""


@pytest.fixture(scope="module")
def app() -> App:
    return build_app(every_option=True)


def test_some_blocks_run_and_others_say_why() -> None:
    assert len(RUN) >= 75
    for block in BLOCKS:
        assert not block.reason or len(block.reason.split()) >= 2, block


def test_every_fence_names_its_language() -> None:
    """A command in a fence without one would be neither run nor marked."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
        assert len(fences) % 2 == 0, page
        assert all(fence.strip() != "```" for fence in fences[::2]), page


def test_commands_are_understood(app: App) -> None:
    commands = [
        (block.page, command[1:])
        for block in BLOCKS
        if block.language == "sh"
        for command in block.commands()
        if command[0] == "bestiary"
    ]
    assert len(commands) >= 80
    for page, words in commands:
        words = [word for word in words if word != "[OPTIONS]"]
        app.parse_args(words, exit_on_error=False, print_error=False)
        check_overrides(page, words)


def check_overrides(page: str, words: list[str]) -> None:
    """Check that what follows --set and --vary are options of a recipe."""
    known = {option.name for option in options()}
    for place, word in enumerate(words):
        if word in ("--set", "--vary"):
            for override in words[place + 1 :]:
                if override.startswith("-"):
                    break
                section, key, _ = parse_override(override)
                assert f"{section}.{key}" in known, (page, override)


def test_programs_are_understood() -> None:
    programs = [block for block in BLOCKS if block.language == "python"]
    assert len(programs) >= 10
    for block in programs:
        tree = ast.parse(block.code)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "bestiary"
            ):
                assert node.attr in [*bestiary.__all__, "sklearn"], (block.page, node.attr)


@pytest.mark.slow
@pytest.mark.parametrize("page", ALONE, ids=lambda page: Path(page).stem)
def test_page_runs(page: str, copied: Callable[[], Path], request: pytest.FixtureRequest) -> None:
    copied()
    if page in FAKES:
        request.getfixturevalue(FAKES[page])
    run_page(page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages", [TUTORIALS], ids=["+".join(Path(page).stem for page in TUTORIALS)]
)
def test_tutorials_run(
    pages: list[str], asked_for: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one goes on with the first one's run."""
    monkeypatch.chdir(tmp_path)
    for page in pages:
        run_page(page)


def run_page(page: str) -> None:
    """Run the blocks of a page in the working directory; programs share their names."""
    names: dict[str, object] = {}
    runnable = [block for block in blocks.blocks_of(ROOT / page) if not block.reason]
    for block in runnable:
        for command in block.commands() if block.language == "sh" else []:
            if command[1] in ("train", "probe"):  # a run that the page makes itself
                shutil.rmtree(command[3], ignore_errors=True)
    for block in runnable:
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.code, page, "exec"), names)
        else:
            for command in block.commands():
                run_command(page, command)


def run_command(page: str, command: list[str]) -> None:
    """Run a command of bestiary; trainings by a recipe that fine-tunes take a tiny network."""
    assert command[0] == "bestiary", (page, command, "mark it: not run")
    words = command[1:]
    recipe = words[words.index("--recipe") + 1] if "--recipe" in words else "best"
    if words[0] in TRAINS and recipe in ("best", "fast") and "--dry-run" not in words:
        tiny = [one for one in TINY if "--epochs" not in words or "epochs" not in one]
        words = [*words, "--set", *tiny]
    if words[0] == "report" and "--format" not in words:
        words = [*words, "--no-saliency"]  # maps are slow, and have tests of their own
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        status = main(words)
    assert status in (0, 1), (page, command, errors.getvalue()[-2000:])
