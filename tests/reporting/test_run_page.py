"""The report page and the text report: self-contained, escaped, with figures and saliency."""

import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bestiary
from bestiary.cli import main
from bestiary.display import Display
from bestiary.ensemble.saliency import overlay, saliency
from bestiary.errors import RunError
from bestiary.evaluation.results import read_results
from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier
from bestiary.recipe.load import load_recipe
from bestiary.reporting import figures, gallery, run_page, saliency_examples, sections
from bestiary.run.run import Run

EVIL = '<img src=x onerror=alert(1)>|"</script>'


@pytest.fixture(scope="module")
def page(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "page.html"
    assert main(["report", str(trained.path), "--out", str(out), "--quiet"]) == 0
    return out.read_text(encoding="utf-8")


def test_sections_are_complete(page: str, trained: Run) -> None:
    ids = re.findall(r'<section id="(.*?)"', page)
    # No saliency: with views as small as these the network has no feature maps left.
    expected = "scores training confusion pairs mistakes per-class trust data cost repeat"
    assert " ".join(ids) == expected
    results = read_results(trained)
    assert sections.accuracy_text(results) in page.replace("&#39;", "'")
    assert f"{100 * results.scores['accuracy']['value']:.1f}<small> %" in page
    assert "Peak memory" in page and "keep_best" in page


def test_page_loads_nothing_from_elsewhere(page: str) -> None:
    external = re.findall(
        r'(?:src|href)="(?!data:|#)[^"]*"|@import|url\(|https?://(?!www\.w3\.org/2000/svg)[^"<]*',
        page,
    )
    assert external == []


def test_names_are_escaped(renamed: Callable[..., Run]) -> None:
    run = renamed(EVIL)
    html = (bestiary.report(run.path, no_saliency=True, quiet=True)).files[0].read_text()
    assert "<img src=x" not in html
    assert html.count("</script>") == 1
    text = bestiary.report(run.path, format="md", quiet=True).files[0].read_text()
    assert "<img src=x" not in text
    rows = [
        line for line in text.splitlines() if "onerror" in line and line.startswith("| &lt;img")
    ]
    assert rows and all(line.replace("\\|", "").count("|") in (4, 7) for line in rows)


def test_missing_images(renamed: Callable[..., Run], tmp_path: Path) -> None:
    run = renamed("yeti")
    manifest = run.read_table("manifest.parquet")
    run.write_table("manifest.parquet", manifest, {"root": str(tmp_path / "gone")})
    run.write_recipe(run.read_recipe())
    html = bestiary.report(run.path, quiet=True).files[0].read_text()
    assert "data:image/jpeg" not in html and "Most confident mistakes" in html


def test_markdown_with_figures(trained: Run, tmp_path: Path) -> None:
    files = bestiary.report(trained.path, out=tmp_path / "r.md", format="md", quiet=True).files
    text = files[0].read_text()
    assert re.findall(r"^## (.*)$", text, re.M)[:3] == ["Task", "Method", "Results"]
    linked = [tmp_path / name for name in re.findall(r"\]\((figures/.*?)\)", text)]
    assert sorted(linked) == sorted(files[1:]) and len(linked) >= 5
    for figure in linked:
        assert ElementTree.parse(figure).getroot().tag.endswith("svg")


def test_pdf(trained: Run, tmp_path: Path) -> None:
    pytest.importorskip("fpdf", reason="extra `report` is not installed")
    file = bestiary.report(trained.path, out=tmp_path / "r.pdf", format="pdf", quiet=True).files[0]
    content = file.read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page\n") >= 2


def test_fitted_heads_have_no_curves(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "run")))
    for fold in run.fold_numbers():
        run.fold(fold).history.unlink()
    html = bestiary.report(run.path, no_saliency=True, quiet=True).files[0].read_text()
    assert "training loss" not in html and "Training speed" not in html and "Peak memory" in html


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
                "6 epochs on views of 224 pixels",
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


def test_order_by_confusion() -> None:
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
def test_ticks(low: float, high: float) -> None:
    values = figures.ticks(low, high)
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
    assert lit[0, 0, 0] > lit[0, 0, 2] and lit[0, 63].max() == 0


def test_no_saliency_without_feature_maps(mapped: Classifier) -> None:
    wide = nn.Sequential(
        *list(mapped.network)[:6], nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    classifier = Classifier(
        "made/up", Backbone(wide, "8", (0, 0, 0), (1, 1, 1), "bilinear", "made up")
    ).eval()
    assert saliency(classifier, [np.zeros((64, 64, 3), np.uint8)], [0]) is None


def test_page_shows_saliency(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(member: Classifier, views: list, targets: list) -> np.ndarray:
        return np.ones((len(views), 32, 32), np.float32)

    monkeypatch.setattr(saliency_examples, "saliency", ones)
    results = read_results(trained)
    html = run_page.run_page(results, Display(quiet=True))
    mistakes = min(int((~results.hits).sum()), saliency_examples.MAX_EXAMPLES)
    classes_with_hits = len(set(results.labels[results.hits].tolist()))
    assert html.count('alt="saliency"') == mistakes + classes_with_hits
