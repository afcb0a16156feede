"""Scripts declare their claims, results belong to scripts, and lines of results are checked."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import record, scripts
from harness.results import RESULTS, RETIRED, all_lines, read_file, read_line, split_lines
from harness.scripts import AREAS, all_claims, read_script, script_files
from harness.surroundings import data_facts
from render import read_rows

GOOD: dict[str, Any] = {
    "claim": "help-soon",
    "area": "speed",
    "statement": "The help answers soon",
    "unit": "s",
    "bar": ["most", 0.35, "one does not wait"],
    "values": [{"median": 0.12, "low": 0.11, "high": 0.15}],
    "n": 11,
    "n_of": "processes",
    "machine": {"cpu": "any"},
    "commit": None,
    "date": "2026-11-27",
    "script": "benchmarks/speed/startup.py",
}


def test_every_script_declares_its_claims() -> None:
    assert len(script_files()) > 60
    for file in script_files():
        script = read_script(file)
        assert script.claims, file
        text = file.read_text()
        assert "recording(main, __file__)" in text, file
        for name in script.claims:
            # Some put a name together; the beginning is there all the same.
            assert text.count(f'"{name}"') > 1 or name.partition("-")[0] in text, (file, name)


def test_results_belong_to_scripts() -> None:
    claims = all_claims()
    files = sorted(RESULTS.glob("*.jsonl"))
    assert len(files) > 100
    for line in all_lines():
        claim = claims[line.claim]
        assert (line.area, line.script) == (claim.area, claim.script)
    assert {file.stem for file in files} <= set(claims)


def test_results_name_no_place_of_a_machine() -> None:
    for line in all_lines():
        assert not re.search(r"(^|[\s=])(/|[A-Z]:)\w", line.arguments), line.arguments


def test_watched_files_exist() -> None:
    for claim in all_claims().values():
        for glob in claim.watches:
            assert list(scripts.ROOT.glob(glob)), (claim.name, glob)


def test_commands_fit_the_scripts() -> None:
    for file in script_files():
        for line in read_script(file).commands:
            options = [word for word in line.split() if word.startswith("--")]
            assert all(f'"{word}"' in _with_helpers(file) for word in options), (file, line)


def _with_helpers(file: Path) -> str:
    text = file.read_text()
    if "from accuracy.best import" in text:
        text += (file.parent / "best.py").read_text()
    if "from speed.predict import" in text:
        text += (file.parent / "predict.py").read_text()
    return text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": []}, "values"),
        ({"values": [{"median": "fast"}]}, "values.0.median"),
        ({"bar": ["about", 1, ""]}, "least, most or within"),
        ({"n": 0}, "n:"),
        ({"commit": "not a commit"}, "commit"),
        ({"date": "yesterday"}, "date"),
        ({"claim": "Help Soon"}, "claim"),
        ({"mood": "good"}, "mood"),
        ({"values": [{"median": 1, "unit": "MB"}]}, "no value has the claim's unit"),
    ],
)
def test_bad_lines_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "help-soon.jsonl"
    file.write_text("\n".join([json.dumps(GOOD), json.dumps(GOOD | change)]))
    with pytest.raises(ValueError, match=r"^help-soon\.jsonl:2: ") as error:
        read_file(file)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


OLD = GOOD | {"case": "four worlds", "date": "2026-11-26"}


def retire(folder: Path, text: str) -> None:
    """Write an old and a new case of one claim, and a list of what is retired."""
    (folder / "help-soon.jsonl").write_text(f"{json.dumps(OLD)}\n{json.dumps(GOOD)}\n")
    (folder / RETIRED).write_text(text)


def test_retired_results_do_not_count(tmp_path: Path) -> None:
    retire(tmp_path, '[help-soon]\n"four worlds" = "each world has a case now"\n')
    counting, replaced = split_lines(tmp_path)
    assert [line.case for line in counting] == [""]
    assert [line.case for line in replaced] == ["four worlds"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[help-soon]\n"four worlds" = " "', "no reason"),
        ('[help-soon]\n"five worlds" = "why"', "has no case five worlds"),
        ('[help-late]\n"four worlds" = "why"', "no results of help-late"),
        ('[help-soon]\n"" = "why"', "no newer result replaces it"),
        ('[help-soon]\n"" = "why"\n"four worlds" = "why"', "no newer result replaces it"),
    ],
)
def test_retiring_needs_a_newer_result(text: str, words: str, tmp_path: Path) -> None:
    retire(tmp_path, text)
    with pytest.raises(ValueError, match=words):
        split_lines(tmp_path)


def test_bars_judge() -> None:
    assert read_line(json.dumps(GOOD), "x").reached()
    slow = GOOD | {"values": [{"median": 0.12}, {"what": "cold", "median": 0.4}]}
    assert read_line(json.dumps(slow), "x").reached() is False
    other = {"what": "s of a core", "median": 9, "unit": "s of a core"}
    assert read_line(json.dumps(GOOD | {"values": [*GOOD["values"], other]}), "x").reached()
    within = GOOD | {"bar": ["within", [0.2, 0.3], "why"]}
    assert read_line(json.dumps(within), "x").reached() is False
    assert read_line(json.dumps(GOOD | {"bar": None}), "x").reached() is None


SCRIPT = """
import sys
from functools import cache
sys.path.insert(0, {benchmarks!r})
from harness import record, scripts
from harness.record import recording
from pathlib import Path
record.ROOT = Path({root!r})
record.RESULTS = Path({root!r}) / "results"
CLAIMS = {{"help-soon": {{"statement": "Soon", "unit": "s", "bar": ("most", 1, "why")}}}}
def main():
    {body}
recording(main, __file__)
"""


def run_script(
    place: Path, body: str, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of an area of its own in a folder of its own."""
    file = place / "benchmarks" / "speed" / "help.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {"benchmarks": str(scripts.BENCHMARKS), "root": str(place), "body": body}
    file.write_text(SCRIPT.format(**values))
    return subprocess.run(
        [sys.executable, str(file), *words],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
        timeout=120,
    )


def test_a_result_is_recorded(tmp_path: Path) -> None:
    body = 'record.record("help-soon", [0.1, 0.3, 0.2], 3, "rounds", details={"MB": 5})'
    done = run_script(tmp_path, body, "--rounds", "3")
    assert done.returncode == 0, done.stderr
    run_script(tmp_path, body)
    (first, second) = read_file(tmp_path / "results" / "help-soon.jsonl")
    assert (first.values[0].median, first.values[0].low, first.values[0].high) == (0.2, 0.1, 0.3)
    assert first.raw == {"": (0.1, 0.3, 0.2)}
    assert (first.values[1].unit, first.values[1].median) == ("MB", 5)
    assert (first.area, first.script) == ("speed", "benchmarks/speed/help.py")
    assert first.arguments == "--rounds 3"
    assert second.reached()


def test_data_tells_the_images_used(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"0")
    whole = data_facts(tmp_path)
    assert whole.n == 2
    assert data_facts((tmp_path, 1)) == whole.model_copy(update={"n": 1})
    assert data_facts(("drawn beasts", 3)).n == 3


def test_dry_runs_are_not_recorded(tmp_path: Path) -> None:
    body = 'record.record("help-soon", 0.1, 1, "rounds")'
    done = run_script(tmp_path, body, "--no-record")
    again = run_script(tmp_path, body, BESTIARY_NO_RECORD="1")
    assert (done.returncode, again.returncode) == (0, 0)
    assert "not recorded" in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_script_without_a_result_fails(tmp_path: Path) -> None:
    done = run_script(tmp_path, "pass")
    assert done.returncode == 1
    assert "ended without a result of help-soon" in done.stderr


def test_unknown_claims_are_refused(tmp_path: Path) -> None:
    done = run_script(tmp_path, 'record.record("help-late", 1, 1, "rounds")')
    assert done.returncode == 1
    assert "no claim help-late; help-soon" in done.stderr


def test_outside_of_a_script_nothing_is_recorded() -> None:
    assert record.record("help-soon", 1, 1, "rounds") is None


def test_areas_can_be_listed() -> None:
    command = [sys.executable, str(scripts.BENCHMARKS / "run.py"), "--list"]
    done = subprocess.run([*command, "scale"], capture_output=True, text=True, check=True)
    assert "benchmarks/scale/memory.py" in done.stdout
    assert "shards.py {data}: no folder" in done.stdout
    wrong = subprocess.run([*command, "sped"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert ", ".join(AREAS) in wrong.stderr


def test_only_scripts_with_stale_results_are_run() -> None:
    stale = {row.line.claim for of in read_rows().values() for row in of if row.is_stale}
    every = [scripts.read_script(file) for file in scripts.script_files()]
    with_stale = {script.path for script in every if stale & set(script.claims)}
    command = [sys.executable, str(scripts.BENCHMARKS / "run.py"), "--list", "--stale"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(re.findall(r"benchmarks/\w+/\w+\.py", done.stdout)) == with_stale


def test_what_scripts_import_exists() -> None:
    """Read from the text, since importing them all would take half a minute."""
    wrong = []
    for file in sorted(scripts.BENCHMARKS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bestiary."):
                known = _names(node.module)
                wrong += [
                    f"{file.name}: {node.module}.{alias.name}"
                    for alias in node.names
                    if alias.name not in known
                ]
    assert not wrong


@cache
def _names(module: str) -> set[str]:
    """What a module of bestiary has at its top level, or the modules of a package."""
    place = scripts.ROOT / "src" / Path(*module.split("."))
    found = {file.stem for file in place.iterdir()} if place.is_dir() else set()
    source = place / "__init__.py" if found else place.with_suffix(".py")
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found
