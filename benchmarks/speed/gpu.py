"""Claim: on a GPU, training and prediction lose little of what the card can do.

Keeps what the stages of benchmarks/gpu/run.py measured, on this machine or on one without this
project's history. The card, the processor and the versions are those of the stage `env`. A stage
that was not run is left out. Of one that was cut off, what it had said counts, with n as it is.

    python benchmarks/gpu/run.py --out OUT
    python benchmarks/speed/gpu.py OUT
"""

import argparse
import csv
import json
import statistics
import sys
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import Elsewhere, record, recording
from harness.results import Machine

CLAIMS = {
    "gpu-loop": {
        "statement": "On a GPU, training from files costs little more than its arithmetic",
        "unit": "of the images/s of a resident batch",
        "bar": ("least", 0.97, "0.95 from JPEG, 0.90 of whole epochs with scoring and checkpoints"),
        "watches": ("@training", "src/bestiary/training/prediction.py"),
    },
    "gpu-against-peers": {
        "statement": "On a GPU, training is faster than the course report's loop and timm's",
        "unit": "times as fast",
        "bar": ("least", 1.05, "2.5 and 2.2 for the report's loop, 1.0 for timm compiled"),
        "watches": ("@training",),
    },
    "gpu-small-network": {
        "statement": "On a GPU, a small network trains faster than its kernels are launched",
        "unit": "times an eager step on a resident batch",
        "bar": ("least", 1.5, "launches bind a small network"),
        "watches": ("@training", "src/bestiary/model/graphed.py"),
    },
    "gpu-predict": {
        "statement": "On a GPU, five members predict a folder near the speed of their arithmetic",
        "unit": "times the images/s",
        "bar": ("least", 30, "30 times the course report's loop, 0.7 of a resident batch"),
        "watches": ("@predicting",),
    },
    "gpu-images-per-second": {
        "statement": "A ResNeXt-101 64x4d trains in bf16 as fast as an H100 should",
        "unit": "images/s",
        "bar": ("least", 1000, "of the card's memory bandwidth"),
        "watches": ("@training",),
    },
    "gpu-busy": {
        "statement": "The GPU is busy while whole epochs are trained",
        "unit": "% of the time",
        "bar": ("least", 90, "what is idle is paid for too"),
        "watches": ("@training",),
    },
    "gpu-same-bits": {
        "statement": "With train.deterministic, a GPU gives the same bits, after SIGKILL too",
        "unit": "of the comparisons",
        "bar": ("least", 1.0, "all or nothing"),
        "watches": ("@checkpoints", "src/bestiary/training/determinism.py"),
    },
}
LOOP_BARS = {"store": 0.97, "jpeg": 0.95}
PEER_BARS = {
    "described, 4 workers": 2.5,
    "described, 16 workers": 2.2,
    "timm": 1.05,
    "timm, compiled": 1.0,
}
RESIDENT = "resident batch"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the stages' results.jsonl and gpu.csv")
    parser.add_argument("--commit", help="of the code that was measured, if not that of today")
    parser.add_argument("--note", default="", help="on the conditions, for each result")
    args = parser.parse_args()
    rows = [json.loads(line) for line in (args.out / "results.jsonl").read_text().splitlines()]
    where = replace(measured_on(rows), commit=args.commit, note=args.note)
    keep_loop(rows, where)
    keep_epochs(rows, args.out / "gpu.csv", where)
    keep_peers(rows, where)
    keep_small(rows, where)
    keep_prediction(rows, where)
    keep_bits(rows, where)


def measured_on(rows: list[Row]) -> Elsewhere:
    """Read the machine, the versions and the date from the stage `env`."""
    facts: Row = {}
    for row in of_stage(rows, "env"):
        facts |= {row["name"]: row} if "name" in row else {}
    versions = {
        name: value for name, value in facts["versions"].items() if name not in ("stage", "name")
    }
    return Elsewhere(
        machine=Machine(
            cpu=facts["machine"]["processor"],
            cores=facts["machine"]["cores"],
            gpu=facts.get("gpu", {}).get("gpu"),
        ),
        versions={name: str(value) for name, value in versions.items() if name != "at"},
        date=datetime.fromtimestamp(facts["versions"]["at"]).astimezone(),
    )


def of_stage(rows: list[Row], stage: str, name: str = "") -> list[Row]:
    """Select the rows of the last time that a stage was run, with this name if one is given."""
    last: list[Row] = []
    is_over = False
    for row in rows:
        if row["stage"] != stage or "skipped" in row:
            continue
        last = [row] if is_over else [*last, row]
        is_over = "name" not in row  # a stage ends with its status
    return [row for row in last if name in ("", row.get("name"))]


def turns(rows: list[Row], stage: str, first: str) -> dict[str, list[float]]:
    """Images/s in each round, by contender, of the comparison that began with `first`.

    They are said after each round: the last time counts.
    """
    speeds = of_stage(rows, stage, "speed")
    return {row["contender"]: row["speeds"] for row in speeds if row["beside"] == first}


def divided(ours: list[float], theirs: list[float]) -> list[float]:
    """Ratios, round by round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def keep_loop(rows: list[Row], where: Elsewhere) -> None:
    """Keep training from the store and from JPEG, against a resident batch."""
    for case, bar in LOOP_BARS.items():
        speeds = turns(rows, "paper", f"bestiary, {case}")
        if not speeds:
            continue
        ours = speeds[f"bestiary, {case}"]
        record(
            "gpu-loop",
            divided(ours, speeds[RESIDENT]),
            len(ours),
            "rounds",
            case=f"ResNeXt-101 64x4d, from {'JPEG' if case == 'jpeg' else 'the store'}",
            bar=bar,
            details={"images/s": {"bestiary": ours, RESIDENT: speeds[RESIDENT]}},
            elsewhere=where,
        )
        if case == "store":
            record("gpu-images-per-second", ours, len(ours), "rounds", elsewhere=where)


def keep_epochs(rows: list[Row], table: Path, where: Elsewhere) -> None:
    """Keep whole epochs against a resident batch, and how busy the card was meanwhile.

    The first epoch is left out: it fills the store. An epoch lasts from the end of the one before.
    The resident batch is the stage's own, or where the stage was cut off before it, that of the
    stage `paper`.
    """
    epochs = of_stage(rows, "epochs", "epoch")
    own = [row["images_per_second"] for row in of_stage(rows, "epochs", "synthetic")][-1:]
    resident = own or turns(rows, "paper", "bestiary, store").get(RESIDENT, [])
    speeds = [row["images"] / (row["at"] - before["at"]) for before, row in pairwise(epochs)]
    if not speeds or not resident:
        return
    beside = "in turns with the stage `paper`, not beside these epochs"
    record(
        "gpu-loop",
        [speed / statistics.median(resident) for speed in speeds],
        len(speeds),
        "epochs",
        case="ResNeXt-101 64x4d, whole epochs",
        bar=0.9,
        details={"images/s": {"bestiary": speeds, RESIDENT: resident}},
        note=where.note if own else f"The resident batch was timed {beside}. {where.note}".strip(),
        elsewhere=where,
    )
    busy = utilization(table, epochs[0]["at"], epochs[-1]["at"])
    if busy:
        record("gpu-busy", statistics.mean(busy), len(busy), "samples", elsewhere=where)


def utilization(table: Path, began: float, ended: float) -> list[float]:
    """Read nvidia-smi's samples of utilization, in percent, between two times."""
    if not table.exists():
        return []
    with table.open() as file:
        samples = list(csv.DictReader(file, skipinitialspace=True))
    found = []
    for sample in samples:
        time, used = sample.get("timestamp"), sample.get("utilization.gpu [%]")
        if time and used:
            at = datetime.strptime(time, "%Y/%m/%d %H:%M:%S.%f").timestamp()
            found += [float(used.removesuffix(" %"))] if began <= at <= ended else []
    return found


def keep_peers(rows: list[Row], where: Elsewhere) -> None:
    """Keep training against other programs."""
    speeds = turns(rows, "peers", "bestiary, store")
    ours = speeds.get("bestiary, store", [])
    for name, bar in PEER_BARS.items():
        if name in speeds:
            record(
                "gpu-against-peers",
                divided(ours, speeds[name]),
                len(ours),
                "rounds",
                case=name,
                bar=bar,
                details={"images/s": {"bestiary": ours, name: speeds[name]}},
                elsewhere=where,
            )


def keep_small(rows: list[Row], where: Elsewhere) -> None:
    """Keep a small network's real training against eager steps."""
    speeds = turns(rows, "small", "bestiary, small, store")
    if speeds:
        ours, eager = speeds.values()
        ratios = divided(ours, eager)
        case = "EfficientNet-Lite0, recipe best, batch 32"
        record("gpu-small-network", ratios, len(ours), "rounds", case=case, elsewhere=where)


def keep_prediction(rows: list[Row], where: Elsewhere) -> None:
    """Keep prediction of a folder against the report's loop and a resident batch."""
    ours = [row["images_per_second"] for row in of_stage(rows, "predict", "bestiary")][-1:]
    for name, case, bar in (
        ("described_loop", "the course report's loop", 30),
        ("ceiling", RESIDENT, 0.7),
    ):
        theirs = [row["images_per_second"] for row in of_stage(rows, "predict", name)][-1:]
        if ours and theirs:
            record(
                "gpu-predict",
                ours[0] / theirs[0],
                1,
                "rounds",
                case=case,
                bar=bar,
                details={"images/s": {"bestiary": ours[0], case: theirs[0]}},
                elsewhere=where,
            )


def keep_bits(rows: list[Row], where: Elsewhere) -> None:
    """Keep whether two trainings, and a resumed one, gave the same bits."""
    same = [
        float(row["same_bits"])
        for row in of_stage(rows, "resume")
        if row.get("deterministic") and "same_bits" in row
    ]
    if same:
        record("gpu-same-bits", statistics.mean(same), len(same), "comparisons", elsewhere=where)


if __name__ == "__main__":
    recording(main, __file__)
