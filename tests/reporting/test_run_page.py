"""The report page and the text report: self-contained, escaped, with figures and saliency."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import timm
import torch
from torch import nn

import bestiary
from bestiary.cli import main
from bestiary.display import Display
from bestiary.ensemble.saliency import overlay, saliency
from bestiary.errors import DamagedError, RunError
from bestiary.evaluation.results import prediction_set_scores, read_results
from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier
from bestiary.numbers import percent, percent_range, plain_name
from bestiary.recipe.load import load_recipe
from bestiary.reporting import gallery, run_page, saliency_examples, sections
from bestiary.reporting.charts.axes import round_ticks
from bestiary.reporting.model_card import model_card
from bestiary.run.finished_files import FILES_KEY
from bestiary.run.layout import ENSEMBLE, METRICS
from bestiary.run.oof import read_oof, write_oof
from bestiary.run.run import Run

EVIL = '<img src=x onerror=alert(1)>|"</script>'


@pytest.fixture(scope="module")
def page(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "page.html"
    assert main(["report", str(trained.path), "--out", str(out), "--quiet"]) == 0
    return out.read_text(encoding="utf-8")


def test_sections_are_complete(page: str) -> None:
    ids = re.findall(r'<section id="(.*?)"', page)
    assert " ".join(ids) == "weakest look-alikes map mistakes trust data method cost repeat"
    # With views as small as these the network has no feature maps left.
    assert 'id="no-saliency"' in page
    assert "Peak memory" in page and "keep_best" in page


def test_weakest_classes_stand_alone_without_look_alikes(
    page: str, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = '<div class="first">'
    assert page.count(columns) == 1
    monkeypatch.setattr(run_page, "look_alike_groups", lambda _: ([], 2))
    out = tmp_path / "page.html"
    assert main(["report", str(trained.path), "--out", str(out), "--quiet", "--no-saliency"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "No two classes are taken for each other twice" in text
    assert columns not in text, "a column of the heading alone"


def test_numbers_are_those_of_metrics(page: str, trained: Run) -> None:
    scores = trained.read_json("metrics.json")["oof"]
    shown = dict(re.findall(r'data-metric="(.*?)">(.*?)<', page))
    spans = dict(re.findall(r'data-interval="(.*?)">(.*?)<', page))
    assert set(shown) == set(spans) == {"accuracy", "ensemble", "scores.balanced_accuracy"}
    for name, text in shown.items():
        score = scores
        for part in name.split("."):
            score = score[part]
        assert text == percent(score["value"])
        assert percent_range(score["low"], score["high"]) in spans[name]
    cells = re.findall(r"<td>(.*?)</td>", re.search("data-scores>.*?</table>", page, re.S)[0])
    for column, kind in enumerate(("scores", "calibrated")):
        for key, text in zip(sections.SCORE_NAMES, cells[column::2], strict=True):
            assert text == score_text(key, scores[kind].get(key))
    accuracy = percent(scores["accuracy"]["value"])
    assert f"Right on {accuracy} of images it had not seen" in page


def score_text(key: str, score: dict[str, float] | None) -> str:
    if score is None:
        return ""
    if key in sections.SHARES:
        return f"{percent(score['value'])} ({percent_range(score['low'], score['high'])})"
    return f"{score['value']:.3f} ({score['low']:.3f}\N{EN DASH}{score['high']:.3f})"


def chart_rows(page: str, name: str) -> list[dict[str, str]]:
    text = re.search(rf'data-name="{name}" data-csv="(.*?)"', page, re.S)
    assert text
    return list(csv.DictReader(unescape(text[1]).splitlines()))


def test_charts_are_those_of_metrics(page: str, trained: Run) -> None:
    scores = trained.read_json("metrics.json")["oof"]
    expected = [scores["accuracy"], scores["ensemble"], scores["scores"]["balanced_accuracy"]]
    for row, score in zip(chart_rows(page, "accuracy"), [*expected, *scores["folds"]], strict=True):
        for name in ("value", "low", "high"):
            assert row[name] == f"{score[name]:.4f}"

    results = read_results(trained)
    cells = json.loads(re.search(r'"cells": (\[\[.*?\]\])', page)[1])  # type: ignore[index]
    for label, answer, count in cells:
        assert count == results.confusion[label, answer]
    assert sum(count for _, _, count in cells) == scores["accuracy"]["n"]
    assert sum(int(row["images"]) for row in chart_rows(page, "reliability")) == len(results.hits)
    gap = percent(scores["calibrated"]["ece"]["value"])
    assert f"the mean gap is {gap}" in page
    last = chart_rows(page, "answer-fewer")[-1]
    wrong = 1 - scores["accuracy"]["value"]
    assert (last["share_answered"], last["share_of_them_wrong"]) == ("1.0000", f"{wrong:.4f}")


def test_sets_are_those_of_the_results(page: str, trained: Run) -> None:
    part = page[page.index("Sets instead of one answer") :]
    rows = re.findall(r"<tr>(.*?)</tr>", part[: part.index("</table>")])[1:]
    shown = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows]
    measured = prediction_set_scores(read_results(trained))
    assert [cells[2] for cells in shown] == [percent(s["empirical_coverage"]) for s in measured]
    assert [cells[3] for cells in shown] == [f"{s['size']:.2f}" for s in measured]


def test_classes_are_those_of_the_results(page: str, trained: Run) -> None:
    results = read_results(trained)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    shown = {
        name: re.findall(r'data-v="(.*?)"', cells) for name, cells in rows if "data-v" in cells
    }
    assert len(shown) == len(results.classes)
    for name, scores in zip(results.classes, results.per_class, strict=True):
        values = shown[plain_name(name)]
        assert int(values[0]) == scores["support"]
        assert float(values[1]) == pytest.approx(scores["recall"]["value"])
        assert float(values[2]) == pytest.approx(scores["recall"]["low"])


def test_page_loads_nothing_from_elsewhere(page: str) -> None:
    external = re.findall(
        r'(?:src|href)="(?!data:|#)[^"]*"|@import|url\(|https?://(?!www\.w3\.org/2000/svg)[^"<]*',
        page,
    )
    assert external == []


def test_names_are_escaped(renamed: Callable[..., Run]) -> None:
    run = renamed(EVIL)
    text = (bestiary.report(run.path, no_saliency=True, quiet=True)).files[0].read_text()
    assert "<img src=x" not in text
    assert text.count("</script>") == 1
    text = bestiary.report(run.path, format="md", quiet=True).files[0].read_text()
    assert "<img src=x" not in text
    rows = [
        line for line in text.splitlines() if "onerror" in line and line.startswith("| &lt;img")
    ]
    assert rows and all(line.replace("\\|", "").count("|") == 6 for line in rows)


def test_missing_images(renamed: Callable[..., Run], tmp_path: Path) -> None:
    run = renamed("yeti")
    manifest = run.read_table("manifest.parquet")
    run.write_table("manifest.parquet", manifest, {"root": str(tmp_path / "gone")})
    run.write_recipe(run.read_recipe())
    html = bestiary.report(run.path, quiet=True).files[0].read_text()
    assert "data:image/jpeg" not in html and "Surest mistakes" in html


def test_markdown_with_figures(trained: Run, tmp_path: Path) -> None:
    files = bestiary.report(trained.path, out=tmp_path / "r.md", format="md", quiet=True).files
    text = files[0].read_text()
    assert re.findall(r"^## (.*)$", text, re.M)[:3] == [
        "Result",
        "Mistakes",
        "Can its confidence be trusted?",
    ]
    linked = [tmp_path / name for name in re.findall(r"\]\((figures/.*?)\)", text)]
    assert sorted(linked) == sorted(files[1:]) and len(linked) >= 5
    for figure in linked:
        assert ElementTree.parse(figure).getroot().tag.endswith("svg")


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("scale", [0.0, 50.0])
def test_extreme_runs(trained: Run, tmp_path: Path, is_right: bool, scale: float) -> None:
    """All right or all wrong, sure or not sure at all: every sentence and chart still stands."""
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    for fold in run.fold_numbers():
        table, classes = read_oof(run.fold(fold))
        rows = []
        for label in table["label"]:
            answer = (classes.index(label) + (not is_right)) % len(classes)
            rows.append([(scale + 0.01) * (number == answer) for number in range(len(classes))])
        logits = pl.Series("logits", np.array(rows, np.float32), dtype=table.schema["logits"])
        write_oof(run.fold(fold), table.with_columns(logits), classes)
    for layout in ("html", "md"):
        file = bestiary.report(run.path, format=layout, no_saliency=True, quiet=True).files[0]
        text = file.read_text("utf-8")
        assert ("No class has a mistake" in text) == is_right
        shown = re.sub('"data:image[^"]*"', "", text)
        assert not re.search(r"\b(nan|inf)\b", shown, re.IGNORECASE)


def test_groups_of_the_data_have_a_table(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    manifest = run.read_table("manifest.parquet")
    sites = ["north", "so<u>th", None] * manifest.height
    run.write_table(
        "manifest.parquet",
        manifest.with_columns(pl.Series("group", sites[: manifest.height], pl.String)),
        {"root": str(trained.read_root())},
    )
    run.write_recipe(run.read_recipe())
    page = bestiary.report(run.path, no_saliency=True, quiet=True).files[0].read_text("utf-8")
    assert "Groups of the data, weakest first" in page
    assert "so&lt;u&gt;th" in page and "<u>" not in page


def test_fitted_heads_have_no_curves(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    for fold in run.fold_numbers():
        run.fold(fold).history.unlink()
    html = bestiary.report(run.path, no_saliency=True, quiet=True).files[0].read_text()
    assert "Training loss" not in html and "Training speed" not in html and "Peak memory" in html


def test_unfinished_run_is_refused(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    run.fold(1).oof.unlink()
    with pytest.raises(RunError, match="fold 1 has not ended"):
        bestiary.report(run.path, quiet=True)


@pytest.mark.parametrize(
    ("recipe", "phrases"),
    [
        (
            "best",
            [
                "10 epochs on views of 224 pixels",
                "50 % of the way to its initial weights",
                "5 views of 269 pixels",
            ],
        ),
        (
            "probe",
            [
                "its last layer fitted to the frozen features. Images are classified from the mean "
                "of 5 views of 269"
            ],
        ),
        (
            "paper",
            [
                "MixUp or CutMix on 100 % of the batches. Images are classified from one view of "
                "224 pixels"
            ],
        ),
    ],
)
def test_method_text(recipe: str, phrases: list[str]) -> None:
    text = sections.method_text(load_recipe(recipe), 5)
    assert [phrase for phrase in phrases if phrase not in text] == []
    assert "the ensemble averages" in text
    assert "the ensemble averages" not in sections.method_text(load_recipe(recipe), 1)


def test_reproduce_command(trained: Run, tmp_path: Path) -> None:
    import shlex

    words = shlex.split(sections.reproduce_command(read_results(trained)))
    arguments = [word.replace("NEW_RUN", str(tmp_path / "again")) for word in words[1:]]
    assert main([*arguments, "--quiet"]) == 0
    again = Run(tmp_path / "again")
    assert again.read_recipe().differences(trained.read_recipe()) in ([], ["data.root"])
    for fold in trained.fold_numbers():
        assert again.fold(fold).weights.read_bytes() == trained.fold(fold).weights.read_bytes()


def test_reproduce_command_of_boxes(trained: Run) -> None:
    """The run's table has the boxes, and the file of all of them names other samples."""
    results = read_results(trained)
    recipe = results.snapshot.recipe.with_values({"data.boxes": "boxes.json"})
    boxed = replace(results, snapshot=replace(results.snapshot, recipe=recipe))
    assert sections.reproduce_command(boxed).endswith(" data.boxes=")
    assert "--set data.root=IMAGES data.boxes=\n" in model_card(boxed)
    assert "data.boxes" not in sections.reproduce_command(results)


def test_order_by_confusion() -> None:
    counts = np.diag([20] * 8)
    for one, other in ((0, 5), (1, 6), (2, 7)):
        counts[one, other] = counts[other, one] = 6
    order = gallery.order_by_confusion(counts)
    assert sorted(order) == list(range(8))
    for one, other in ((0, 5), (1, 6), (2, 7)):
        assert abs(order.index(one) - order.index(other)) == 1
    assert gallery.order_by_confusion(counts[:2, :2]) == [0, 1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.93, 0.951), (1, 80), (0, 0.0004), (-3.2, 7)])
def test_ticks(low: float, high: float) -> None:
    values = round_ticks(low, high)
    assert 2 <= len(values) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    assert all(len(f"{value:g}") <= 7 for value in values)


@pytest.fixture
def mapped() -> Classifier:
    """A network whose first class is bright images and whose second is dark images."""
    layers: list[nn.Module] = []
    for _ in range(3):
        layer = nn.Conv2d(3, 3, 1, bias=False)
        layer.weight.data = torch.eye(3)[:, :, None, None]
        layers += [layer, nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    network[-1].weight.data = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    return Classifier(
        "made/up", Backbone(network, "8", (0, 0, 0), (1, 1, 1), "bilinear", "made up")
    ).eval()


def test_saliency_marks_the_class(mapped: Classifier) -> None:
    view = np.zeros((64, 64, 3), np.uint8)
    view[:, :32] = 200
    heat = saliency(mapped, [view] * 20, [0] * 19 + [1])
    assert heat is not None and heat.shape == (20, 64, 64)
    assert heat[0, :, :32].min() == pytest.approx(1.0) and heat[0, :, 32:].max() == 0
    assert heat[19].max() == 0  # no feature map supports darkness
    lit = overlay(view, heat[0])
    assert lit[0, 0, 0] > lit[0, 0, 2] + 50 and lit[0, 63].max() < 20


def test_no_saliency_without_feature_maps(mapped: Classifier) -> None:
    wide = nn.Sequential(
        *list(mapped.network)[:6], nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    classifier = Classifier(
        "made/up", Backbone(wide, "8", (0, 0, 0), (1, 1, 1), "bilinear", "made up")
    ).eval()
    assert saliency(classifier, [np.zeros((64, 64, 3), np.uint8)], [0]) is None


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_transformers_have_saliency(pool: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, num_classes=2, global_pool=pool
    )
    backbone = Backbone(network, "head", (0, 0, 0), (1, 1, 1), "bilinear", "made up")
    classifier = Classifier("made/up", backbone).eval()
    views = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(8)]
    heat = saliency(classifier, views, [0, 1] * 4)
    assert heat is not None and heat.shape == (8, 64, 64)
    assert heat.max() == pytest.approx(1, abs=0.05) and heat.std() > 0


def test_page_shows_saliency(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(member: Classifier, views: list, targets: list) -> np.ndarray:
        return np.ones((len(views), 32, 32), np.float32)

    monkeypatch.setattr(saliency_examples, "saliency", ones)
    results = read_results(trained)
    html = run_page.run_page(results, Display(quiet=True))
    mistakes = min(int((~results.hits).sum()), saliency_examples.MAX_EXAMPLES)
    classes_with_hits = len(set(results.labels[results.hits].tolist()))
    assert html.count('alt="saliency"') == mistakes + classes_with_hits


def test_a_report_says_the_score_of_its_page(trained: Run, tmp_path: Path) -> None:
    """metrics.json may be missing, or that of another run before its checksum was known.

    The answers themselves are scored.
    """
    right = trained.score_line
    run = Run(shutil.copytree(trained.path, tmp_path / "run"))
    metrics = run.read_json(METRICS)
    metrics["oof"]["accuracy"] |= {"value": 0.0123, "low": 0.0, "high": 0.1}
    run.write_json(METRICS, metrics)
    with pytest.raises(DamagedError, match=METRICS):
        bestiary.report(run.path, format="md", quiet=True)
    card = run.read_json(ENSEMBLE)
    del card[FILES_KEY]
    run.write_json(ENSEMBLE, card)
    said = bestiary.report(run.path, format="md", quiet=True)
    assert said.score_line == right and str(said).startswith(f"{right}\n")
    run.file(METRICS).unlink()
    again = bestiary.report(run.path, format="md", quiet=True)
    assert again.score_line == right
    assert again.document()["accuracy"] == trained.read_scores()["accuracy"]
