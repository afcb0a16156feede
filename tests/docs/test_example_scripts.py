"""The programs in examples/ run on the images and runs of the documentation."""

import runpy
import sys
from collections.abc import Callable

import pytest
from lint_prose import ROOT

EXAMPLES = ROOT / "examples"
# Program -> its arguments, and words that it prints.
CASES = {
    "folder_to_report": (["photos", "run_example"], "Out-of-fold accuracy"),
    "triage": (["run", "new_photos", "piles"], "sure: "),
    "clean_labels": (["photos", "run_first", "run_second"], "after:  Out-of-fold accuracy"),
    "season": (["run", "new_photos"], "confidence"),
    "compare_option": (["photos", "model.power_norm=false"], "run-base: Out-of-fold accuracy"),
}
ELSEWHERE = ("predict_onnx", "predict_litert", "predict_executorch")  # tests/exporting runs them


def test_every_example_is_run() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*CASES, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_example_runs(
    name: str,
    copied: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copied()
    arguments, words = CASES[name]
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert words in capsys.readouterr().out
