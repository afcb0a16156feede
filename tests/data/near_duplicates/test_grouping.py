"""Grouping: what is compared, and what is kept for the next scan."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import read_manifest
from bestiary.data.near_duplicates.grouping import find_near_duplicates
from bestiary.display import Display

Pixels = NDArray[np.uint8]


def test_a_file_that_changes_meanwhile_is_not_compared(
    save: Callable[..., Path],
    scene: Callable[..., Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    file = save("a/one.jpg", scene(1), quality=95)
    save("b/two.jpg", scene(1), quality=90)
    cache = ImageInfoCache(cache_folder())
    manifest = read_manifest(list_labeled(tmp_path / "data"), lambda *_: None, cache)
    parts = [(manifest.root, manifest.table)]
    content = file.read_bytes()

    Image.fromarray(scene(2)).save(file)
    assert find_near_duplicates(parts, cache, Display()).is_empty()
    assert "1 image was not compared with others" in " ".join(capsys.readouterr().err.split())

    # What was found of the changed file was not kept.
    file.write_bytes(content)
    assert find_near_duplicates(parts, cache, Display(quiet=True))["is_proved"].to_list() == [True]
