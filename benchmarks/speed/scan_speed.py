"""Claim: a scan processes >= 150 images/s of 500x375 on two cores; a second scan is nearly free.

    python benchmarks/speed/scan_speed.py FOLDER_OF_CLASS_FOLDERS [REPEATS]

Enlarges the folder's photographs to 500x375 (JPEG, quality 90), one in five with a copy, and scans
them with an empty cache, then again. Prints images a second of every repeat; the first scan
includes the comparison of near duplicates.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from bestiary.data.audit import audit_images
from bestiary.data.decode import decode, read_image
from bestiary.data.listing import list_labeled
from bestiary.display import Display

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.copying import WAYS, encode
from harness.record import record, recording

CLAIMS = {
    "scan-speed": {
        "statement": "A scan of 500 x 375 pixels is fast on two cores",
        "unit": "images/s",
        "bar": ("least", 150, "ten thousand images in about a minute"),
        "watches": (
            "src/bestiary/data/audit.py",
            "src/bestiary/data/near_duplicates/*.py",
            "src/bestiary/data/decode.py",
        ),
    },
}
COMMANDS = ("{data}",)


def enlarge(source: Path, goal: Path) -> int:
    rng = np.random.default_rng(0)
    ways = list(WAYS.values())
    count = 0
    for number, file in enumerate(sorted(source.glob("*/*"))):
        pixels = cv2.resize(decode(read_image(file)), (500, 375), interpolation=cv2.INTER_CUBIC)
        place = goal / file.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{file.stem}.jpg").write_bytes(encode(pixels, 90))
        count += 1
        if number % 5 == 0:
            (place / f"{file.stem}-copy.jpg").write_bytes(
                ways[number // 5 % len(ways)](pixels, rng)
            )
            count += 1
    return count


def scan(data: Path) -> float:
    started = time.perf_counter()
    audit_images(list_labeled(data), Display(quiet=True))
    return time.perf_counter() - started


def main() -> None:
    source = Path(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        count = enlarge(source, data)
        print(f"{count} images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
        firsts, seconds = [], []
        for repeat in range(repeats):
            os.environ["BESTIARY_CACHE"] = f"{place}/cache-{repeat}"
            first = scan(data)
            second = scan(data)
            print(
                f"first scan {count / first:.0f} images/s, second {count / second:.0f}/s "
                f"({first / second:.0f} times)"
            )
            firsts.append(count / first)
            seconds.append(count / second)
    details = {"images/s, again and unchanged": seconds}
    record("scan-speed", firsts, repeats, "scans", details=details, data=source)


if __name__ == "__main__":
    recording(main, __file__)
