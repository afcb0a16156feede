"""What a store of JPEGs saves on the disk, and what it costs: speed, pixels and accuracy.

Draws beasts of 800 pixels and stores them as raw pixels and as JPEG. Then makes training views at
224 pixels in one thread from either store and from the files, in turns; seconds are those of the
CPU. Compares the views of the same draws. --train fine-tunes two folds of a fifth of the images by
the recipe `fast` from either store; evaluation reads the files, never a store.

    python benchmarks/scale/store_format.py [DATA] [--images 96] [--rounds 5] [--train]
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.decode import Pixels, claimed_size
from bestiary.data.loader import LoaderThreads, load_batches, split_batches, train_views
from bestiary.data.store import ImageStore, load_shrunk
from bestiary.data.views import TrainView
from bestiary.recipe.choices import StoreFormat
from bestiary.recipe.load import load_recipe
from bestiary.rng import keyed_rng
from bestiary.training.malloc import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, ratios, report, spread
from harness.record import record, recording

CLAIMS = {
    "store-as-jpeg-size": {
        "statement": "A store of JPEGs takes a small share of the disk",
        "unit": "KB an image",
        "watches": ("src/bestiary/data/pixel_formats.py", "src/bestiary/data/store.py"),
    },
    "store-as-jpeg-speed": {
        "statement": "Views from a store of JPEGs are made more slowly than from raw pixels",
        "unit": "of the speed from raw pixels",
        "watches": ("src/bestiary/data/pixel_formats.py", "@views"),
    },
    "store-as-jpeg-views": {
        "statement": "Views from a store of JPEGs are near those from raw pixels",
        "unit": "dB (PSNR)",
        "watches": ("src/bestiary/data/pixel_formats.py", "@views"),
    },
    "store-as-jpeg-accuracy": {
        "statement": "Training on a store of JPEGs is as accurate as on raw pixels",
        "unit": "out-of-fold accuracy",
        "watches": ("src/bestiary/data/pixel_formats.py",),
    },
}
COMMANDS = ("--train",)


SIZE = 224
SIDE = round(1.5 * SIZE)
FORMATS: tuple[StoreFormat, ...] = ("raw", "jpeg")
Stores = dict[str, ImageStore]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="photographs; without, beasts are drawn")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        folder = args.data or place / "data"
        if args.data is None:
            draw_sample(folder, species=8, per_species=-(-args.images // 8), size=800)
        files = sorted(folder.glob("*/*.jpg"))
        files = files[:: max(1, len(files) // args.images)][: args.images]
        data = args.data or ("drawn beasts of 800 pixels", len(files))
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        stores = fill(files, digests, place)
        measure_speed(files, digests, stores, args.rounds, data)
        compare_views(digests, stores, data)
        if args.train:
            train(folder, place, data)


def fill(files: list[Path], digests: list[str], place: Path) -> Stores:
    """Store the images in both formats, and say what they take."""
    sizes = [claimed_size(file.read_bytes()) for file in files]
    stores = {}
    kilobytes = {}
    for storing in FORMATS:
        stores[storing] = ImageStore(place / "store", SIDE, storing=storing)
        reason = stores[storing].fill(list(zip(digests, files, strict=True)), sizes, 1 << 40)
        assert reason is None, reason
        written = sum(file.stat().st_size for file in stores[storing].folder.glob("*.pixels"))
        kilobytes[storing] = written / len(files) / 1000
    print(" ".join(f"{name}: {value:.1f} KB an image;" for name, value in kilobytes.items()))
    details = {"of the raw bytes": {"jpeg": kilobytes["jpeg"] / kilobytes["raw"]}}
    record("store-as-jpeg-size", kilobytes, len(files), "images", details=details)
    return stores


def measure_speed(
    files: list[Path], digests: list[str], stores: Stores, rounds: int, data: object
) -> None:
    """Time views from both stores and from the files."""
    view = TrainView.of(load_recipe("paper", [f"view.size={SIZE}"]).view)
    rows = np.arange(len(files))

    def stored(store: ImageStore, row: int) -> Pixels:
        pixels = store.get(digests[row])
        assert pixels is not None
        return pixels

    sources: dict[str, Callable[[int], Pixels]] = {
        "from files": lambda row: load_shrunk(files[row], digests[row], SIDE),
        **{f"from {name}": partial(stored, store) for name, store in stores.items()},
    }
    speeds: dict[str, list[float]] = {name: [] for name in sources}
    with keep_freed_memory(torch.device("cpu")):
        for turn in range(rounds + 1):
            for name, pixels_of in sources.items():
                started = time.process_time()
                view_of = train_views(pixels_of, view, 0, 0, turn)
                loader = LoaderThreads(1, prefetch=False)
                for _ in load_batches(split_batches(rows, 32), view_of, loader):
                    pass
                if turn:  # the first warms up
                    speeds[name].append(len(files) / (time.process_time() - started))
    report(speeds)
    pair = {name: speeds[name] for name in ("from jpeg", "from files", "from raw")}
    record(
        "store-as-jpeg-speed",
        ratios(pair),
        rounds,
        "rounds",
        details={"views/s of a core": speeds},
        data=data,  # type: ignore[arg-type]
    )


def compare_views(digests: list[str], stores: Stores, data: object) -> None:
    """Measure how near views of the same draws are."""
    view = TrainView.of(load_recipe("paper", [f"view.size={SIZE}"]).view)
    near = []
    for number, digest in enumerate(digests):
        one, other = (
            view(stores[name].get(digest), keyed_rng(0, "benchmark", number))  # type: ignore[arg-type]
            for name in FORMATS
        )
        error = np.mean((one.astype(np.float64) - other) ** 2)
        near.append(float(10 * np.log10(255**2 / error)))
    print(f"views: {spread(near)} dB, n = {len(near)}")
    record(
        "store-as-jpeg-views",
        near,
        len(near),
        "views",
        data=data,  # type: ignore[arg-type]
    )


def train(folder: Path, place: Path, data: object) -> None:
    """Fine-tune from either store, in a cache of its own."""
    os.environ["BESTIARY_CACHE"] = str(place / "cache")
    accuracy = {}
    for storing in FORMATS:
        run = bestiary.train(
            folder,
            place / f"run-{storing}",
            recipe="fast",
            overrides=[f"data.store_format={storing}", "optimizer.lr=1e-4", "train.epochs=3"],
            folds=2,
            quiet=True,
        )
        score = run.read_json("metrics.json")["oof"]["accuracy"]
        accuracy[storing] = (score["value"], score["low"], score["high"])
    print(accuracy)
    record(
        "store-as-jpeg-accuracy",
        accuracy,
        2,
        "folds",
        data=data,  # type: ignore[arg-type]
        note="fast with optimizer.lr=1e-4 and 3 epochs; one seed. Evaluation reads no store.",
    )


if __name__ == "__main__":
    recording(main, __file__)
