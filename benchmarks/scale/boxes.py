"""Claims: boxes cost at most 1.3 of what images cost a sample, and a JSON of 500 MB little memory.

    python benchmarks/scale/boxes.py [--images 30000] [--boxes 100000] [--megabytes 500]

With 0 images or 0 megabytes, that half is left out.

Writes noisy JPEGs of 320 x 240 and a file of boxes in MegaDetector's format, and times listing,
reading, folds and store of the images as wholes and of the boxes, in a cache of its own. Then
writes files of a tenth of the megabytes and of all of them, nine boxes in ten below the confidence,
and prints seconds and peak memory of reading each in a process of its own. All of a file is read,
once.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "boxes-cost": {
        "statement": "A box costs little more than an image",
        "unit": "of the time of a whole image",
        "bar": ("most", 1.3, "boxes are cut from images that are read once"),
        "watches": (
            "src/bestiary/data/detections/*.py",
            "src/bestiary/data/box_columns.py",
            "src/bestiary/data/listing_boxes.py",
            "src/bestiary/data/crops.py",
        ),
    },
    "boxes-json-memory": {
        "statement": "Reading a file of boxes takes memory for its rows, not for its bytes",
        "unit": "MB",
        "watches": ("src/bestiary/data/detections/*.py",),
    },
}
COMMANDS = ("--images 0", "--megabytes 0")


HEIGHT, WIDTH = 240, 320
CLASSES = 10
BOXES_AN_IMAGE = 10  # in the large file
MEGABYTES = 500  # of the large file, as the claim has it


def write_images(folder: Path, n: int) -> list[str]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT * 2, WIDTH * 2, 3), dtype=np.uint8)
    soft = noise.reshape(HEIGHT // 8, 16, WIDTH // 8, 16, 3).mean((1, 3)).astype(np.uint8)
    paths = []
    for index in range(n):
        path = f"class-{index % CLASSES}/{index:06d}.jpg"
        shown = np.roll(soft, (index % 30, index // 30 % 40, index // 1200), (0, 1, 2))
        pixels = np.ascontiguousarray(shown.repeat(8, 0).repeat(8, 1))
        pixels[0, :3] = np.frombuffer(index.to_bytes(9, "little"), np.uint8).reshape(3, 3)
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(simplejpeg.encode_jpeg(pixels, 90))
        paths.append(path)
    return paths


def box(rng: np.random.Generator) -> list[float]:
    x, y = rng.uniform(0, 0.6, 2)
    width, height = rng.uniform(0.1, 0.4, 2)
    return [round(float(value), 4) for value in (x, y, width, height)]


def write_json(file: Path, images: Iterator[dict[str, object]], limit: int | None = None) -> None:
    with file.open("w") as stream:
        stream.write('{"images": [')
        for index, image in enumerate(images):
            stream.write(",\n" * bool(index) + json.dumps(image))
            if limit is not None and stream.tell() >= limit:
                break
        stream.write(
            '], "detection_categories": {"1": "animal"}, "info": {"format_version": "1.5"}}'
        )


def detected(paths: list[str], n: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(1)
    counts = np.full(len(paths), n // len(paths))
    counts[: n - counts.sum()] += 1
    for path, count in zip(paths, counts, strict=True):
        found = [{"category": "1", "conf": 0.9, "bbox": box(rng)} for _ in range(count)]
        yield {"file": path, "detections": found}


def endless() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(2)
    found = [
        {"category": "1", "conf": 0.9 if n == 0 else 0.05, "bbox": box(rng)} for n in range(10)
    ]
    index = 0
    while True:
        yield {"file": f"site-{index % 50:02d}/IMG_{index:07d}.JPG", "detections": found}
        index += 1


def timed(data: Path, boxes: str) -> dict[str, float]:
    """Seconds of each step, and the number of samples."""
    from bestiary.data.folds import assign_folds, leak_groups
    from bestiary.data.listing import list_labeled
    from bestiary.data.manifest import read_manifest
    from bestiary.data.store import ImageStore, default_folder
    from bestiary.recipe.sections import DataOptions

    seconds = {}
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        seconds[name] = time.perf_counter() - started
        started = time.perf_counter()

    listing = list_labeled(data, DataOptions(boxes=boxes))
    lap("listing")
    table = read_manifest(listing).table
    lap("reading")
    assign_folds(table["path"], table["label"], leak_groups(table), 5, 0)
    lap("folds")
    store = ImageStore(default_folder(), 96)
    images = [
        (digest, listing.root / path) for digest, path in table.select("sha256", "path").iter_rows()
    ]
    reason = store.fill(images, table.select("height", "width").rows(), 1 << 40)
    assert reason is None, reason
    lap("store")
    return seconds | {"samples": table.height}


def in_process(*arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            env=os.environ | {"BESTIARY_CACHE": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def read_large(file: Path) -> dict[str, float]:
    from bestiary.data.detections.read import read_detections

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    found = read_detections(file, 0.2)
    return {
        "seconds": time.perf_counter() - started,
        "mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "images": found.images.height,
        "boxes": found.boxes.height,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--boxes", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.megabytes:
            measure_json(Path(name), options.megabytes)
        if options.images:
            measure_boxes(Path(name), options.images, options.boxes)


def measure_json(folder: Path, most: int) -> None:
    """Read files of a tenth of `most` megabytes and of all of them."""
    memory, seconds, boxes = {}, {}, {}
    for megabytes in (most // 10, most):
        file = folder / "large.json"
        write_json(file, endless(), megabytes * 1_000_000)
        result = in_process("large", str(file))
        name = f"JSON of {megabytes} MB"
        memory[name], seconds[name], boxes[name] = (
            result[key] for key in ("mb", "seconds", "boxes")
        )
        print(f"{name}: {result}", flush=True)
        file.unlink()
    record(
        "boxes-json-memory",
        memory,
        1,
        "files",
        case="" if most == MEGABYTES else f"up to {most} MB",
        details={"s": seconds, "boxes kept": boxes},
        data="a file in MegaDetector's format",
    )


def measure_boxes(folder: Path, n_images: int, n_boxes: int) -> None:
    """Time each step with whole images and with boxes."""
    data = folder / "data"
    paths = write_images(data, n_images)
    write_json(folder / "found.json", detected(paths, n_boxes))
    whole = in_process("timed", str(data), "")
    boxes = in_process("timed", str(data), str(folder / "found.json"))
    cost = {}
    for kind, result in (("whole images", whole), ("boxes", boxes)):
        n = result.pop("samples")
        cost[kind] = {step: 1000 * value / n for step, value in result.items()}
        parts = ", ".join(f"{step} {value:.4f}" for step, value in cost[kind].items())
        print(f"{n:,.0f} {kind}: {sum(cost[kind].values()):.3f} ms each ({parts})")
    total = {kind: sum(steps.values()) for kind, steps in cost.items()}
    ratios = {step: cost["boxes"][step] / cost["whole images"][step] for step in whole}
    record(
        "boxes-cost",
        total["boxes"] / total["whole images"],
        1,
        "runs",
        case=f"{n_images:,} images, {n_boxes:,} boxes",
        details={"ms a sample": total, "of the time of a whole image, by step": ratios},
        data=("noisy JPEGs of 320 x 240", n_images),
    )
    print(f"ratio {total['boxes'] / total['whole images']:.2f}, bar 1.3; by step {ratios}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["timed"]:
        print(json.dumps(timed(Path(sys.argv[2]), sys.argv[3])))
    elif sys.argv[1:2] == ["large"]:
        print(json.dumps(read_large(Path(sys.argv[2]))))
    else:
        recording(main, __file__)
