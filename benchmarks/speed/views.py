"""Claim: one core makes training views several times as fast as torchvision v2.

JPEGs of 500 x 375 become batches of 32 views at 224 pixels, as bytes: mirror, rotation by up to 15
degrees, random resized crop. One thread each, in turns: (a) Pillow and torchvision v2; bestiary's
loader (b) from the JPEG and (c) from its store of decoded images. Bars: (b) at least 2.8 times (a),
(c) at least 7 times. Seconds are those of the CPU. malloc keeps what is freed for all three, as in
bestiary's training (`bestiary.training.malloc`); --usual-malloc leaves that out.

--limits times decoding alone in the same turns: the whole image, and at 1/8 of the side, which is
reading the Huffman codes and hardly more. So it says how many times as fast as (a) views could be
that cost nothing but their decoding; and how many, if libjpeg-turbo decoded the part alone that a
view shows (`tj3SetCroppingRegion`): the codes above the part's lower edge, and its own pixels. It
counts the views that a JPEG decoded at 1/2 of its side would be enough for.

--crop-first lets (a) crop before it rotates: less work, and another view. --normalize adds
normalized floats, in (a) image by image as torchvision's presets do, in (b) and (c) by the batch as
training does.

    python benchmarks/speed/views.py [DATA] [--images 256] [--rounds 7] [--size 224]
                                     [--crop-first] [--normalize] [--usual-malloc] [--limits]
"""

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torchvision.transforms import v2

from bestiary.data.decode import Pixels
from bestiary.data.loader import LoaderThreads, load_batches, split_batches, train_views
from bestiary.data.store import ImageStore, load_shrunk
from bestiary.data.views import TrainView, affine_map
from bestiary.model.classifier import build_classifier
from bestiary.recipe.load import load_recipe
from bestiary.rng import keyed_rng
from bestiary.training.malloc import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, ratios, report
from harness.record import record, recording
from harness.workload import HEIGHT, WIDTH, lay_out

CLAIMS = {
    "views-from-jpeg": {
        "statement": (
            "One thread makes training views from JPEGs several times as fast as torchvision v2"
        ),
        "unit": "times as fast",
        "bar": ("least", 2.8, "decoding by libjpeg-turbo is half of the time"),
        "watches": ("@views",),
    },
    "views-from-store": {
        "statement": (
            "One thread makes training views from the store several times as fast as torchvision v2"
        ),
        "unit": "times as fast",
        "bar": ("least", 7.0, "decoded images need no decoding"),
        "watches": ("@views",),
    },
    "views-other-ways": {
        "statement": "Views with normalized floats, in another order, or with the usual malloc",
        "unit": "times as fast",
        "watches": (
            "src/bestiary/data/views.py",
            "src/bestiary/data/decode.py",
        ),
    },
}
COMMANDS = (
    "{data} --limits",
    "{data} --normalize",
)


BATCH = 32
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def reference(size: int, crop_first: bool, normalize: bool) -> v2.Compose:
    flip = v2.RandomHorizontalFlip()
    turn = v2.RandomRotation(15)
    crop = v2.RandomResizedCrop(size, antialias=True)
    geometry = [crop, flip, turn] if crop_first else [flip, turn, crop]
    ending = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)] if normalize else []
    return v2.Compose([*geometry, v2.ToImage(), *ending])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, nargs="?", help="labeled photographs; without them beasts are drawn"
    )
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--crop-first", action="store_true")
    parser.add_argument("--normalize", action="store_true")
    parser.add_argument("--usual-malloc", action="store_true")
    parser.add_argument("--limits", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    with ExitStack() as scope:
        place = Path(scope.enter_context(tempfile.TemporaryDirectory()))
        lay_out(args.data, place / "data", args.images)
        files = sorted(place.glob("data/train/*/*"))
        kind = "normalized floats" if args.normalize else "bytes"
        order = "crop, mirror, turn" if args.crop_first else "mirror, turn, crop"
        print(
            f"{len(files)} JPEGs of {WIDTH} x {HEIGHT}, views of {args.size} as {kind}, one "
            f"thread; (a) {order}"
        )
        if not args.usual_malloc:
            scope.enter_context(keep_freed_memory(torch.device("cpu")))
        ways = contenders(files, place, args.size, args.crop_first, args.normalize)
        if args.limits:
            ways |= decoders(files)
        speeds = in_turns(ways, args.rounds, len(files))
    limits = print_limits(speeds, args.size) if args.limits else {}
    first, *others = speeds
    for name in (name for name in others if name.startswith("bestiary")):
        pair = {name: speeds[name], first: speeds[first]}
        report(pair)
        kind = "store" if "store" in name else "JPEG"
        case = ", ".join(
            text
            for text, holds in (
                ("both to normalized floats", args.normalize),
                ("torchvision crops first", args.crop_first),
                ("with the usual malloc", args.usual_malloc),
            )
            if holds
        )
        data = args.data or ("drawn beasts", args.images)
        rounds = ratios(pair)[first]
        claim = f"views-from-{kind.lower()}"
        if case:
            claim, case = "views-other-ways", f"from {kind}, {case}"
        details = {"images/s": pair} | (limits if kind == "JPEG" else {})
        record(claim, rounds, args.rounds, "rounds", case=case, details=details, data=data)


def in_turns(
    ways: dict[str, Callable[[int], None]], rounds: int, images: int
) -> dict[str, list[float]]:
    """Images a second of a core, in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, make in ways.items():
            started = time.process_time()
            make(turn)
            if turn:  # the first warms up
                speeds[name].append(images / (time.process_time() - started))
    return speeds


def decoders(files: list[Path]) -> dict[str, Callable[[int], None]]:
    """Name -> function that decodes every file, and makes no view of it."""

    def decoder(**options: int) -> Callable[[int], None]:
        def decode(_: int) -> None:
            for content in contents:
                simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False, **options)

        return decode

    contents = [file.read_bytes() for file in files]
    eighth = {"min_height": HEIGHT // 8, "min_width": WIDTH // 8, "min_factor": 1}
    return {"decoding alone": decoder(), "codes alone": decoder(**eighth)}


def print_limits(speeds: dict[str, list[float]], size: int) -> dict[str, dict[str, float]]:
    """Print how fast views can be that are decoded by libjpeg-turbo; return it to be recorded."""
    taken = {name: 1000 / statistics.median(values) for name, values in speeds.items()}
    whole = taken["decoding alone"]
    codes = taken["codes alone"]
    ours = taken["bestiary, from JPEG"]
    above, inside, halved = shown_parts(size)
    part = codes * above + (whole - codes) * inside
    theirs = taken["torchvision v2"]
    times = {
        "if views cost their decoding alone": theirs / whole,
        "if only the part that is shown were decoded": theirs / (ours - whole + part),
    }
    milliseconds = {
        "whole view": ours,
        "decoding": whole,
        "Huffman codes": codes,
        "the part that is shown": part,
        "torchvision v2": theirs,
    }
    print("ms an image: " + ", ".join(f"{name} {ms:.3f}" for name, ms in milliseconds.items()))
    print(f"decoding is {whole / ours:.2f} of a view; views show {inside:.2f} of the pixels")
    print(f"views that half of the side is enough for: {halved:.2f}")
    for name, value in times.items():
        print(f"times as fast as torchvision v2 {name}: {value:.2f}")
    return {"times as fast, limit": times, "ms of a core an image": milliseconds}


def shown_parts(size: int) -> tuple[float, float, float]:
    """Average over views: the share of rows above their lower edge, and of pixels in their box.

    The third number is the share of views with two pixels or more for each of their own.
    """
    view = TrainView.of(load_recipe("paper", [f"view.size={size}"]).view)
    above = []
    inside = []
    halved = []
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]])
    for number in range(2000):
        geometry = view.draw(HEIGHT, WIDTH, keyed_rng(0, "benchmark", number))
        box = corners @ affine_map(geometry, HEIGHT, WIDTH, size).T
        left, top = np.clip(box.min(axis=0), 0, (WIDTH, HEIGHT))
        right, bottom = np.clip(box.max(axis=0), 0, (WIDTH, HEIGHT))
        above.append(bottom / HEIGHT)
        inside.append((right - left) * (bottom - top) / (WIDTH * HEIGHT))
        halved.append(min(geometry.height, geometry.width) >= 2 * size)
    return float(np.mean(above)), float(np.mean(inside)), float(np.mean(halved))


def contenders(
    files: list[Path], place: Path, size: int, crop_first: bool, normalize: bool
) -> dict[str, Callable[[int], None]]:
    """Name -> function that makes the views of one epoch."""
    recipe = load_recipe("paper", [f"view.size={size}"])
    side = round(1.5 * size)
    view = TrainView.of(recipe.view)
    store = ImageStore(place / "store", side)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    store.fill(list(zip(digests, files, strict=True)), [(HEIGHT, WIDTH)] * len(files), 1 << 40)
    prepare = build_classifier("torchvision/resnet18", 2, "none").preprocess
    rows = torch.arange(len(files)).numpy()

    def from_store(row: int) -> Pixels:
        pixels = store.get(digests[row])
        assert pixels is not None
        return pixels

    def ours(pixels_of: Callable[[int], Pixels]) -> Callable[[int], None]:
        def epoch(number: int) -> None:
            view_of = train_views(pixels_of, view, 0, 0, number)
            for batch in load_batches(
                split_batches(rows, BATCH), view_of, LoaderThreads(1, prefetch=False)
            ):
                if normalize:
                    prepare(batch.views)

        return epoch

    transform = reference(size, crop_first, normalize)

    def theirs(number: int) -> None:
        torch.manual_seed(number)
        for batch in split_batches(rows, BATCH):
            torch.stack([transform(Image.open(files[row]).convert("RGB")) for row in batch])

    return {
        "torchvision v2": theirs,
        "bestiary, from JPEG": ours(lambda row: load_shrunk(files[row], digests[row], side)),
        "bestiary, from store": ours(from_store),
    }


if __name__ == "__main__":
    recording(main, __file__)
