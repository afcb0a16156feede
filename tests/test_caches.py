"""Eviction from the cache folder: least recently used first, files of an entry together."""

import os
from pathlib import Path

import pytest

from bestiary.caches import (
    SHARD_VARIABLE,
    cache_root,
    ensure_cache,
    evict_least_recently_used,
    shard_cache_bytes,
)
from bestiary.errors import ArgumentError


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.parquet" for name in ("old", "middle", "new")]
    for age, file in enumerate(files):
        file.write_bytes(bytes(100))
        os.utime(file, (age, age))
    evict_least_recently_used([(file,) for file in files], 250)
    assert [file.exists() for file in files] == [False, True, True]


def test_files_of_an_entry_go_together(tmp_path: Path) -> None:
    for age, name in enumerate(["old", "middle", "new"]):
        (tmp_path / f"{name}.xml").write_text("x")
        (tmp_path / f"{name}.bin").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.xml", (age, age))
    evict_least_recently_used(
        [(xml, xml.with_suffix(".bin")) for xml in tmp_path.glob("*.xml")], 250 - 100
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.bin", "new.xml"]


def test_entry_removed_by_another_process(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(bytes(100))
    evict_least_recently_used([(tmp_path / "gone",), (tmp_path / "here",)], 0)
    assert not (tmp_path / "here").exists()


def test_entry_that_cannot_be_removed_stays(tmp_path: Path) -> None:
    """As in a cache that is shared and read-only."""
    folder = tmp_path / "no-file"
    folder.mkdir()
    (tmp_path / "file").write_bytes(bytes(100))
    evict_least_recently_used([(folder,), (tmp_path / "file",)], 0)
    assert folder.is_dir() and not (tmp_path / "file").exists()


def test_cache_that_cannot_be_made_is_temporary_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "file" / "cache"))
    lines: list[str] = []
    ensure_cache(lines.append)
    assert cache_root().is_dir()
    assert len(lines) == 1
    assert "BESTIARY_CACHE names another" in lines[0]
    ensure_cache(lines.append)
    assert len(lines) == 1, "said once"


@pytest.mark.parametrize(
    ("value", "n_bytes"), [("0.5", 5 * 10**8), ("", 20 * 10**9), ("1e3", 10**12)]
)
def test_room_for_shards(value: str, n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARD_VARIABLE, value)
    assert shard_cache_bytes() == n_bytes


@pytest.mark.parametrize("value", ["20GB", "0", "-1", "nan", "inf", "1e300", "lots"])
def test_no_room_for_shards(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARD_VARIABLE, value)
    with pytest.raises(ArgumentError, match=f"{SHARD_VARIABLE}={value}: is no number"):
        shard_cache_bytes()
