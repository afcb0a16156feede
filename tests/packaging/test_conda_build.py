"""The conda recipe is built by rattler-build, against a channel of stubs.

conda's own packages may be out of reach, so `python`, `pip` and `hatchling` are empty packages here
whose `python` is the one of this test. What follows from the recipe alone is checked: it is read,
rendered and run, and the package has all files, the command and the dependencies.
"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "conda" / "recipe.yaml"
# pip installs into the environment that is being built, and asks no index.
PYTHON = f"""#!/bin/sh
export PIP_PREFIX="$PREFIX" PIP_IGNORE_INSTALLED=1 PIP_NO_INDEX=1
exec "{sys.executable}" "$@"
"""


def write_stub(channel: Path, name: str, version: str, files: dict[str, str]) -> dict[str, Any]:
    """Write a conda package of programs; returns what the channel's index says of it."""
    index = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": channel.name,
    }
    entries = [
        {"_path": path, "path_type": "hardlink", "size_in_bytes": len(text)}
        | {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in files.items()
    ]
    contents = {
        **files,
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": entries}),
    }
    package = channel / f"{name}-{version}-0.tar.bz2"
    with tarfile.open(package, "w:bz2") as archive:
        for path, text in contents.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    return {package.name: index | {"sha256": digest, "size": package.stat().st_size}}


@pytest.fixture
def channel(tmp_path: Path) -> str:
    """The address of a channel with the packages that the recipe needs to be built."""
    platforms = {"noarch": {}, "linux-64": {}}
    for name, packages in platforms.items():
        folder = tmp_path / "channel" / name
        folder.mkdir(parents=True)
        if name != "noarch":
            programs = {"bin/python": PYTHON, "bin/python3.11": PYTHON}
            packages |= write_stub(folder, "python", "3.11.0", programs)
            packages |= write_stub(folder, "pip", "24.0", {"share/pip": ""})
            packages |= write_stub(folder, "hatchling", "1.26.0", {"share/hatchling": ""})
        listing = {"info": {"subdir": name}, "packages": packages, "packages.conda": {}}
        (folder / "repodata.json").write_text(json.dumps(listing))
    return (tmp_path / "channel").as_uri()


@pytest.mark.skipif(sys.platform != "linux", reason="the stubs are for Linux")
def test_conda_recipe_builds(channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))
    (built,) = rattler_build.Stage0Recipe.from_file(RECIPE).run_build(
        tool_config=rattler_build.ToolConfiguration(test_strategy="skip"),
        channels=[channel],
        output_dir=tmp_path / "out",
    )
    package = rattler_build.Package.from_file(built.packages[0])
    assert (package.name, str(package.noarch)) == ("bestiary", "python")
    assert "pytorch >=2.7" in package.depends
    found = {
        name.removeprefix("site-packages/")
        for name in package.files
        if name.startswith("site-packages/bestiary/")
    }
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == wanted
