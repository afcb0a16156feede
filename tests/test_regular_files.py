"""Files that may come from a stranger: special and oversized ones are refused at once."""

import os
from pathlib import Path

import pytest

from bestiary.regular_files import UnfitFileError, check_regular, read_regular


def test_regular_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(file)
    assert read_regular(file, 5) == read_regular(tmp_path / "link", 5) == b"12345"


def test_larger_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.truncate(file, 1 << 40)  # takes no space
    with pytest.raises(UnfitFileError, match="holds 1,099,511,627,776 bytes"):
        read_regular(file, 1000)


def test_file_that_says_no_size_is_refused() -> None:
    with pytest.raises(UnfitFileError, match="longer than its size says"):
        read_regular(Path("/proc/self/maps"), 10)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null"])
def test_device_is_refused(place: str) -> None:
    for check in (read_regular, check_regular):
        with pytest.raises(UnfitFileError, match="is a device"):
            check(Path(place), 10)


def test_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnfitFileError, match="is a FIFO"):
        read_regular(tmp_path / "fifo", 10)


def test_missing_file_stays_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)
