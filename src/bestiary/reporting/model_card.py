"""Results -> the model card of a run: README.md with metadata, as the Hugging Face hub reads it.

The metadata has the out-of-fold scores as a `model-index`. The text says what the run is for, how
it was judged, where it is weak and how it is used. License and purpose are for the owner to fill
in. Names may come from a stranger: YAML and Markdown show them literally.
"""

from collections.abc import Iterator

from bestiary.evaluation.results import Results
from bestiary.numbers import count, plain_name
from bestiary.printable import printable_name
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.markdown import code_block, escape_markdown, markdown_table
from bestiary.reporting.run_sections import finding
from bestiary.reporting.run_sections.data import data_section
from bestiary.reporting.run_sections.field import field_section
from bestiary.reporting.run_sections.look_alikes import look_alike_section
from bestiary.reporting.run_sections.trust import trust_section
from bestiary.reporting.sections import (
    SCORE_NAMES,
    Table,
    accuracy_text,
    listed_boxes,
    method_of_run,
    remake_command,
    score_table,
)
from bestiary.reporting.text_report import class_table
from bestiary.run.checksums import file_digest
from bestiary.run.layout import ENSEMBLE, FOLDS, MANIFEST, RECIPE
from bestiary.stats.look_alikes import LookAlikes, look_alike_groups

PLACE = "hf://USER/NAME"
"""Where the card says that the run is, until `push` knows better."""
INSTALL = "pip install git+URL    # URL: the address of bestiary's repository"
LICENSE = "license: unknown"
LICENSE_HINT = "# to fill in: what others may do with the run, such as cc-by-4.0 or apache-2.0"
DATASETS_HINT = "# datasets: to fill in if the images are on the hub, as [user/name]"
METRIC_TYPES = {
    "top1": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "f1",
    "log_loss": "log_loss",
    "brier": "brier_score",
    "ece": "expected_calibration_error",
}
"""Score -> the hub's name of it."""
TASK = "image-classification"
HUB_BACKBONE = "hf-hub:"
MAX_CLASSES = 100  # that the card names
MAX_VERSIONS = 12
FEW_IMAGES = 20  # of a class: below, its own scores say little


def model_card(results: Results) -> str:
    """Write the card of a finished run.

    Args:
        results: the results of the run.

    Returns:
        Markdown with YAML before it.
    """
    groups, joining = look_alike_groups(results.confusion)
    blocks = [
        f"# {escape_markdown(results.run.name)}",
        escape_markdown(finding.headline(results, groups)),
        _markdown(Table(("score", "value", "95 % interval"), _four_rows(results))),
        *_purpose(results),
        *_judged(results),
        *_weaknesses(results, groups, joining),
        *_trust(results),
        *_data(results),
        *_making(results),
        *_usage(),
        "## Cite",
        code_block(finding.bibtex(results, finding.provenance(results)), "bibtex"),
    ]
    return f"---\n{_metadata(results)}\n---\n\n" + "\n\n".join(filter(None, blocks)) + "\n"


def _metadata(results: Results) -> str:
    """The lines of YAML, with hints at what the owner fills in."""
    from huggingface_hub import EvalResult, ModelCardData

    dataset = {
        "dataset_type": "imagefolder",
        "dataset_name": "the run's own images, each judged by the member that did not train on it",
        "dataset_split": "out-of-fold",
        "dataset_revision": file_digest(results.run.file(MANIFEST)),
    }
    scores = [
        EvalResult(
            task_type=TASK,
            task_name="Image classification",
            metric_type=METRIC_TYPES[key],
            metric_name=name,
            metric_value=value,
            **dataset,
        )
        for key, name, value in _metrics(results)
    ]
    backbone = results.snapshot.recipe.model.backbone
    is_on_hub = backbone.startswith(HUB_BACKBONE)
    data = ModelCardData(
        license="unknown",
        library_name="bestiary",
        pipeline_tag=TASK,
        tags=["bestiary", TASK, "cross-validation", "ensemble", "calibrated", "conformal"],
        base_model=backbone.removeprefix(HUB_BACKBONE) if is_on_hub else None,
        metrics=[METRIC_TYPES[key] for key, _, _ in _metrics(results)],
        model_name=printable_name(results.run.name),
        eval_results=scores,
    )
    lines: str = data.to_yaml(line_break="\n")
    return lines.replace(LICENSE, f"{LICENSE}  {LICENSE_HINT}\n{DATASETS_HINT}", 1)


def _metrics(results: Results) -> list[tuple[str, str, float]]:
    """Key, name with its interval, and value of each score, four decimals."""
    rows = []
    for key in METRIC_TYPES:
        calibrated = results.scores["calibrated"].get(key)
        score = calibrated or results.scores["scores"][key]
        how = "out of fold, calibrated by the other folds" if calibrated else "out of fold"
        name = (
            f"{SCORE_NAMES[key]}, {how} (95 % interval {score['low']:.4f} to {score['high']:.4f})"
        )
        rows.append((key, name, round(float(score["value"]), 4)))
    return rows


def _four_rows(results: Results) -> list[tuple[str, ...]]:
    return [(card["what"], card["value"], card["more"]) for card in finding.four_numbers(results)]


def _markdown(table: Table) -> str:
    return markdown_table(table) if table.rows else ""


def _list(*sentences: str) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences if sentence)


def _purpose(results: Results) -> Iterator[str]:
    """What the run is for, and what not."""
    classes = [plain_name(name) for name in results.classes]
    named = ", ".join(classes[:MAX_CLASSES])
    if len(classes) > MAX_CLASSES:
        named += f", and {len(classes) - MAX_CLASSES:,} more, which {ENSEMBLE} names"
    yield "## What it is for"
    yield escape_markdown(
        f"It says which of {count(len(classes), 'class', 'classes')} an image shows, how sure that "
        "is, which other classes are possible, and whether the image is unlike all that it was "
        "trained on."
    )
    yield "To fill in: who made it, for which question, and for whom."
    yield f"Classes: {escape_markdown(named)}."
    yield "## Limits"
    yield _list(*_limits(results))


def _limits(results: Results) -> Iterator[str]:
    yield (
        "It knows no other classes. An image of another one gets a name of the list, unless it is "
        "called unknown."
    )
    yield (
        "The scores hold for new images of the same kind. For another camera, season or place, "
        "bestiary drift says whether they still hold, and bestiary evaluate measures it."
    )
    few = sum(1 for row in results.per_class if 0 < row["support"] < FEW_IMAGES)
    if few:
        yield (
            f"{count(few, 'class has', 'classes have')} fewer than {FEW_IMAGES} images; what is "
            "said of each of them alone is uncertain."
        )
    suspects = finding.suspect_labels(results)
    if suspects:
        verb = "looks" if suspects == 1 else "look"
        yield f"{count(suspects, 'label')} of the training images {verb} wrong (bestiary labels)."
    yield "A confidence is right on average. Where one mistake is costly, let a person look."


def _judged(results: Results) -> Iterator[str]:
    yield "## How it was judged"
    yield escape_markdown(accuracy_text(results))
    yield "Intervals are 95 %, from 1,000 bootstrap samples of whole groups."
    yield _markdown(score_table(results))
    section = field_section(results.field)
    if section is not None:
        yield from map(escape_markdown, section.texts)
        yield _markdown(section.shares)


def _weaknesses(results: Results, groups: list[LookAlikes], joining: int) -> Iterator[str]:
    section = look_alike_section(results, groups, joining)
    rows = [(group["title"], "; ".join(group["pairs"])) for group in section["groups"]]
    yield "## Where it is weak"
    yield escape_markdown(f"{section['title']}. {section['note']}")
    yield _markdown(Table(("group of look-alikes", "most frequent"), rows))
    yield _markdown(class_table(results))


def _trust(results: Results) -> Iterator[str]:
    section = trust_section(results)
    yield "## Whether its confidence can be trusted"
    yield escape_markdown(section["temperature"])
    yield _list(*section["accepted"])
    yield _markdown(
        Table(("prediction set for", "over", "measured", "classes in a set"), section["sets"])
    )
    yield "## Unknown images"
    yield escape_markdown(section["unknown"])
    yield _list(*section["left_out"])


def _data(results: Results) -> Iterator[str]:
    section = data_section(results)
    groups = results.table["group"].drop_nulls().n_unique()
    yield "## Data"
    yield escape_markdown(section["text"])
    if groups > 1:
        yield escape_markdown(
            f"The images come in {groups:,} groups, such as sites or individuals."
        )
    yield _markdown(Table(("found by the audit", "count", "listed in"), section["found"]))
    yield escape_markdown(section["clean"])
    yield f"SHA-256 of {MANIFEST}, which names each image with its own digest:"
    yield code_block(file_digest(results.run.file(MANIFEST)))


def _making(results: Results) -> Iterator[str]:
    yield "## How it was made"
    yield escape_markdown(method_of_run(results.snapshot))
    yield _markdown(Table(("what", "how much"), list(cost_rows(results))))
    versions = results.run.read_json(ENSEMBLE).get("versions")
    if isinstance(versions, dict):
        named = [f"{name} {version}" for name, version in list(versions.items())[:MAX_VERSIONS]]
        yield escape_markdown(f"Versions: {', '.join(named)}.")
    if command := remake_command(results):
        yield "To repeat it, from what it was made of:"
        yield code_block(command, "bash")
        return
    yield "To repeat it with the same images, in a copy of the run named RUN:"
    yield code_block(
        f"bestiary train RUN/{MANIFEST} NEW_RUN --recipe RUN/{RECIPE} --folds RUN/{FOLDS} \\\n"
        f"  --set {' '.join(['data.root=IMAGES', *listed_boxes(results)])}",
        "bash",
    )


def _usage() -> Iterator[str]:
    yield "## How to use it"
    yield code_block(f"{INSTALL}\nbestiary predict {PLACE} IMAGES --out predictions.csv", "bash")
    yield code_block(
        "import bestiary\n\n"
        f'ensemble = bestiary.load("{PLACE}")\n'
        'ensemble.predict_frame("new")  # label, confidence, prediction_set, accepted, unknown',
        "python",
    )
    yield (
        "`bestiary export` writes it as one ONNX, OpenVINO, PyTorch or LiteRT file, as a page for "
        "a browser, or as a model for MLflow or Triton."
    )


def at_place(card: str, address: str) -> str:
    """Put the address of the run into its card.

    Args:
        card: the card.
        address: such as ``hf://ecologist/moths``.

    Example:
        >>> at_place("bestiary predict hf://USER/NAME IMAGES", "hf://ecologist/moths")
        'bestiary predict hf://ecologist/moths IMAGES'
    """
    return card.replace(PLACE, address)


def has_license(card: str) -> bool:
    """Tell whether the owner has filled in a license.

    Example:
        >>> has_license("license: unknown  # to fill in")
        False
    """
    return not any(line.startswith(LICENSE) for line in card.splitlines())
