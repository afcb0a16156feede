"""Names of environment variables: a slip is refused, and somebody's own name is not."""

from collections.abc import Callable

import pytest

from bestiary.cli.environment import PREFIX, VARIABLES, check_environment
from bestiary.errors import ArgumentError


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BESTIARY_TOKENS", "BESTIARY_TOKEN"),
        ("BESTIARY_TOKNE", "BESTIARY_TOKEN"),
        ("bestiary_token", "BESTIARY_TOKEN"),
        ("BESTIARY_CAHCE", "BESTIARY_CACHE"),
        ("BESTIARY_CACHE_DIR", "BESTIARY_CACHE"),
        ("BESTIARY_STATES", "BESTIARY_STATE"),
        ("BESTIARY_SHARD_CACHE", "BESTIARY_SHARD_CACHE_GB"),
    ],
)
def test_a_slip_is_refused(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.setenv(name, "1")
    line = fails("options")
    assert line.startswith(f"bestiary: {name}: ") and f"did you mean {meant}?" in line


def test_names_of_others_pass() -> None:
    check_environment(PREFIX + name for name in VARIABLES)
    check_environment(["HOME", "TOKEN", "BESTIARY_RUN", "BESTIARY_NO_RECORD", "BESTIARY_", ""])
    with pytest.raises(ArgumentError):
        check_environment(["HOME", "BESTIARY_TOKENN"])
