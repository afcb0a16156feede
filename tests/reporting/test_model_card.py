"""The model card: metadata that the hub's library reads back, text with names as they are."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt

import bestiary
from bestiary.evaluation.results import read_results
from bestiary.reporting.model_card import has_license, model_card
from bestiary.run.checksums import file_digest
from bestiary.run.run import Run

NAMES = ["a: b # c", "---\nlicense: mit\n---", "<script>alert(1)</script> | *x* [y](http://z.org)"]


def test_metadata_makes_the_round_trip(trained: Run, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    written = bestiary.report(trained.path, format="card", out=file, quiet=True)
    assert written.files == [file]  # type: ignore[union-attr]
    card = ModelCard.load(file)
    data = card.data
    assert data.library_name == "bestiary" and data.license == "unknown"
    assert data.pipeline_tag == "image-classification" and "bestiary" in data.tags
    assert data.model_name == "run" and len(data.metrics) == len(data.eval_results)

    index = eval_results_to_model_index(data.model_name, data.eval_results)
    assert index == yaml.safe_load(file.read_text().split("---\n")[1])["model-index"]
    name, results = model_index_to_eval_results(index)
    assert name == "run" and results == data.eval_results
    # Written again by the hub's library, it says the same.
    again = ModelCard(str(card))
    assert again.data.to_dict() == data.to_dict() and again.text == card.text

    scores = read_results(trained).scores
    accuracy = next(one for one in results if one.metric_type == "accuracy")
    told = scores["scores"]["top1"]
    assert accuracy.metric_value == pytest.approx(told["value"], abs=1e-4)
    low, high = map(float, re.findall(r"\d\.\d{4}", accuracy.metric_name))
    assert (low, high) == pytest.approx((told["low"], told["high"]), abs=1e-4)
    assert accuracy.dataset_revision == file_digest(trained.file("manifest.parquet"))
    log_loss = next(one for one in results if one.metric_type == "log_loss")
    calibrated = scores["calibrated"]["log_loss"]["value"]
    assert log_loss.metric_value == pytest.approx(calibrated, abs=1e-4)


def test_card_says_what_it_should(trained: Run, beasts: Path) -> None:
    card = model_card(read_results(trained))
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings == [
        "What it is for",
        "Limits",
        "How it was judged",
        "Where it is weak",
        "Whether its confidence can be trusted",
        "Unknown images",
        "Data",
        "How it was made",
        "How to use it",
        "Cite",
    ]
    for name in trained.read_classes():
        assert name in card
    assert "27\N{NO-BREAK SPACE}labeled images" in card
    assert file_digest(trained.file("manifest.parquet")) in card
    assert str(beasts) not in card  # the folders of this machine are nobody's business
    assert "base_model" not in card  # no repository of the hub was fine-tuned
    assert not has_license(card)


def test_names_do_no_harm(renamed: Callable[..., Run], tmp_path: Path) -> None:
    run = renamed(*NAMES)
    odd = Run(Path(shutil.move(run.path, tmp_path / "x: y # 'z'\n- w")))
    card = model_card(read_results(odd))
    parsed = ModelCard(card)
    assert parsed.data.license == "unknown"
    assert parsed.data.model_name == r"x: y # 'z'\n- w"
    page = MarkdownIt("commonmark").enable("table").render(parsed.text)
    assert "<script>" not in page and "<a " not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "*x* [y]" in page


def test_card_is_never_overwritten(trained: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    file = tmp_path / "README.md"
    file.write_text("mine")
    line = fails("report", trained.path, "--format", "card", "--out", file)
    assert "may have been edited" in line
    assert file.read_text() == "mine"
