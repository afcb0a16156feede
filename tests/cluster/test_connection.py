"""Connections to a cluster: what is said where none is to be had."""

from types import SimpleNamespace

import pytest

from bestiary.cluster import connection
from bestiary.errors import ArgumentError


@pytest.mark.parametrize(
    ("address", "remedy"),
    [("ray", "once the machine is less busy"), ("ray://host:10001", "set RAY_AUTH_MODE=token")],
)
@pytest.mark.parametrize("kind", [Exception, ConnectionError, TimeoutError])
def test_cluster_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str, remedy: str, kind: type[Exception]
) -> None:
    def init(**_: object) -> None:
        raise kind("The current node timed out during startup.\nSee its logs")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setattr(connection, "load_ray", lambda: ray)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with (
        connection.Connection(address) as connected,
        pytest.raises(ArgumentError, match=f"--cluster {address}: no cluster answers") as refused,
    ):
        connected.wait()
    line = str(refused.value)
    assert "timed out during startup" in line and remedy in line and "\n" not in line
