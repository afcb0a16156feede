"""Room in the user's cache folder: what was used longest ago goes first, files that belong
together at once.
"""

import os
from pathlib import Path

from bestiary.caches import make_room


def test_features_used_longest_ago_make_room(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.parquet" for name in ("old", "middle", "new")]
    for age, file in enumerate(files):
        file.write_bytes(bytes(100))
        os.utime(file, (age, age))
    make_room([(file,) for file in files], 250)
    assert [file.exists() for file in files] == [False, True, True]


def test_the_graphs_used_longest_ago_make_room(tmp_path: Path) -> None:
    for age, name in enumerate(["old", "middle", "new"]):
        (tmp_path / f"{name}.xml").write_text("x")
        (tmp_path / f"{name}.bin").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.xml", (age, age))
    make_room([(xml, xml.with_suffix(".bin")) for xml in tmp_path.glob("*.xml")], 250 - 100)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.bin", "new.xml"]


def test_what_another_process_has_removed_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(bytes(100))
    make_room([(tmp_path / "gone",), (tmp_path / "here",)], 0)
    assert not (tmp_path / "here").exists()
