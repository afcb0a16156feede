"""A run -> one file that runs without bestiary: trace, write, reopen, compare, quantize, keep.

The comparison is made on the file that users get, opened as its readers open it. Nothing is left
on disk where the file disagrees with the network or where int8 costs too much accuracy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bestiary.display import Display, Tick
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, BestiaryError, DataError, one_line
from bestiary.evaluation.deciding import apply_decisions
from bestiary.exporting.agreement import TOLERANCE, accuracy_drop, compare_outputs
from bestiary.exporting.card import build_card
from bestiary.exporting.formats import (
    WRITERS,
    Card,
    Runner,
    Views,
    Writer,
    check_installed,
)
from bestiary.exporting.graph import (
    EnsembleGraph,
    Outputs,
    build_graph,
    input_view,
    run_graph,
    trace,
)
from bestiary.exporting.new_file import new_file, parts_of, remove_parts
from bestiary.exporting.prune import choose_members
from bestiary.exporting.result import ExportResult
from bestiary.exporting.sample import (
    BATCH_SIZE,
    Sample,
    read_sample,
    shuffled_manifest,
    split_calibration,
    synthetic_views,
)
from bestiary.exporting.silent import silent_output
from bestiary.model.compute import best_precision
from bestiary.numbers import counted
from bestiary.recipe.choices import ExportFormat, LowPrecision
from bestiary.run.images import RunImages
from bestiary.run.run import Run

COMPARED_IMAGES = 32  # that the file and the network are compared on
CALIBRATION_IMAGES = 100  # that the ranges of int8 are taken from
TEST_IMAGES = 400  # other images, that int8 is judged by
MIN_INT8_IMAGES = 10  # that --int8 needs for each of the two
MAX_ONNX_BYTES = 2_000_000_000  # a protocol buffer, such as an ONNX file, ends at 2 GiB


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a user asks of an exported file; each attribute is the argument of its name there.

    Attributes:
        int8: whether weights and activations are int8; None: as the format prefers.
        float16: whether weights are float16.
        max_drop: accuracy that a lower precision may lose, 0 to 1.
        prune: members that stay; None: all.
        promise: precision to promise of each class; None: none.
        costs: table of costs; None: there is none.
    """

    int8: bool | None
    float16: bool
    max_drop: float
    prune: int | None
    promise: float | None
    costs: str | Path | None


def export_run(
    run: Run,
    out: Path,
    format: ExportFormat,
    asked: ExportOptions,
    display: Display,
) -> ExportResult:
    """Write the ensemble of a run to one file.

    Args:
        run: the run.
        out: the file.
        format: its format.
        asked: what the user asks of it.
        display: shows the progress.

    Returns:
        The files and their card.

    Raises:
        ArgumentError: `out` exists or is named for another format, or options contradict each other
            or the run.
        DataError: int8 is asked for and the run's images are gone or too few.
        BestiaryError: the file disagrees with the network, int8 loses more than `max_drop`, or
            `out` cannot be written.
    """
    writer = WRITERS[format]
    lower = _low_precision(asked.int8, asked.float16)
    _check_options(out, format, lower, asked.max_drop)
    ensemble = Ensemble.load(run, device="cpu", engine="torch")
    choice = choose_members(run, ensemble, asked.prune) if asked.prune is not None else None
    kept_folds = choice.kept_folds if choice else ensemble.folds
    graph = build_graph(ensemble, [ensemble.folds.index(fold) for fold in kept_folds])
    _check_size(graph, format)

    # Views to compare the file and the network on, and what is known of the file so far.
    calibration, test = _read_samples(run, ensemble, kept_folds, lower, display)
    compared_views = _compared_views(calibration, ensemble)
    for notice in apply_decisions(run, ensemble, asked.promise, asked.costs):
        display.notice(notice)
    card = build_card(run, ensemble, kept_folds)
    if writer.batch:
        card["input"]["shape"][0] = writer.batch
    if writer.note:
        card["note"] = writer.note
    card["compared_on"] = "images of the run" if len(calibration) else "drawn views"
    if choice:
        card["prune"] = choice.to_json()

    # Write, compare, quantize; then write once more with the complete card inside.
    with new_file(out) as file:
        display.line(f"Writing {out.name}: {counted(len(kept_folds), 'member')} as one graph")
        model = _built(writer, graph, ensemble)
        writer.save(model, card, file)
        card["agreement"] = _check_agreement(graph, writer, file, compared_views, format)
        if lower:
            samples = (calibration, test)
            model = _quantize(model, writer, file, samples, card, lower, asked.max_drop, display)
        writer.save(model, card, file)
    return ExportResult(parts_of(out), card, choice, out if out.is_dir() else None)


def _low_precision(int8: bool | None, float16: bool) -> LowPrecision | None:
    if int8 and float16:
        raise ArgumentError("--int8 --float16: choose one of them")
    if int8:
        return "int8"
    return "float16" if float16 else None


def _check_options(
    out: Path, format: ExportFormat, lower: LowPrecision | None, max_drop: float
) -> None:
    writer = WRITERS[format]
    if out.suffix.lower() != writer.suffix:
        raise ArgumentError(
            f"{out}: a file of --format {format} must be named {writer.suffix}, as "
            f"{out.stem}{writer.suffix}"
        )
    for file in (out, *parts_of(out)):
        if file.exists():
            raise ArgumentError(
                f"{file}: exists already, and nothing is overwritten; choose another name"
            )
    if not 0 <= max_drop <= 1:
        raise ArgumentError(
            f"--max-drop {max_drop}: is a share of the images; give 0 to 1, such as 0.01"
        )
    check_installed(writer.needs, f"--format {format}", writer.extra)
    if lower:
        if _lowered(writer, lower) is None:
            offering = [name for name, other in WRITERS.items() if _lowered(other, lower)]
            raise ArgumentError(
                f"--{lower}: --format {format} has none; choose --format {' or '.join(offering)}"
            )
        if writer.extra == "export":
            check_installed(("nncf", "onnx"), f"--{lower}")


def _lowered(writer: Writer, lower: LowPrecision) -> Callable[[Any, Views], Any] | None:
    return writer.quantize if lower == "int8" else writer.halve


def _check_size(graph: EnsembleGraph, format: ExportFormat) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    if format == "onnx" and size > MAX_ONNX_BYTES:
        raise ArgumentError(
            f"--format onnx: the members hold {size / 1e9:.1f} GB, and an ONNX file 2 at most; "
            f"choose --format openvino, fewer members (--prune), or one network (bestiary distill)"
        )


def _read_samples(
    run: Run,
    ensemble: Ensemble,
    folds: list[int],
    lower: LowPrecision | None,
    display: Display,
) -> tuple[Sample, Sample]:
    """Read images to calibrate int8 and to compare on, and others to test int8 on.

    The second sample is empty unless `lower`.
    """
    table = shuffled_manifest(run)
    if lower:
        chosen = split_calibration(table, folds, CALIBRATION_IMAGES, TEST_IMAGES)
    else:
        chosen = (table[:COMPARED_IMAGES], table[:0])
    images = RunImages(run.read_root(), table)
    with display.counter("Reading images") as tick:
        calibration = read_sample(images, input_view(ensemble), chosen[0], tick)
        test = read_sample(images, input_view(ensemble), chosen[1], tick)
    if images.notice:
        display.notice(images.notice)
    if lower and min(len(calibration), len(test)) < MIN_INT8_IMAGES:
        raise DataError(
            f"--{lower}: {len(calibration)} and {len(test)} images can be read at {images} "
            f"to take ranges from and to judge by, and each takes {MIN_INT8_IMAGES}; put them "
            f"back, or leave --{lower} out"
        )
    return calibration, test


def _compared_views(calibration: Sample, ensemble: Ensemble) -> Views:
    if len(calibration):
        return calibration.views[:COMPARED_IMAGES]
    return synthetic_views(input_view(ensemble).size, COMPARED_IMAGES // 4)


def _built(writer: Writer, graph: EnsembleGraph, ensemble: Ensemble) -> Any:
    program = _traced(graph, ensemble)
    with silent_output():
        return writer.build(program, input_view(ensemble).size)


def _traced(graph: EnsembleGraph, ensemble: Ensemble) -> Any:
    try:
        with silent_output():
            return trace(graph, input_view(ensemble).size)
    except Exception as error:  # the tracer raises any class for what it cannot follow
        reason = one_line(error, 100)
        raise BestiaryError(
            f"{ensemble.members[0].name}: cannot be made one graph ({reason})"
        ) from None


def _check_agreement(
    graph: EnsembleGraph, writer: Writer, file: Path, views: Views, format: ExportFormat
) -> dict[str, Any]:
    """Compare the file with PyTorch's float32, in each precision that a reader may choose.

    Returns:
        Precision -> `compare_outputs`.

    Raises:
        BestiaryError: probabilities in float32 differ by more than `TOLERANCE`.
    """
    reference = run_batches(lambda batch: run_graph(graph, batch), views)
    exported = run_batches(writer.open(file, "float32"), views)
    agreement = {"float32": compare_outputs(reference, exported)}
    difference = agreement["float32"]["probability_difference"]
    if not difference <= TOLERANCE:  # nan included
        raise BestiaryError(
            f"--format {format}: the file's probabilities are up to {difference:.2g} from the "
            f"network's, more than {TOLERANCE:g}, and it was not kept; choose another --format"
        )
    # OpenVINO computes on the CPU, in bf16 by default where the CPU can.
    if format == "openvino" and best_precision(torch.device("cpu")) == "bf16":
        exported = run_batches(writer.open(file, "bf16"), views)
        agreement["bf16"] = compare_outputs(reference, exported)
    return agreement


def _quantize(
    model: Any,
    writer: Writer,
    file: Path,
    samples: tuple[Sample, Sample],
    card: Card,
    lower: LowPrecision,
    max_drop: float,
    display: Display,
) -> Any:
    """Replace the float32 `file` with one in int8 or float16, and add what that costs to the card.

    Returns:
        The model in int8 or float16.

    Raises:
        BestiaryError: NNCF cannot quantize the model, or accuracy falls by more than `max_drop`.
    """
    calibration, test = samples
    display.line(
        f"Quantizing by {counted(len(calibration), 'image')} of the run, judging by {len(test)} "
        "others"
    )
    with display.counter("Judging in float32") as tick:
        float32 = run_batches(writer.open(file, "float32"), test.views, tick)
    quantized = _to_lower(model, writer, calibration, lower)

    remove_parts(file)
    card["precision"] = lower
    writer.save(quantized, card, file)
    with display.counter(f"Judging in {lower}") as tick:
        outputs = run_batches(writer.open(file, "float32"), test.views, tick)

    drop = accuracy_drop(float32, outputs, test.table, card["members"], card["classes"], lower)
    _check_drop(drop, lower, max_drop)
    card[lower] = {"calibrated_on": len(calibration), "max_drop": max_drop, **drop}
    return quantized


def _to_lower(model: Any, writer: Writer, calibration: Sample, lower: LowPrecision) -> Any:
    function = _lowered(writer, lower)
    assert function is not None
    try:
        with silent_output():
            return function(model, calibration.views)
    except Exception as error:  # NNCF and LiteRT raise any class for what they cannot quantize
        reason = one_line(error, 100)
        raise BestiaryError(f"--{lower}: the network cannot be quantized ({reason})") from None


def _check_drop(drop: dict[str, Any], lower: LowPrecision, max_drop: float) -> None:
    lost = drop["accuracy_float32"] - drop[f"accuracy_{lower}"]
    if lost > max_drop:
        raise BestiaryError(
            f"--{lower}: accuracy falls by {100 * lost:.2f} points on "
            f"{counted(drop['images'], 'image')} held out, more than --max-drop {max_drop:g} "
            f"allows, and nothing was written; leave --{lower} out, or allow more"
        )


def run_batches(runner: Runner, views: Views, tick: Tick | None = None) -> Outputs:
    """Run a file or a graph on views, batch by batch.

    Args:
        runner: computes the outputs of a batch.
        views: uint8 (n, size, size, 3).
        tick: called with (done, total) after each batch.

    Returns:
        The outputs for all views.
    """
    batches = []
    for start in range(0, len(views), BATCH_SIZE):
        batches.append(runner(views[start : start + BATCH_SIZE]))
        if tick:
            tick(min(start + BATCH_SIZE, len(views)), len(views))
    return Outputs(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))
