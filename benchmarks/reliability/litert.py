"""Claim: a LiteRT file answers as the network does, on 40 files of every kind.

Bars: the label of the members in float32 for 40 of 40, and its probability within 0.01. The files
and their views are those of `reliability/web.py`. What int8 and float16 cost in accuracy is said by
`bestiary export` itself, and stands in the card; it is printed too.

    python benchmarks/reliability/litert.py RUN DATA FILE ...
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.export import build_graph, run_batches
from bestiary.exporting.formats import read_card
from bestiary.exporting.graph import run_graph
from bestiary.exporting.litert import open_litert

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.image_kinds import write_kinds
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "litert-labels": {
        "statement": "A LiteRT file gives the labels of the members in float32",
        "unit": "of the labels equal",
        "bar": ("least", 1.0, "it is the same network"),
        "watches": ("@export", "src/bestiary/exporting/litert.py"),
    },
    "litert-probabilities": {
        "statement": "A LiteRT file gives the probabilities of the members",
        "unit": "largest difference of a probability",
        "bar": ("most", 0.01, "a percent is what is shown"),
        "watches": ("@export", "src/bestiary/exporting/litert.py"),
    },
    "litert-accuracy": {
        "statement": "What a smaller LiteRT file loses in accuracy",
        "unit": "points",
        "watches": ("@export", "src/bestiary/exporting/litert.py"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("file", type=Path, nargs="+")
    args = parser.parse_args()
    print(machine())
    ensemble = Ensemble.load(args.run, device="cpu", engine="torch")
    graph = build_graph(ensemble, list(range(len(ensemble.folds))))
    photographs = sorted(args.data.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as scratch:
        step = max(1, len(photographs) // 40)
        files = write_kinds(photographs[11::step], Path(scratch) / "kinds")
        view = ensemble.input_view
        views = np.stack([view(view.decode(file.read_bytes())) for file in files])
    exact = run_batches(lambda batch: run_graph(graph, batch), views).probabilities
    labels = exact.argmax(axis=1)
    rows = np.arange(len(labels))
    for file in args.file:
        runner = open_litert(file, "float32")
        began = time.process_time()
        found = run_batches(runner, views).probabilities
        seconds = (time.process_time() - began) / len(views)
        gaps = np.abs(found[rows, labels] - exact[rows, labels])
        print(
            f"{file.name}: {file.stat().st_size / 1e6:.1f} MB; labels equal "
            f"{int((found.argmax(axis=1) == labels).sum())} of {len(labels)}; probability within "
            f"{gaps.max():.2g}, {int((gaps > 0.01).sum())} above 0.01; {seconds:.2f} CPU s an image"
        )
        same = float((found.argmax(axis=1) == labels).mean())
        n = len(labels)
        card = read_card(file)
        case = str(card["precision"])
        details = {"MB": file.stat().st_size / 1e6, "s of a core an image": seconds}
        record("litert-labels", same, n, "files", case=case, details=details)
        details = {"files above 0.01": int((gaps > 0.01).sum())}
        record("litert-probabilities", gaps.max(), n, "files", case=case, details=details)
        drop = card.get(card["precision"])
        if drop:
            ends = tuple(100 * drop["difference"][key] for key in ("value", "low", "high"))
            n = drop["images"]
            record("litert-accuracy", ends, n, "images", case=case, spread="95 % interval")
            print(f"  accuracy {drop['difference']} on {drop['images']} images held out")


if __name__ == "__main__":
    recording(main, __file__)
