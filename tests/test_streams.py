"""Streams that fail: a lost reader, a full disk, a closed stream; no work stops for it."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bestiary.cli import VERBS, main
from bestiary.display import Display, TrainingDisplay
from bestiary.run.run import Run
from bestiary.streams import PrintableStream, SafeStream, fitted, guarded_streams

FULL = Path("/dev/full")
COMMANDS = {
    "help": ["--help"],
    "help of a verb": ["train", "--help"],
    "version": ["--version"],
    "wrong verb": ["trian"],
    "wrong option": ["show", "x", "--fast"],
    "bad input": ["show", "missing"],
}
SUCCEEDS = ("help", "help of a verb", "version")
OPTIONS = [
    "train.epochs=1",
    "model.backbone=timm/test_resnet",
    "train.precision=float32",
    "train.layout=contiguous",
]
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@contextmanager
def broken_pipe() -> Iterator[int]:
    """The end of a pipe whose reader has gone away."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bestiary", *map(str, arguments)]


class Failing(io.StringIO):
    """A terminal whose writes fail."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("case", COMMANDS)
def test_reader_of_output_goes_away(case: str) -> None:
    with broken_pipe() as writer:
        done = subprocess.run(
            command(*COMMANDS[case]), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    if case in SUCCEEDS:
        assert done.returncode == 141
        assert done.stderr == ""
    else:
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1


@needs_full
@pytest.mark.parametrize("case", SUCCEEDS)
def test_output_on_a_full_disk(case: str) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            command(*COMMANDS[case]), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("bestiary: standard output: cannot be written (No space left on device)")


@pytest.mark.parametrize("case", COMMANDS)
def test_errors_that_nobody_reads(case: str) -> None:
    with broken_pipe() as writer:
        done = subprocess.run(
            command(*COMMANDS[case]), stdout=subprocess.PIPE, stderr=writer, check=False
        )
    assert done.returncode == (0 if case in SUCCEEDS else 2)
    assert bool(done.stdout) == (case in SUCCEEDS)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("case", ["version", "bad input"])
def test_closed_streams(case: str, closed: str) -> None:
    line = f'exec "$@" {closed}'
    arguments = ["sh", "-c", line, "sh", *command(*COMMANDS[case])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if case in SUCCEEDS else 2)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such shell")
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Otherwise what is printed would be written into the file that is opened next."""
    code = (
        "import os, sys\n"
        "from bestiary.streams import occupy_closed_descriptors\n"
        "occupy_closed_descriptors()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w')\n"
        "sys.exit(file.fileno())"
    )
    line = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", line, "sh", sys.executable, "-c", code], check=False)
    assert done.returncode > 2


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_training_goes_on_when_nobody_reads(
    beasts: Path, tiny: Path, tmp_path: Path, processes: int
) -> None:
    options = ["--recipe", tiny, "--folds", 2, "--processes", processes, "--set", *OPTIONS]
    arguments = command("train", beasts, tmp_path / "run", *options)
    with broken_pipe() as writer:
        done = subprocess.run(arguments, stdout=writer, stderr=writer, check=False)
    assert done.returncode == 141
    assert Run(tmp_path / "run").score_line is not None


@needs_full
@pytest.mark.slow
def test_prediction_goes_on_with_a_full_disk_for_progress(
    beasts: Path, trained: Run, tmp_path: Path
) -> None:
    arguments = command("predict", trained.path, beasts, "--out", tmp_path / "p.csv")
    with FULL.open("w") as full:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 0
    assert "27\xa0images predicted".encode() in done.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 28


@pytest.mark.parametrize("number", [28, 32, 5], ids=["ENOSPC", "EPIPE", "EIO"])
def test_display_on_a_terminal_that_fails(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(number))
    display = Display()
    assert display.has_bars
    display.line("a line")
    display.notice("a notice")
    with display.counter("Counting") as tick:
        tick(1, 2)
    with TrainingDisplay(display, [0], 1, 1) as training:
        training.start_fold(0, 0, 8)
        training.step(8)
        training.end_epoch(1, 0.5, 0.5, 0.5, 8.0)


def test_display_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    display = Display()
    display.line("a line")
    assert not display.has_bars


def test_display_follows_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    display.line("a line")
    assert capsys.readouterr().err == "a line\n"


def test_safe_stream_remembers_its_failure() -> None:
    stream = SafeStream(Failing(28))
    stream.write("a")
    assert isinstance(stream.failure, OSError)
    assert not stream.has_lost_reader
    lost = SafeStream(Failing(32))
    lost.write("a")
    assert lost.has_lost_reader
    closed = io.StringIO()
    closed.close()
    quiet = SafeStream(closed)
    quiet.write("a")
    assert quiet.failure is not None
    assert not quiet.isatty()


def test_letters_that_the_encoding_lacks_are_escaped() -> None:
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("рысь\udc80\n")
    stream.flush()
    assert raw.getvalue() == b"\\u0440\\u044b\\u0441\\u044c\\udc80\n"


def test_libraries_neither_fail_nor_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(32))
    with guarded_streams() as output:
        print("a bar of another library", file=sys.stderr)
        print("\x1b[2J")
        assert output.failure is None
    assert isinstance(sys.stderr, Failing)
    shown = io.StringIO()
    PrintableStream(SafeStream(shown)).write("\r50 %\x1b[2J\n")
    assert shown.getvalue() == "\r50 %\\x1b[2J\n"


def test_bars_and_styles_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are escaped, the display's own control sequences are not."""
    monkeypatch.setenv("TERM", "xterm")
    shown = io.StringIO()
    shown.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", shown)
    with guarded_streams():
        display = Display()
        display.notice("\x1b[2J[red]:bear:[/red]")
        with display.counter("[bold]\x1b[5m") as tick:
            tick(1, 2)
            print("\x1b[2J by a library", file=sys.stderr)
    text = shown.getvalue()
    assert "\x1b[33m" in text
    assert "\\x1b[2J[red]:bear:[/red]" in text
    assert "[bold]\\x1b[5m" in text
    assert "\x1b[2J" not in text
    assert "\x1b[5m" not in text


def test_lines_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Display().line("a\nb")
    Display().result("a\nb\x1b")
    assert capsys.readouterr().err == "a\\nb\na\nb\\x1b\n"


def test_names_of_damaged_files_do_not_steer(
    beasts: Path, trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "a\x1b[31m\nb\u202e.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "good.jpg").write_bytes(next(beasts.rglob("*.jpg")).read_bytes())
    assert main(["predict", str(trained.path), str(folder), "--out", str(tmp_path / "p.csv")]) == 1
    printed = capsys.readouterr()
    assert "first a\\x1b[31m\\nb\\u202e.jpg: " in printed.out
    assert "\x1b" not in printed.out + printed.err


def test_run_with_steering_fields(
    trained: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "place", "a\x1b]0;title\x07\nrun")
    assert main(["show", str(trained.path)]) == 0
    assert capsys.readouterr().out.startswith("a\\x1b]0;title\\x07\\nrun: 27 images")


def test_traceback_of_a_defect_does_not_steer() -> None:
    code = (
        "import bestiary.cli.program as cli\n"
        "def fail(_): raise RuntimeError('\\x1b[2J')\n"
        "cli._run_command = fail\n"
        "cli.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert done.stderr.splitlines()[-1] == "RuntimeError: \\x1b[2J"


class Terminal(io.StringIO):
    """A screen, not a file."""

    def isatty(self) -> bool:
        return True


def test_long_lines_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = "short\n  a line that is longer than it\n/a/path/that/is/far/too/long\n"
    shown = fitted(text, Terminal())
    assert shown.split("\n") == [
        "short",
        "  a line that is",
        "  longer than it",
        "/a/path/that/is/far/too/long",
        "",
    ]
    assert fitted(text, io.StringIO()) == text, "files get whole lines"


@pytest.mark.parametrize("verb", VERBS)
def test_commands_stay_whole_in_a_terminal(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell takes each line for a command: ``bestiary train a b`` without its ``--fixes``."""
    monkeypatch.setenv("COLUMNS", "30")
    command = f"bestiary {verb} photos 'my, run' --set a.b=1 --fixes fixes.csv"
    text = f"3 labels are wrong; then: {command}, or leave it at that"
    assert fitted(text, Terminal()).split("\n") == [
        "3 labels are wrong; then:",
        f"{command},",
        "or leave it at that",
    ]


def test_long_lines_of_progress_fit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    display = Display()
    display.line("  a line that is longer than it")
    display.line("/a/path/that/is/far/too/long")
    display.notice("a notice of several words")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert plain.splitlines() == [
        "  a line that is",
        "  longer than it",
        "/a/path/that/is/far/too/long",
        "a notice of several",
        "words",
    ]
