"""The report of a run: whole in itself, safe whatever things are called, and the text with its figures."""

import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bestiary import api
from bestiary.cli import main
from bestiary.errors import RunError
from bestiary.evaluate.results import read_results
from bestiary.report import figures, gallery, story
from bestiary.report.saliency import overlay, saliency
from bestiary.run import Run, read_oof, write_oof

EVIL = '<img src=x onerror=alert(1)>|"</script>'


@pytest.fixture(scope="module")
def page(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "page.html"
    assert main(["report", str(trained.path), "--out", str(out), "--quiet"]) == 0
    return out.read_text(encoding="utf-8")


def test_every_part_is_there(page: str, trained: Run) -> None:
    sections = re.findall(r'<section id="(.*?)"', page)
    expected = "scores training confusion pairs mistakes saliency per-class trust data cost repeat"
    assert sections == expected.split()
    results = read_results(trained)
    assert story.accuracy_sentence(results) in page.replace("&#39;", "'")
    assert f"{100 * results.scores['accuracy']['value']:.1f}<small> %" in page
    assert page.count('alt="saliency"') >= 6
    assert "Peak memory" in page and "keep_best" in page


def test_the_page_asks_for_nothing_from_elsewhere(page: str) -> None:
    outside = re.findall(
        r'(?:src|href)="(?!data:|#)[^"]*"|@import|url\(|https?://(?!www\.w3\.org/2000/svg)[^"<]*', page
    )
    assert outside == []


def test_names_are_text_and_never_markup(trained: Run, tmp_path: Path) -> None:
    run = _renamed(trained, tmp_path / "run", EVIL)
    html = (api.report(run.path, no_saliency=True, quiet=True)).files[0].read_text()
    assert "<img src=x" not in html
    assert html.count("</script>") == 1
    text = api.report(run.path, format="md", quiet=True).files[0].read_text()
    assert "<img src=x" not in text
    rows = [line for line in text.splitlines() if "onerror" in line and line.startswith("| &lt;img")]
    assert rows and all(line.replace("\\|", "").count("|") == 7 for line in rows)


def test_the_report_survives_pictures_that_are_gone(trained: Run, tmp_path: Path) -> None:
    run = _renamed(trained, tmp_path / "run", "yeti")
    manifest = run.read_table("manifest.parquet")
    run.write_table("manifest.parquet", manifest, {"root": str(tmp_path / "gone")})
    html = api.report(run.path, quiet=True).files[0].read_text()
    assert "data:image/jpeg" not in html and "Surest mistakes" in html


def test_markdown_has_its_figures_beside_it(trained: Run, tmp_path: Path) -> None:
    files = api.report(trained.path, out=tmp_path / "r.md", format="md", quiet=True).files
    text = files[0].read_text()
    assert re.findall(r"^## (.*)$", text, re.M)[:3] == ["Task", "Method", "Results"]
    named = [tmp_path / name for name in re.findall(r"\]\((figures/.*?)\)", text)]
    assert sorted(named) == sorted(files[1:]) and len(named) >= 5
    for figure in named:
        assert ElementTree.parse(figure).getroot().tag.endswith("svg")


def test_the_pdf_is_one(trained: Run, tmp_path: Path) -> None:
    pytest.importorskip("fpdf", reason="extra `report` is not installed")
    file = api.report(trained.path, out=tmp_path / "r.pdf", format="pdf", quiet=True).files[0]
    content = file.read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page\n") >= 2


def test_an_unfinished_run_is_refused(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    run.fold(1).oof.unlink()
    with pytest.raises(RunError, match="fold 1 has not ended"):
        api.report(run.path, quiet=True)


def test_the_command_repeats_the_run(trained: Run, tmp_path: Path) -> None:
    import shlex

    words = shlex.split(story.repeat_command(read_results(trained)))
    assert main([*[word.replace("NEW_RUN", str(tmp_path / "again")) for word in words[1:]], "--quiet"]) == 0
    again = Run(tmp_path / "again")
    assert again.recipe.differences(trained.recipe) in ([], ["data.root"])
    for fold in trained.folds:
        assert again.fold(fold).weights.read_bytes() == trained.fold(fold).weights.read_bytes()


def test_confused_classes_stand_together() -> None:
    counts = np.diag([20] * 8)
    for one, other in ((0, 5), (1, 6), (2, 7)):
        counts[one, other] = counts[other, one] = 6
    order = gallery.order_by_confusion(counts)
    assert sorted(order) == list(range(8))
    for one, other in ((0, 5), (1, 6), (2, 7)):
        assert abs(order.index(one) - order.index(other)) == 1
    assert gallery.confused_pairs(counts)[:3] == [(0, 5), (1, 6), (2, 7)]
    assert gallery.order_by_confusion(counts[:2, :2]) == [0, 1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.93, 0.951), (1, 80), (0, 0.0004), (-3.2, 7)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = figures.ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    assert all(len(f"{value:g}") <= 7 for value in found)


def test_saliency_finds_the_half_that_matters(trained: Run) -> None:
    """A last layer that sees only what the left half brings: the map must lie on the left."""
    import torch

    from bestiary.model import load_member

    member = load_member(trained.fold(0).weights)
    view = np.zeros((64, 64, 3), np.uint8)
    view[:, :32] = np.random.default_rng(0).integers(255, size=(64, 32, 3))
    with torch.no_grad():
        flat, half = (member.features(member.prepare(torch.from_numpy(v[None]))) for v in (np.zeros_like(view), view))
        member.head_layer.weight[0] = (half - flat)[0]
    heat = saliency(member, [view], [0])
    assert heat is not None and heat.shape == (1, 64, 64)
    assert heat[0, :, :32].mean() > 1.5 * heat[0, :, 32:].mean()
    assert overlay(view, heat[0]).shape == view.shape


def _renamed(trained: Run, place: Path, name: str) -> Run:
    """A copy of the run in which one class has another name."""
    run = Run(Path(shutil.copytree(trained.path, place)))
    old = run.classes[0]
    change = pl.col("label").replace(old, name)
    manifest = run.read_table("manifest.parquet")
    run.write_table("manifest.parquet", manifest.with_columns(change), {"root": str(trained.root)})
    card = run.read_json("ensemble.json")
    run.write_json("ensemble.json", card | {"classes": [name, *card["classes"][1:]]})
    for fold in run.folds:
        table, classes = read_oof(run.fold(fold))
        write_oof(run.fold(fold), table.with_columns(change), [name, *classes[1:]])
    return run
