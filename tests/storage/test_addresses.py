"""Addresses: only plain ones of known stores are opened, whoever gives them."""

from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary
from bestiary.errors import DataError
from bestiary.storage.files import SCHEMES, StoredFile, StoredFolder, check_address, open_store
from bestiary.storage.roots import open_root

REFUSED = (
    "reference://::file:///tmp/evil.json",
    "filecache::s3://bucket/x",
    "simplecache::memory://x",
    "zip://a::memory://x.zip",
    "s3://bucket/a::zip://b",
    "reference://x",
    "zip://x",
    "tar://x",
    "dask://x",
    "git://x",
    "github://owner:repo@main/x",
    "ftp://host/x",
    "ssh://host/x",
    "local://x",
    "blockcache://x",
    "data://x",
    "S3://bucket/x",
    "://x",
)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that fsspec is asked to open."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    asked: list[str] = []

    def url_to_fs(address: str) -> None:
        asked.append(address)
        raise ValueError("not here")

    monkeypatch.setattr(fsspec.core, "url_to_fs", url_to_fs)
    return asked


@pytest.mark.parametrize("address", REFUSED)
def test_other_addresses_never_reach_fsspec(address: str, opened: list[str]) -> None:
    for use in (
        lambda: open_store(address),
        lambda: open_root(address),
        lambda: StoredFile(address).read_bytes(),
        lambda: StoredFolder(address).list_files(),
        lambda: StoredFolder(address).is_dir(),
    ):
        with pytest.raises(DataError, match="never opened"):
            use()
    assert opened == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_known_stores_pass(scheme: str, opened: list[str]) -> None:
    address = f"{scheme}://bucket/x"
    check_address(address)
    with pytest.raises(DataError, match="not here"):
        open_store(address)
    assert opened == [address]


def test_every_verb_refuses_one(fails: Callable[..., str], tmp_path: Path) -> None:
    chained = "reference://::file:///tmp/evil.json"
    for command in (
        ["scan", chained],
        ["train", chained, tmp_path / "new"],
        ["show", chained],
        ["report", chained],
        ["shard", chained, tmp_path / "new"],
    ):
        assert "never opened" in fails(*command)


def test_control_characters_of_an_address_are_escaped() -> None:
    with pytest.raises(DataError) as error:
        check_address("\x1b]0;evil\x07://x")
    assert "\x1b" not in str(error.value)
    assert bestiary.BestiaryError in type(error.value).__mro__
