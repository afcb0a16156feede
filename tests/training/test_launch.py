"""Launch: the error of a child process arrives in the parent with its message."""

from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ErrorHandler,
    ProcessFailure,
)

from bestiary.errors import BestiaryError, DataError, LocalRankError, RunError
from bestiary.training.launch import error_of_child


def child_failure(error_file: Path, exit_code: int = 2) -> ChildFailedError:
    """The failure of rank 1, as the elastic agent raises it."""
    failure = ProcessFailure(
        local_rank=1,
        pid=1234,
        exitcode=exit_code,
        error_file=str(error_file),
    )
    return ChildFailedError("bestiary", {1: failure})


@pytest.mark.parametrize(
    "error",
    [
        LocalRankError("fold 0: out of memory in process 1 of 2; resume with --resume"),
        DataError("images/a.jpg: truncated, but it was readable when the run began"),
    ],
)
def test_child_error_keeps_class_and_message(
    error: BestiaryError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error_file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(error_file))
    ErrorHandler().record_exception(error)
    raised = error_of_child(child_failure(error_file))
    assert type(raised) is type(error)
    assert str(raised) == str(error)


def test_child_without_error_file_is_named(tmp_path: Path) -> None:
    failure = child_failure(tmp_path / "missing.json", exit_code=-9)
    raised = error_of_child(failure)
    assert type(raised) is RunError
    assert "process 1 of the training has ended by signal 9" in str(raised)
