"""The conda recipe says what pyproject.toml says, so that neither can change alone."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# Names that conda-forge has for packages of PyPI; of OpenCV it has no fourth number.
CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "py-opencv"}
CONDA_VERSIONS = {">=4.10.0.84": ">=4.10.0"}


@pytest.fixture(scope="module")
def recipe() -> Any:
    return yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_conda_dependencies_are_the_projects(recipe: Any, project: dict[str, Any]) -> None:
    wanted = {}
    for line in project["project"]["dependencies"]:
        requirement = Requirement(line)
        versions = str(requirement.specifier)
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        wanted[name] = CONDA_VERSIONS.get(versions, versions)
    python, *lines = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert dict(line.split(" ", 1) for line in lines) == wanted
    assert len(lines) == len(wanted)


def test_conda_says_what_the_project_says(recipe: Any, project: dict[str, Any]) -> None:
    told = project["project"]
    assert recipe["context"]["version"] == told["version"]
    assert f">={recipe['context']['python_min']}" == told["requires-python"]
    assert recipe["about"]["summary"] == told["description"]
    assert recipe["about"]["license"] == told["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"bestiary = {told['scripts']['bestiary']}"
    assert project["build-system"]["requires"] == ["hatchling>=1.26"]
    assert "hatchling >=1.26" in recipe["requirements"]["host"]
