"""Claim: one core makes training views several times as fast as torchvision v2.

JPEGs of 500 x 375 become batches of 32 views at 224 pixels, as bytes: mirror, rotation by up to 15
degrees, random resized crop. One thread each, in turns: (a) Pillow and torchvision v2; bestiary's
loader (b) from the JPEG and (c) from its store of decoded images. Bars: (b) at least 2.8 times (a),
(c) at least 7 times. Seconds are those of the CPU. malloc keeps what is freed for all three, as in
bestiary's training (`bestiary.training.malloc`); --usual-malloc leaves that out. --limits prints
what decoding alone takes, and what of it no crop and no scale saves.

--crop-first lets (a) crop before it rotates: less work, and another view. --normalize adds
normalized floats, in (a) image by image as torchvision's presets do, in (b) and (c) by the batch as
training does.

    python benchmarks/speed/views.py [DATA] [--images 256] [--rounds 7] [--size 224]
                                     [--crop-first] [--normalize] [--usual-malloc] [--limits]
"""

import argparse
import hashlib
import math
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import simplejpeg
import torch
from PIL import Image
from torchvision.transforms import v2

from bestiary.data.decode import Pixels
from bestiary.data.loader import LoaderThreads, load_batches, split_batches, train_views
from bestiary.data.store import ImageStore, load_shrunk
from bestiary.data.views import TrainView
from bestiary.model.classifier import build_classifier
from bestiary.recipe.load import load_recipe
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
        if args.limits:
            print_limits(files)
        ways = contenders(files, place, args.size, args.crop_first, args.normalize)
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.rounds + 1):
            for name, make in ways.items():
                started = time.process_time()
                make(turn)
                if turn:  # the first warms up
                    speeds[name].append(len(files) / (time.process_time() - started))
    first, *others = speeds
    for name in others:
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
        record(
            claim, rounds, args.rounds, "rounds", case=case, details={"images/s": pair}, data=data
        )


def print_limits(files: list[Path]) -> None:
    """Print milliseconds of decoding alone, and at 1/8 of the side: mostly Huffman codes."""
    contents = [file.read_bytes() for file in files]
    for name, options in (("whole", {}), ("1/8 of the side", {"min_height": 46, "min_width": 62})):
        fastest = math.inf
        for _ in range(7):
            started = time.process_time()
            for content in contents:
                simplejpeg.decode_jpeg(content, "RGB", min_factor=1, **options)
            fastest = min(fastest, time.process_time() - started)
        print(f"decoding alone, {name}: {1000 * fastest / len(files):.3f} ms")


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
