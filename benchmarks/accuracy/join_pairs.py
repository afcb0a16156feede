"""Claim: joined runs are never worse than the better one, and their score holds on new images.

    python benchmarks/accuracy/join_pairs.py DATA[,TEST] ... [--size 192] [--seed 0]

`probe` is run with each of BACKBONES on the same folds, and each pair is joined. Judged on images
that no run has seen: those of TEST, or a third of DATA, near duplicates on one side. "Holds": the
accuracy that the joined run expects of its ensemble is inside the 95 % interval of the accuracy on
these images. "Not worse": the paired difference to the run that is best alone out of fold has an
interval that reaches 0 or more.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import bestiary
from bestiary.data.audit import audit_images
from bestiary.data.folds import leak_groups
from bestiary.data.listing import list_labeled
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.rng import keyed_rng
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "join-pairs": {
        "statement": "Joined pairs of runs are not worse than the better one of the pair",
        "unit": "of the pairs",
        "bar": ("least", 1.0, "a blend that loses accuracy is worth nothing"),
        "watches": ("src/bestiary/ensemble/blending.py", "src/bestiary/stats/blending.py"),
    },
    "join-pairs-score": {
        "statement": "The score of a joined run holds on new images",
        "unit": "of the pairs",
        "bar": ("least", 1.0, "its weights are cross-fitted"),
        "watches": ("src/bestiary/ensemble/blending.py", "src/bestiary/stats/blending.py"),
    },
}
BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")

Flags = NDArray[np.bool_]
Pair = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+")
    parser.add_argument("--size", type=int, default=192, help="pixels that all networks see")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pairs: dict[str, Pair] = {}
    for place in args.data:
        with tempfile.TemporaryDirectory() as scratch:
            pairs |= join_pairs(place, Path(scratch), args)
    for claim, key in (("join-pairs", "not worse"), ("join-pairs-score", "holds")):
        details = {
            "difference of accuracy on new images": {n: one["gain"] for n, one in pairs.items()},
            "accuracy on new images": {n: one["held out"] for n, one in pairs.items()},
            "accuracy expected": {n: one["expected"] for n, one in pairs.items()},
        }
        record(
            claim,
            float(np.mean([one[key] for one in pairs.values()])),
            len(pairs),
            "pairs",
            details=details,
            spread="95 % interval",
            note="All networks see images at one size.",
        )


def join_pairs(place: str, scratch: Path, args: argparse.Namespace) -> dict[str, Pair]:
    """Probe with each backbone, and judge each joined pair."""
    data, _, test = place.partition(",")
    train, files = (Path(data), image_files(Path(test))) if test else split(Path(data), scratch)
    labels = np.array([file.parent.name for file in files])
    name = Path(data).parent.name if Path(data).name == "train" else Path(data).name
    hits: dict[str, Flags] = {}
    for backbone in BACKBONES:
        run = bestiary.probe(
            train,
            scratch / backbone,
            overrides=[
                f"model.backbone=offline/{backbone}",
                *([] if test else [f"data.root={data}"]),
                f"view.size={args.size}",
                f"view.eval_size={args.size}",
                f"folds.seed={args.seed}",
            ],
            quiet=True,
        )
        hits[backbone] = Ensemble.load(run).predict(files) == labels
        print(f"{name}, {backbone}: {share_interval(hits[backbone])}", flush=True)
    pairs = {}
    for one, other in itertools.combinations(BACKBONES, 2):
        runs = (one, other)
        joined = bestiary.join(*(scratch / run for run in runs), scratch / f"{one}+{other}")
        blend = Ensemble.load(joined.run).predict(files) == labels
        best = hits[runs[joined.gain.best]]
        gain = paired_difference(best, blend, np.arange(len(files)))
        held_out = share_interval(blend)
        expected = joined.run.read_scores()["ensemble"]["value"]
        title = (
            f"{name}, {one.removeprefix('efficientnet_')} and {other.removeprefix('efficientnet_')}"
        )
        pairs[title] = {
            "gain": gain,
            "held out": held_out,
            "expected": expected,
            "not worse": gain.high >= 0,
            "holds": held_out.low <= expected <= held_out.high,
        }
        print(
            f"{title}: out of fold {joined.gain.blend}, against the best {joined.gain.gain}; on "
            f"{len(files)} new images {held_out}, expected {expected:.4f}, against the best {gain}",
            flush=True,
        )
    return pairs


def image_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def split(data: Path, scratch: Path) -> tuple[Path, list[Path]]:
    """Split off a third of the leak groups; a table of the rest, and the files split off."""
    table = audit_images(list_labeled(data), Display(quiet=True)).manifest.table
    groups = leak_groups(table)
    order = keyed_rng(0, "join pairs").permutation(int(groups.max()) + 1)
    is_test = order[groups] < len(order) / 3
    table.filter(~pl.Series(is_test)).select("path", "label").write_csv(scratch / "train.csv")
    return scratch / "train.csv", [data / path for path in table.filter(is_test)["path"]]


if __name__ == "__main__":
    recording(main, __file__)
