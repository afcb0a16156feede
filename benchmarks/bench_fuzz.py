"""Claim: no image, table, recipe or run file, however damaged, crashes bestiary, hangs it or fills
the memory.

Damages whole files at random (seeded). Images go through the decoder: each must come out as pixels
or be named with a reason, in at most two seconds. Tables, recipes and run files go through what
reads them: each must be taken or refused by an error of bestiary's own. Works in forked children,
so that a crash of a decoder is seen and counted.

    python benchmarks/bench_fuzz.py [--images 20000] [--files 2000] [--seed 0]
"""

import argparse
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bestiary.data.decode import MAX_PIXELS, decode
from bestiary.errors import BestiaryError, ImageError
from faulting import Place, forked
from mutating import mutate_image, mutate_text, seed_images
from reading import READERS, make_run

CHUNK = 250
SLOW = 2.0  # seconds


def fuzz_images(seed: int, start: int, count: int) -> tuple[Counter[str], float, int, list[str]]:
    """Outcomes, the slowest in seconds, peak memory in bytes, and what was wrong."""
    wholes = seed_images(np.random.default_rng(0))
    outcomes, slowest, wrong = Counter[str](), 0.0, []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number])
        name, content = wholes[int(rng.integers(len(wholes)))]
        damaged = mutate_image(content, rng)
        began = time.perf_counter()
        try:
            pixels = decode(damaged, min_side=64 * int(rng.integers(2)))
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
            outcomes["decoded"] += 1
        except ImageError:
            outcomes["named"] += 1
        except Exception:
            wrong.append(f"{number} {name}: {traceback.format_exc()[-300:]}")
        took = time.perf_counter() - began
        slowest = max(slowest, took)
        if took > SLOW:
            wrong.append(f"{number} {name}: took {took:.1f} s")
    return outcomes, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, wrong


def fuzz_files(
    run: Path, seed: int, start: int, count: int
) -> tuple[Counter[str], float, int, list[str]]:
    """The same for the files that `READERS` read."""
    outcomes, slowest, wrong = Counter[str](), 0.0, []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number, 1])
        name, read = READERS[number % len(READERS)]
        file = run / name
        whole = file.read_bytes()
        began = time.perf_counter()
        try:
            file.write_bytes(mutate_text(whole, rng))
            read(run)
            outcomes["taken"] += 1
        except BestiaryError as error:
            outcomes["refused"] += 1
            if "\n" in str(error):
                outcomes["several lines"] += 1
        except BaseException:
            wrong.append(f"{number} {name}: {traceback.format_exc()[-400:]}")
        finally:
            file.write_bytes(whole)
        slowest = max(slowest, time.perf_counter() - began)
    return outcomes, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, wrong


def tally(what: str, count: int, work: Callable[[int, int], Any]) -> bool:
    """Do the work in chunks, print what came of it; whether anything was wrong."""
    outcomes, slowest, peak, wrong = Counter[str](), 0.0, 0, []
    for start in range(0, count, CHUNK):
        done = forked(lambda start=start: work(start, min(CHUNK, count - start)))
        if isinstance(done, str):
            wrong.append(f"{start} to {start + CHUNK}: {done}")
            continue
        outcomes += Counter(done[0])
        slowest, peak, wrong = max(slowest, done[1]), max(peak, done[2]), wrong + done[3]
    for line in wrong:
        print(line)
    print(f"{count:,} {what}: {dict(outcomes)}, wrong {len(wrong)}", flush=True)
    print(f"slowest {slowest:.2f} s, peak memory {peak / 1e9:.2f} GB", flush=True)
    return bool(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"bound: {MAX_PIXELS:,} pixels")
    bad = tally("damaged images", asked.images, lambda start, n: fuzz_images(asked.seed, start, n))
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch))
        run = place.folder / "fuzzed"
        forked(
            lambda: str(make_run(place))
        )  # in a child: the table library's threads do not survive a fork
        bad |= tally(
            "damaged tables, recipes and run files",
            asked.files,
            lambda s, n: fuzz_files(run, asked.seed, s, n),
        )
        shutil.rmtree(run)
    raise SystemExit(bad)


if __name__ == "__main__":
    main()
