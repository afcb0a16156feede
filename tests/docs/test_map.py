"""The map of the modules is current, and usual words lead to the right module."""

import re
import tomllib
from collections import Counter

import pytest
import write_map
from lint_prose import ROOT

SOURCES = sorted(write_map.PACKAGE.rglob("*.py"))

# A thing to be found, the words that one would search for, and the module where it is done.
THINGS = {
    "the draw between MixUp and CutMix": (r"cutmix", "data/mixing.py"),
    "what writes out-of-fold logits": (r"\boof", "run/oof.py"),
    "the 95 % interval": (r"wilson|confidence interval", "stats/intervals.py"),
    "EXIF orientation": (r"exif[ _]orientation", "data/decode.py"),
    "halving on out-of-memory": (r"out[ _-]of[ _-]memory", "training/out_of_memory.py"),
    "the HTTP body limit": (r"max_body|body limit", "serving/limits.py"),
    "the default recipe": (r"default[ _]recipe", "recipe/defaults.py"),
    "the learning-rate schedule": (r"schedule", "training/schedule.py"),
    "the near-duplicate threshold": (
        r"near[ _-]duplicate[ _-](probability|threshold)",
        "data/near_duplicates/proof.py",
    ),
    "preprocessing inside the ONNX graph": (r"preprocess", "model/classifier.py"),
}


def test_map_is_current() -> None:
    page = write_map.DOCS / "map.md"
    assert page.read_text(encoding="utf-8") == write_map.as_markdown(), "run: make map"


def test_layers_in_contributing_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    assert layers[0] == ["__main__"]
    rows = re.findall(r"^\| (`.*) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    table = [re.findall(r"`(\w+)`", row.split(" (")[0]) for row in rows]
    assert table == layers[1:]


def test_every_module_has_its_line() -> None:
    missing = [str(module) for module in SOURCES if not write_map.first_line(module)]
    assert not missing


def test_map_leads_to_modules() -> None:
    assert len(write_map.INDEX) >= 40
    for word, module in write_map.INDEX.items():
        assert (write_map.PACKAGE / module).is_file(), word


@pytest.mark.parametrize("thing", THINGS)
def test_usual_words_rank_first(thing: str) -> None:
    words, module = THINGS[thing]
    assert ranking(words)[0] == module


def ranking(words: str) -> list[str]:
    """The modules by how often they say `words`; of equals, the later path first, to be strict."""
    hits: Counter[str] = Counter()
    for source in SOURCES:
        name = source.relative_to(write_map.PACKAGE).as_posix()
        hits[name] = len(re.findall(words, source.read_text(encoding="utf-8"), re.IGNORECASE))
    ties = sorted(hits, key=lambda name: (hits[name], name), reverse=True)
    first = [name for name in ties if hits[name] == hits[ties[0]]]
    assert len(first) == 1, f"{first} say it equally often"
    return ties
