"""Claim: damaged images, tables, recipes and run files never crash, hang or exhaust bestiary.

Damages whole files at random (seeded). Each image must be decoded or rejected with a reason within
two seconds. Each table, recipe and run file must be read or rejected with an error of bestiary.
Works in forked children, so that a crash of a decoder is counted; peak memory is printed.

    python benchmarks/reliability/fuzz.py [--images 20000] [--files 2000] [--seed 0]
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bestiary.data.decode import decode
from bestiary.data.image_limits import MAX_PIXELS
from bestiary.errors import BestiaryError, ImageError

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.faulting import Workspace, forked
from harness.mutating import mutate_image, mutate_text, seed_images
from harness.reading import READERS, make_run
from harness.record import record, recording

CLAIMS = {
    "fuzz-images": {
        "statement": "Damaged images are decoded or named, and nothing else happens",
        "unit": "crashes and wrong endings",
        "bar": ("most", 0, "files of strangers"),
        "watches": (
            "src/bestiary/data/decode.py",
            "src/bestiary/data/image_limits.py",
            "src/bestiary/data/pillow_files.py",
        ),
    },
    "fuzz-files": {
        "statement": "Damaged tables, recipes and run files are taken or refused with one line",
        "unit": "crashes and wrong endings",
        "bar": ("most", 0, "files of strangers"),
        "watches": (
            "src/bestiary/run/*.py",
            "src/bestiary/recipe/*.py",
            "src/bestiary/tables.py",
        ),
    },
}
COMMANDS = ("OMP_NUM_THREADS=1",)


CHUNK = 250
SLOW = 2.0  # seconds of computing: other programs may take the cores


def fuzz_images(seed: int, start: int, count: int) -> tuple[Counter[str], float, int, list[str]]:
    """Decode damaged images.

    Returns:
        Outcomes, the slowest image in seconds of computing, peak memory in bytes, and failures.
    """
    originals = seed_images(np.random.default_rng(0))
    outcomes = Counter[str]()
    slowest = 0.0
    failures = []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number])
        name, content = originals[int(rng.integers(len(originals)))]
        damaged = mutate_image(content, rng)
        started = time.process_time()
        try:
            pixels = decode(damaged, min_side=64 * int(rng.integers(2)))
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
            outcomes["decoded"] += 1
        except ImageError:
            outcomes["named"] += 1
        except Exception:
            failures.append(f"{number} {name}: {traceback.format_exc()[-300:]}")
        seconds = time.process_time() - started
        slowest = max(slowest, seconds)
        if seconds > SLOW:
            failures.append(f"{number} {name}: took {seconds:.1f} s")
    return outcomes, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, failures


def fuzz_files(
    run: Path, seed: int, start: int, count: int
) -> tuple[Counter[str], float, int, list[str]]:
    """Read damaged files with `READERS`; returns as `fuzz_images`."""
    outcomes = Counter[str]()
    slowest = 0.0
    failures = []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number, 1])
        name, read = READERS[number % len(READERS)]
        file = run / name
        original = file.read_bytes()
        started = time.process_time()
        try:
            file.write_bytes(mutate_text(original, rng))
            read(run)
            outcomes["taken"] += 1
        except BestiaryError as error:
            outcomes["refused"] += 1
            if "\n" in str(error):
                outcomes["several lines"] += 1
        except BaseException:
            failures.append(f"{number} {name}: {traceback.format_exc()[-400:]}")
        finally:
            file.write_bytes(original)
        slowest = max(slowest, time.process_time() - started)
    return outcomes, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, failures


def tally(claim: str, what: str, count: int, work: Callable[[int, int], Any]) -> bool:
    """Run the work in chunks and print the outcomes; returns whether anything failed."""
    outcomes = Counter[str]()
    slowest = 0.0
    peak = 0
    failures = []
    for start in range(0, count, CHUNK):
        done = forked(lambda start=start: work(start, min(CHUNK, count - start)))
        if isinstance(done, str):
            failures.append(f"{start} to {start + CHUNK}: {done}")
            continue
        outcomes += Counter(done[0])
        slowest = max(slowest, done[1])
        peak = max(peak, done[2])
        failures = failures + done[3]
    for line in failures:
        print(line)
    print(f"{count:,} {what}: {dict(outcomes)}, wrong {len(failures)}", flush=True)
    print(f"slowest {slowest:.2f} s of computing, peak memory {peak / 1e9:.2f} GB", flush=True)
    details = {
        "files": dict(outcomes),
        "s of computing, the slowest": slowest,
        "GB at most": peak / 1e9,
    }
    record(claim, len(failures), count, "files", details=details)
    return bool(failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"bound: {MAX_PIXELS:,} pixels")
    failed = tally(
        "fuzz-images",
        "damaged images",
        args.images,
        lambda start, n: fuzz_images(args.seed, start, n),
    )
    with tempfile.TemporaryDirectory() as scratch:
        place = Workspace(Path(scratch))
        run = place.folder / "fuzzed"
        # In a child: the threads of polars do not survive a fork.
        forked(lambda: str(make_run(place)))
        failed |= tally(
            "fuzz-files",
            "damaged tables, recipes and run files",
            args.files,
            lambda s, n: fuzz_files(run, args.seed, s, n),
        )
        shutil.rmtree(run)
    raise SystemExit(failed)


if __name__ == "__main__":
    recording(main, __file__)
