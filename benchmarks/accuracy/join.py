"""Claim: the cross-fitted score of a joined run holds on held-out images.

And it is never worse than the best run alone, by more than chance.

    python benchmarks/accuracy/join.py TEST RUN RUN ...

RUNs are finished runs of the same folds; TEST has class folders of images that they have not seen.
Prints what `join` says, the held-out accuracy of each run and of the joined one with intervals,
the paired difference to the run that is best alone out of fold, and how far the graph that
`export` writes, which makes smaller views from the largest, agrees with the ensemble.

    python benchmarks/accuracy/join.py TEST RUN RUN --splits 200

also splits TEST's images and the out-of-fold images: how often the interval of the expected
accuracy of the joined ensemble holds a random half of TEST.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.data.decode import read_image
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.graph import build_graph, input_view, run_graph
from bestiary.rng import keyed_rng
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "join-accuracy": {
        "statement": "Runs that are joined are not worse than the best of them",
        "unit": "difference of accuracy",
        "watches": (
            "src/bestiary/ensemble/blending.py",
            "src/bestiary/stats/blending.py",
        ),
    },
    "join-graph": {
        "statement": "One graph with one input answers as the joined ensemble does",
        "unit": "of the labels equal",
        "bar": ("least", 1.0, "it is the same computation"),
        "watches": (
            "src/bestiary/exporting/graph.py",
            "src/bestiary/ensemble/blending.py",
        ),
    },
}


Flags = NDArray[np.bool_]


def hits_of(ensemble: Ensemble, files: list[Path]) -> Flags:
    labels = np.array([file.parent.name for file in files])
    return np.asarray(ensemble.predict(files) == labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--splits", type=int, default=0)
    args = parser.parse_args()
    files = sorted(file for file in args.test.rglob("*") if file.is_file())
    with tempfile.TemporaryDirectory() as scratch:
        joined = bestiary.join(*args.runs, Path(scratch) / "joined")
        print(joined)
        ensemble = Ensemble.load(joined.run)
        blend = hits_of(ensemble, files)
        estimate = joined.run.read_scores()["ensemble"]
        print(f"expected of the whole ensemble: {estimate}")
        print(f"held out, joined: {share_interval(blend)}")
        singles = [hits_of(Ensemble.load(run), files) for run in args.runs]
        for name, hits in zip(joined.names, singles, strict=True):
            print(f"held out, {name}: {share_interval(hits)}")
        best = singles[joined.gain.best]
        images = np.arange(len(files))
        gain = paired_difference(best, blend, images)
        print(f"against the best alone: {gain}")
        scores = {"joined": share_interval(blend)}
        for name, hits in zip(joined.names, singles, strict=True):
            scores[name] = share_interval(hits)
        out_of_fold = {"joined": joined.gain.blend}
        out_of_fold |= dict(zip(joined.names, joined.gain.alone, strict=True))
        n = len(files)
        details = {
            "accuracy": scores,
            "accuracy, out of fold": out_of_fold,
            "difference of accuracy, out of fold": joined.gain.gain,
        }
        shared = {"spread": "95 % interval", "data": args.test}
        record("join-accuracy", gain, n, "new images", details=details, **shared)
        report_splits(blend, estimate, args.splits)
        compare_graph(ensemble, files[::17])


def report_splits(hits: Flags, estimate: dict[str, float], splits: int) -> None:
    if not splits:
        return
    holds = 0
    for split in range(splits):
        half = keyed_rng(split, "join halves").permutation(len(hits))[: len(hits) // 2]
        share = share_interval(hits[half])
        holds += share.low <= estimate["value"] <= share.high
    print(f"the expected accuracy is inside the interval of {holds} of {splits} halves")


def compare_graph(ensemble: Ensemble, files: list[Path]) -> None:
    view = input_view(ensemble)
    views = np.stack([view(view.decode(read_image(file))) for file in files])
    found = run_graph(build_graph(ensemble, list(range(len(ensemble.folds)))), views)
    expected = ensemble.predict_proba(files)
    equal = int((found.probabilities.argmax(axis=1) == expected.argmax(axis=1)).sum())
    apart = np.abs(found.probabilities - expected)
    details = {"largest difference of a probability": float(apart.max())}
    record("join-graph", equal / len(files), len(files), "images", details=details)
    print(
        f"one graph with one input against the ensemble: labels equal {equal} of {len(files)}, "
        f"probabilities within {apart.max():.3f}, mean {apart.mean():.5f}"
    )


if __name__ == "__main__":
    recording(main, __file__)
