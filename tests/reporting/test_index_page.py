"""The index of a folder of runs, and the links between the reports of runs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bestiary
from bestiary.cli import main
from bestiary.numbers import percent
from bestiary.run.run import Run


@pytest.fixture
def runs(trained: Run, tmp_path: Path) -> Path:
    """A folder of two runs of the same images, and one that is damaged."""
    folder = tmp_path / "runs"
    for name in ("a <b>", "second", "damaged"):
        shutil.copytree(trained.path, folder / name)
    (folder / "damaged" / "manifest.parquet").write_bytes(b"x")
    return folder


def test_index_lists_runs_and_links_to_reports(
    runs: Path, trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    bestiary.report(runs / "a <b>", no_saliency=True, quiet=True)
    assert main(["report", str(runs)]) == 0
    assert "2\xa0runs" in (printed := capsys.readouterr().out) and "left out" in printed
    page = (runs / "index.html").read_text("utf-8")
    accuracy = trained.read_json("metrics.json")["oof"]["accuracy"]["value"]
    assert page.count(f"<td>{percent(accuracy)}</td>") == 2
    assert 'href="a%20%3Cb%3E/report.html"' in page
    assert "a <b>" not in page and page.count("</script>") == 1


def test_index_is_a_page(runs: Path, fails: Callable[..., str]) -> None:
    assert "is a folder of runs" in fails("report", runs, "--format", "pdf")


def test_reports_link_to_each_other(runs: Path) -> None:
    bestiary.report(runs / "second", no_saliency=True, quiet=True)
    file = bestiary.report(runs / "a <b>", no_saliency=True, quiet=True).files[0]
    assert 'href="../second/report.html"' in file.read_text("utf-8")
    elsewhere = bestiary.report(
        runs / "a <b>", out=runs / "out.html", no_saliency=True, quiet=True
    ).files[0]
    assert "second/report.html" not in elsewhere.read_text("utf-8")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    runs: Path, chromium: Any, scheme: str, violations: Callable[[Any], list[str]]
) -> None:
    assert main(["report", str(runs)]) == 0
    bestiary.compare(runs / "a <b>", runs / "second", out=runs / "cmp")
    context = chromium.new_context(color_scheme=scheme, offline=True)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    for file in (runs / "index.html", runs / "cmp" / "compare.html"):
        tab.goto(file.as_uri())
        complaints += violations(tab)
    context.close()
    assert complaints == []
