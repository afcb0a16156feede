"""Claim: near duplicates are proved, and specimens, digits and silhouettes of one outline are not.

    python benchmarks/honesty/near_duplicates.py ../shared/data [--seeds 3] [--step 4]
        [--drawn 10000]

Prints the bars of the leak guard, each with its number of images and its seconds:

- specimens: pairs named near duplicates that are, pairs of near duplicates found, and groups that
  join different labels although their images differ, by specimens/truth.csv.
- altered copies of photographs in every way of `copying` and `altering`, one copy a way: the share
  in a group with its original, and the share of pairs in one group that show one photograph, or two
  that are near duplicates in the dataset itself (reviewed_copies.csv).
- digits and silhouettes drawn for it: the share of images in a group.

--step takes every so many photographs, and --drawn is the number of digits and of silhouettes.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from bestiary.data.audit import Audit, audit_images
from bestiary.data.decode import decode, read_image
from bestiary.data.listing import list_labeled
from bestiary.data.listing_types import Listing
from bestiary.display import Display

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.altering import HARD_WAYS
from harness.copying import WAYS, encode
from harness.record import record, recording
from harness.silhouettes import draw_digits, draw_silhouette
from honesty.copies_photographs import reviewed_pairs

CLAIMS = {
    "near-duplicates-specimens": {
        "statement": "The scan finds near duplicates of museum specimens",
        "unit": "precision, recall",
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
    "near-duplicates-copies": {
        "statement": "The scan finds altered copies of photographs",
        "unit": "of the copies found",
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
    "near-duplicates-wrong": {
        "statement": "The pairs that the scan names are one photograph",
        "unit": "of the pairs right",
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
    "near-duplicates-drawn": {
        "statement": "Digits and outlines that look alike are not called near duplicates",
        "unit": "of the images in a group",
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
}


def scan(data: Path, listing: Path | None = None) -> tuple[Audit, float]:
    started = time.perf_counter()
    listed = list_labeled(listing or data)
    audit = audit_images(Listing(data, listed.table), Display(quiet=True))
    return audit, time.perf_counter() - started


def grouped_pairs(audit: Audit) -> set[frozenset[str]]:
    members: dict[str, list[str]] = {}
    rows = audit.near_duplicates.select("path", "duplicate_group").iter_rows()
    for path, group in rows:
        members.setdefault(group, []).append(path)
    return {frozenset(pair) for paths in members.values() for pair in combinations(paths, 2)}


def measure_specimens(folder: Path) -> None:
    with (folder / "truth.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    motif = {row["path"]: row["motif"] for row in rows}
    label = {row["path"]: row["label"] for row in rows}
    audit, seconds = scan(folder, folder / "truth.csv")
    named = grouped_pairs(audit)
    all_pairs = combinations(motif, 2)
    true = {frozenset(pair) for pair in all_pairs if len({*map(motif.get, pair)}) == 1}
    false = named - true
    conflicts = [pair for pair in false if len({label[path] for path in pair}) > 1]
    print(
        f"specimens: {len(motif)} images, {seconds:.1f} s; named {len(named)} pairs, "
        f"{len(named & true)} right ({len(named & true) / len(named):.3f}); found "
        f"{len(named & true)} of {len(true)} ({len(named & true) / len(true):.3f}); false "
        f"conflicts {len(conflicts)}"
    )
    shares = {
        "precision": len(named & true) / len(named),
        "recall": len(named & true) / len(true),
    }
    others = {"false conflicts": len(conflicts)}
    data = ("specimens", len(motif))
    record("near-duplicates-specimens", shares, 1, "scans", details=others, data=data)
    for pair in sorted(map(sorted, false)):
        print(f"  not by the truth: {pair}")
    for pair in sorted(map(sorted, true - named)):
        print(f"  missed: {pair}")


def write_altered(source: Path, files: list[Path], goal: Path, ways: dict, seed: int) -> int:
    rng = np.random.default_rng(seed)
    count = 0
    for number, file in enumerate(files):
        pixels = decode(read_image(file))
        folder = goal / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:05d}"
        (folder / f"{name}-original.jpg").write_bytes(encode(pixels, 95))
        for index, way in enumerate(ways.values()):
            (folder / f"{name}-{index}.jpg").write_bytes(way(pixels, rng))
        count += 1 + len(ways)
    return count


def some_photographs(source: Path, step: int, seed: int) -> list[Path]:
    """Every so many of them; other seeds take others."""
    return sorted(source.rglob("*.jpg"))[seed % step :: step]


def measure_altered(
    title: str, source: Path, step: int, seed: int, ways: dict
) -> tuple[dict[str, float], float]:
    """Recall of each way, and the precision of all pairs."""
    files = some_photographs(source, step, seed)
    near = reviewed_pairs()
    names = [str(file.relative_to(source).with_suffix("")) for file in files]
    with tempfile.TemporaryDirectory() as place:
        os.environ["BESTIARY_CACHE"] = f"{place}/cache"
        count = write_altered(source, files, Path(place) / "data", ways, seed)
        audit, seconds = scan(Path(place) / "data")
    group = dict(audit.near_duplicates.select("path", "duplicate_group").iter_rows())

    recalled = {}
    for index, way in enumerate(ways):
        hits = []
        for number, file in enumerate(files):
            stem = f"{file.parent.name}/{number:05d}"
            own = group.get(f"{stem}-original.jpg")
            hits.append(own is not None and own == group.get(f"{stem}-{index}.jpg"))
        recalled[way] = float(np.mean(hits))

    pairs = grouped_pairs(audit)
    wrong: dict[tuple[str, ...], int] = {}
    for pair in pairs:
        numbers = sorted({int(Path(path).name.partition("-")[0]) for path in pair})
        if len(numbers) == 2 and frozenset(names[number] for number in numbers) not in near:
            ends = tuple(names[number] for number in numbers)
            wrong[ends] = wrong.get(ends, 0) + 1
    n_wrong = sum(wrong.values())
    print(
        f"{title}, seed {seed}: {len(files)} photographs, {count} images, {seconds:.0f} s "
        f"({count / seconds:.0f} images/s); recall {np.mean(list(recalled.values())):.4f}, "
        f"precision {1 - n_wrong / max(1, len(pairs)):.4f} ({n_wrong} of {len(pairs)} pairs)",
        flush=True,
    )
    print("  " + ", ".join(f"{way} {share:.3f}" for way, share in recalled.items()))
    for ends, number in sorted(wrong.items()):
        print(f"  two photographs: {' and '.join(ends)} ({number} pairs)", flush=True)
    return recalled, 1 - n_wrong / max(1, len(pairs))


def measure_drawn(kind: str, count: int, seed: int) -> float:
    """Share of the images that are in a group."""
    rng = np.random.default_rng(seed)
    if kind == "digits":
        drawn = draw_digits(count, rng)
    else:
        drawn = [(number % 10, draw_silhouette(rng)) for number in range(count)]
    with tempfile.TemporaryDirectory() as place:
        os.environ["BESTIARY_CACHE"] = f"{place}/cache"
        for number, (label, pixels) in enumerate(drawn):
            folder = Path(place) / "data" / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{number:05d}.png"), pixels)
        audit, seconds = scan(Path(place) / "data")
    grouped = audit.near_duplicates.height
    print(
        f"{kind}, seed {seed}: {count} images, {seconds:.0f} s ({count / seconds:.0f} images/s); "
        f"in a group {grouped} ({grouped / count:.4f})",
        flush=True,
    )
    return grouped / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--step", type=int, default=4)
    parser.add_argument("--drawn", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["BESTIARY_CACHE"] = f"{place}/cache"
        measure_specimens(args.shared / "specimens")
    seeds = range(args.seeds)
    for name in ("caltech-creatures", "flowers17"):
        source = args.shared / name
        used = {file for seed in seeds for file in some_photographs(source, args.step, seed)}
        for title, ways in (("copies", WAYS), ("harder copies", HARD_WAYS)):
            case = f"{name}, {title}"
            of = [measure_altered(case, source, args.step, seed, ways) for seed in seeds]
            recalls = {way: [recalled[way] for recalled, _ in of] for way in ways}
            shared = {"case": case, "data": (source, len(used))}
            record("near-duplicates-copies", recalls, args.seeds, "seeds", **shared)
            precisions = [precision for _, precision in of]
            record("near-duplicates-wrong", precisions, args.seeds, "seeds", **shared)
    for kind in ("digits", "silhouettes"):
        shares = [measure_drawn(kind, args.drawn, seed) for seed in seeds]
        data = (kind, args.drawn)
        record("near-duplicates-drawn", shares, args.seeds, "seeds", case=kind, data=data)


if __name__ == "__main__":
    recording(main, __file__)
