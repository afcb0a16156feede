"""A run -> one file that needs no bestiary: traced, written, opened again as its readers do,
compared, then kept.

What is compared is the file that is handed over, not what it was made from. Nothing is left behind
where it disagrees with the network or where int8 costs too much.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, BestiaryError, DataError, one_line
from bestiary.exporting.agreement import TOLERANCE, accuracy_lost, compare_outputs
from bestiary.exporting.card import describe
from bestiary.exporting.formats import (
    WRITERS,
    Card,
    Format,
    Runner,
    Views,
    Writer,
    check_installed,
    silenced,
)
from bestiary.exporting.graph import EnsembleGraph, Outputs, run_graph, trace
from bestiary.exporting.prune import Choice, choose_members
from bestiary.exporting.sample import (
    BATCH,
    Sample,
    deal_images,
    drawn_views,
    read_sample,
    shuffled_images,
)
from bestiary.model.classifier import memory_format
from bestiary.model.compute import Precision, best_device, best_precision
from bestiary.run.layout import ENSEMBLE
from bestiary.run.run import Run

COMPARED = 32  # images that the file and the network are compared on
CALIBRATION = 100  # images that ranges of int8 are taken from
JUDGED = 400  # images, others than those, that int8 is judged by
LEAST = 10  # images that --int8 needs for each of the two
ONNX_BYTES = 2_000_000_000  # a protocol buffer, which an ONNX file is, ends at 2 GiB


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` has written; prints as a few lines.

    Attributes:
        files: the file to open first; OpenVINO's weights lie in a second one beside it.
        card: what the file itself says of classes, input, outputs, thresholds, versions and
            agreement.
        choice: of the members, where some were left out.
    """

    files: list[Path]
    card: Card
    choice: Choice | None = None

    def __str__(self) -> str:
        card = self.card
        size = sum(file.stat().st_size for file in self.files) / 1e6
        members = "1 member" if len(card["members"]) == 1 else f"{len(card['members'])} members"
        lines = [
            f"{', '.join(map(str, self.files))}: {members}, {len(card['classes'])} classes, "
            f"{card['input']['size']} px, {card['precision']}, {size:.1f} MB"
        ]
        lines += [self.choice.line] if self.choice else []
        for precision, found in card["agreement"].items():
            lines.append(
                f"{precision} against the network on {found['images']} {card['compared_on']}: "
                f"labels equal "
                f"{found['labels_equal']}, probabilities within "
                f"{found['probability_difference']:.2g}"
            )
        if "int8" in card:
            lines += _int8_lines(card["int8"])
        return "\n".join(lines)


def _int8_lines(found: dict[str, Any]) -> list[str]:
    lost, together = found["difference"], found["ensemble"]
    return [
        f"int8 changes accuracy by {100 * lost['value']:+.2f} points (95 % interval "
        f"{100 * lost['low']:+.2f} to "
        f"{100 * lost['high']:+.2f}) on {found['images']} images, each judged by the member that "
        f"held it out",
        f"int8 ensemble against float32 on the same, which it was trained on: labels equal "
        f"{together['labels_equal']} "
        f"of {together['images']}",
    ]


def export_run(
    run: Run,
    out: Path,
    format: Format,
    *,
    int8: bool,
    max_drop: float,
    prune: int | None,
    display: Display,
) -> Exported:
    """Write the ensemble of `run` to `out`; arguments as `bestiary.export` takes them.

    Raises:
        ArgumentError: `out` exists or is named for another format, or options contradict each other
            or the run.
        DataError: int8 is asked for and the run's images are gone or too few.
        BestiaryError: the file disagrees with the network, int8 loses more than `max_drop`, or
            `out` cannot be written.
    """
    writer = WRITERS[format]
    _check_asked(out, format, int8, max_drop)
    ensemble = Ensemble.load(run, device="cpu", engine="torch")
    folds = [int(member["fold"]) for member in run.read_json(ENSEMBLE)["members"]]
    choice = choose_members(run, ensemble, prune) if prune is not None else None
    kept = choice.kept if choice else folds
    graph = build_graph(ensemble, [folds.index(fold) for fold in kept])
    _check_size(graph, format)
    ranges, judges = _read_samples(run, ensemble, kept, int8, display)
    compared = (
        ranges.views[:COMPARED]
        if len(ranges)
        else drawn_views(ensemble.input_view.size, COMPARED // 4)
    )
    card = describe(run, ensemble, kept) | {
        "compared_on": "images of the run" if len(ranges) else "drawn views"
    }
    card |= {"prune": choice.to_json()} if choice else {}
    with _new_place(out) as file:
        display.line(f"Writing {out.name}: {len(kept)} members as one graph")
        model = writer.build(_traced(graph, ensemble), ensemble.input_view.size)
        writer.save(model, card, file)
        card["agreement"] = _agreement(graph, writer, file, compared, format)
        if int8:
            card["precision"] = "int8"
            model, card["int8"] = _quantized(
                model, writer, file, (ranges, judges), card, max_drop, display
            )
        writer.save(model, card, file)
        return Exported(
            [out, *(out.with_name(part.name) for part in _parts(file)[1:])], card, choice
        )


def build_graph(ensemble: Ensemble, places: list[int]) -> EnsembleGraph:
    """The members at `places` of `ensemble` as one network on the CPU."""
    scales = [float(ensemble.known.scales[p]) if ensemble.known else 1.0 for p in places]
    temperature = ensemble.calibration.temperature if ensemble.calibration else 1.0
    members = [ensemble.members[place] for place in places]
    graph = EnsembleGraph(members, ensemble.average, ensemble.tta, temperature, scales).eval()
    return graph.to(
        memory_format=memory_format(False)
    )  # files keep weights with the channels outermost


def _check_asked(out: Path, format: Format, int8: bool, max_drop: float) -> None:
    writer = WRITERS[format]
    if out.suffix.lower() != writer.suffix:
        raise ArgumentError(
            f"{out}: a file of --format {format} must be named {writer.suffix}, as "
            f"{out.stem}{writer.suffix}"
        )
    for file in _parts(out):
        if file.exists():
            raise ArgumentError(
                f"{file}: exists already, and nothing is overwritten; choose another name"
            )
    if not 0 <= max_drop <= 1:
        raise ArgumentError(
            f"--max-drop {max_drop}: is a share of the images; give 0 to 1, such as 0.01"
        )
    check_installed(writer.needs, f"--format {format}")
    if int8:
        if writer.quantize is None:
            raise ArgumentError(
                f"--int8: --format {format} has none; choose --format onnx or openvino"
            )
        check_installed(("nncf", "onnx"), "--int8")


def _check_size(graph: EnsembleGraph, format: Format) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    if format == "onnx" and size > ONNX_BYTES:
        raise ArgumentError(
            f"--format onnx: the members hold {size / 1e9:.1f} GB, and an ONNX file 2 at most; "
            f"choose --format "
            "openvino, fewer members (--prune), or one network (bestiary distill)"
        )


def _read_samples(
    run: Run, ensemble: Ensemble, kept: list[int], int8: bool, display: Display
) -> tuple[Sample, Sample]:
    """Images that ranges are taken from, some of which are compared on; and others, where int8
    is to be judged.
    """
    images = shuffled_images(run)
    chosen = (
        deal_images(images, kept, CALIBRATION, JUDGED) if int8 else (images[:COMPARED], images[:0])
    )
    with display.counter("Reading images") as tick:
        ranges = read_sample(run, ensemble.input_view, chosen[0], tick)
        judges = read_sample(run, ensemble.input_view, chosen[1], tick)
    if int8 and min(len(ranges), len(judges)) < LEAST:
        raise DataError(
            f"--int8: {len(ranges)} and {len(judges)} images can be read at {run.read_root()} to "
            f"take ranges from and to "
            f"judge by, and each takes {LEAST}; put them back, or leave --int8 out"
        )
    return ranges, judges


def _traced(graph: EnsembleGraph, ensemble: Ensemble) -> Any:
    try:
        with silenced():
            return trace(graph, ensemble.input_view.size)
    except Exception as error:  # the tracer raises what it pleases for what it cannot follow
        reason = one_line(error, 100)
        raise BestiaryError(
            f"{ensemble.members[0].name}: cannot be made one graph ({reason})"
        ) from None


def _agreement(
    graph: EnsembleGraph, writer: Writer, file: Path, views: Views, format: Format
) -> dict[str, Any]:
    """How far the file is from PyTorch's float32, in float32, and in bf16 where a reader of it
    may take that.
    """
    reference = run_batches(lambda part: run_graph(graph, part), views)
    found = {
        "float32": compare_outputs(reference, run_batches(writer.open(file, "float32"), views))
    }
    difference = found["float32"]["probability_difference"]
    if not difference <= TOLERANCE:
        raise BestiaryError(
            f"--format {format}: the file's probabilities are up to {difference:.2g} from the "
            f"network's, more than "
            f"{TOLERANCE:g}, and it was not kept; choose another --format"
        )
    faster: Precision = best_precision(best_device()) if format == "openvino" else "float32"
    if faster == "bf16":
        found["bf16"] = compare_outputs(reference, run_batches(writer.open(file, "bf16"), views))
    return found


def _quantized(
    model: Any,
    writer: Writer,
    file: Path,
    samples: tuple[Sample, Sample],
    card: Card,
    max_drop: float,
    display: Display,
) -> tuple[Any, dict[str, Any]]:
    """The model in int8 and what it loses; `file` holds the float32 one."""
    ranges, judged = samples
    display.line(f"Quantizing by {len(ranges)} images of the run, judging by {len(judged)} others")
    assert writer.quantize is not None
    with display.counter("Judging in float32") as tick:
        reference = run_batches(writer.open(file, "float32"), judged.views, tick)
    try:
        small = writer.quantize(model, ranges.views)
    except Exception as error:  # NNCF raises what it pleases for what it cannot quantize
        raise BestiaryError(
            f"--int8: NNCF cannot quantize it ({' '.join(str(error).split())[:100]})"
        ) from None
    for part in _parts(file):
        part.unlink(missing_ok=True)
    writer.save(small, card, file)
    with display.counter("Judging in int8") as tick:
        found = run_batches(writer.open(file, "float32"), judged.views, tick)
    lost = accuracy_lost(reference, found, judged.table, card["members"], card["classes"])
    drop = lost["accuracy_float32"] - lost["accuracy_int8"]
    if drop > max_drop:
        raise BestiaryError(
            f"--int8: accuracy falls by {100 * drop:.2f} points on {lost['images']} images held "
            f"out, more than "
            f"--max-drop {max_drop:g} allows, and nothing was written; leave --int8 out, or allow "
            f"more"
        )
    return small, {"calibrated_on": len(ranges), "max_drop": max_drop, **lost}


def run_batches(
    runner: Runner, views: Views, tick: Callable[[int, int], None] | None = None
) -> Outputs:
    """What `runner` gives for all of `views`, batch by batch."""
    parts = []
    for start in range(0, len(views), BATCH):
        parts.append(runner(views[start : start + BATCH]))
        if tick:
            tick(min(start + BATCH, len(views)), len(views))
    return Outputs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _parts(file: Path) -> list[Path]:
    """The file and, for OpenVINO, its weights beside it."""
    return [file, file.with_suffix(".bin")] if file.suffix.lower() == ".xml" else [file]


@contextmanager
def _new_place(out: Path) -> Iterator[Path]:
    """A file of that name in a folder of its own beside `out`, moved to `out` when the block
    ends well.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".tmp"
        ) as folder:
            file = Path(folder) / out.name
            yield file
            for part in reversed(
                _parts(file)
            ):  # what is opened first comes last, and makes the others count
                goal = out.with_name(part.name)
                if goal.exists():
                    raise ArgumentError(
                        f"{goal}: was made meanwhile, and nothing is overwritten; choose another "
                        f"name"
                    )
                with part.open("rb") as written:
                    os.fsync(written.fileno())
                os.replace(part, goal)
    except OSError as error:
        if error.errno is None:
            raise
        raise BestiaryError(
            f"{out}: cannot be written ({error.strerror or type(error).__name__}); free space or "
            f"choose another folder"
        ) from None
