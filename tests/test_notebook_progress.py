"""Progress in a notebook: one output, updated in place and empty at the end; lines by stdout."""

from typing import Any

import pytest

from bestiary import display as display_module
from bestiary import notebook_progress
from bestiary.display import Display, TrainingDisplay

Shown = list[tuple[str, dict[str, str]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a notebook would be told to show: the kind of message, and its content."""
    ipython = pytest.importorskip("IPython.display", reason="IPython is not installed")
    messages: Shown = []

    class Handle:
        def update(self, data: dict[str, str], **_: Any) -> None:
            messages.append(("update", data))

    def show(data: dict[str, str], **options: Any) -> Handle:
        assert options == {"raw": True, "display_id": True}
        messages.append(("display", data))
        return Handle()

    monkeypatch.setattr(ipython, "display", show)
    monkeypatch.setattr(notebook_progress, "INTERVAL", 0.0)
    for module in (notebook_progress, display_module):
        monkeypatch.setattr(module, "in_notebook", lambda: True)
    return messages


def test_no_notebook_here() -> None:
    assert not notebook_progress.in_notebook()
    assert not Display().is_notebook


@pytest.mark.parametrize(
    ("module", "kernel", "expected"),
    [
        ("ipykernel.zmqshell", "ZMQInteractiveShell", True),  # JupyterLab, and VS Code
        ("google.colab._shell", "Shell", True),
        ("IPython.terminal.interactiveshell", "TerminalInteractiveShell", False),
    ],
)
def test_notebooks_are_known_by_their_kernel(
    module: str, kernel: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = type(kernel, (), {"__module__": module})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    assert notebook_progress.in_notebook() is expected
    assert Display().is_notebook is expected
    assert not Display(visible=False).is_notebook


def test_counter_updates_in_place(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    with Display().counter("Reading <images>") as tick:
        for done in (1, 2, 3):
            tick(done, 3)
    assert [kind for kind, _ in shown] == ["display", *["update"] * 4]
    assert "1/3" in shown[1][1]["text/plain"]
    assert "3/3" in shown[3][1]["text/html"]
    assert "Reading &lt;images&gt;" in shown[3][1]["text/html"]
    assert shown[-1][1] == {"text/plain": "", "text/html": ""}
    printed = capsys.readouterr()
    assert printed.out.startswith("Reading <images>: 3 in ")
    assert printed.err == ""


def test_epochs_update_in_place(shown: Shown) -> None:
    with TrainingDisplay(Display(), [0], 1, 2) as training:
        training.start_fold(0, 0, 4)
        training.step(2)
        training.step(2)
    assert "epoch 1/2" in shown[1][1]["text/plain"]
    assert "epoch 2/2" in shown[2][1]["text/plain"]
    assert [kind for kind, _ in shown].count("display") == 1


def test_quiet_shows_nothing(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(quiet=True)
    with display.counter("Reading") as tick:
        tick(1, 1)
    assert shown == []
    display.notice("must be seen " * 20)
    assert capsys.readouterr().out == "must be seen " * 20 + "\n"


def test_updates_are_rare(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_progress, "INTERVAL", 1000.0)
    with Display().counter("Reading") as tick:
        for done in range(100):
            tick(done, 100)
    assert [kind for kind, _ in shown] == ["display", "update", "update"]
