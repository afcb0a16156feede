"""Claim: of copies of real photographs the scan groups ≥ 95 % with their originals, at a precision
of ≥ 98 %.

Run: python benchmarks/bench_copies_photographs.py FOLDER_OF_CLASS_FOLDERS [SEEDS]

Every photograph gets one copy in each way of `copying.WAYS`. Recall: copies that end up in a group
with their original. Precision: of all pairs of images that share a group, those that stem from one
photograph, or from two photographs that are copies in the data set itself; these were looked at one
by one (reviewed_copies.csv, for the part of Caltech-101 named in the README). The constants of the
audit were set on every second class, from the first; the figures of the other classes stand apart.
"""

import csv
import os
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from bestiary.data.audit import audit_images
from bestiary.data.decode import decode, read_image
from bestiary.data.listing import Listing, list_labeled, list_test
from bestiary.display import Display
from copying import WAYS, encode

REVIEWED = Path(__file__).with_name("reviewed_copies.csv")


def copy_all(source: Path, goal: Path, seed: int) -> None:
    """Write original and copies side by side, named after the original and the number of the
    way.
    """
    rng = np.random.default_rng(seed)
    for file in sorted(source.glob("*/*")):
        pixels = decode(read_image(file))
        folder = goal / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.stem}-original.jpg").write_bytes(encode(pixels, 95))
        for number, way in enumerate(WAYS.values()):
            (folder / f"{file.stem}-{number}.jpg").write_bytes(way(pixels, rng))


def origin(path: str) -> str:
    return path.rpartition("-")[0]


def find_groups(folder: Path) -> dict[str, str]:
    listing = list_labeled(folder)
    audit = audit_images(Listing(folder, listing.table), list_test(folder), Display(quiet=True))
    return dict(audit.copies.select("path", "duplicate_group").iter_rows())


def reviewed_pairs() -> set[frozenset[str]]:
    """Pairs of photographs of the data set that a person has found to be copies, without their
    suffixes.
    """
    groups: dict[str, list[str]] = {}
    with REVIEWED.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["group"], []).append(str(Path(row["path"]).with_suffix("")))
    return {frozenset(pair) for names in groups.values() for pair in combinations(names, 2)}


def count_pairs(
    groups: dict[str, str], known: set[frozenset[str]], names: set[str]
) -> tuple[int, int, set[frozenset[str]]]:
    """Pairs that share a group and have an end in `names` (classes): right ones, wrong ones, and
    the wrong origins.
    """
    members: dict[str, list[str]] = {}
    for path, group in groups.items():
        members.setdefault(group, []).append(path)
    right, wrong, odd = 0, 0, set()
    for paths in members.values():
        for a, b in combinations(paths, 2):
            if a.split("/")[0] not in names and b.split("/")[0] not in names:
                continue
            pair = frozenset((origin(a), origin(b)))
            if len(pair) == 1 or pair in known:
                right += 1
            else:
                wrong += 1
                odd.add(pair)
    return right, wrong, odd


def main() -> None:
    source, seeds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    classes = sorted(folder.name for folder in source.iterdir())
    halves = {
        "classes used to set constants": set(classes[::2]),
        "other classes": set(classes[1::2]),
    }
    known = reviewed_pairs()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            os.environ["BESTIARY_CACHE"] = f"{place}/cache"
            copy_all(source, Path(place) / "data", seed)
            groups = find_groups(Path(place) / "data")
        originals = [f"{file.parent.name}/{file.stem}" for file in sorted(source.glob("*/*"))]
        print(f"seed {seed}: {len(originals)} photographs, {len(originals) * len(WAYS)} copies")
        for half, names in halves.items():
            here = [name for name in originals if name.split("/")[0] in names]
            found = np.array(
                [
                    [
                        _same(groups, f"{n}-original.jpg", f"{n}-{way}.jpg")
                        for way in range(len(WAYS))
                    ]
                    for n in here
                ]
            )
            right, wrong, odd = count_pairs(groups, known, names)
            print(
                f"  {half}: recall {found.mean():.4f} (n = {found.size}), precision "
                f"{right / (right + wrong):.4f} "
                f"({right} pairs right, {wrong} wrong)"
            )
            print(
                "    "
                + ", ".join(
                    f"{way} {share:.4f}"
                    for way, share in zip(WAYS, found.mean(axis=0), strict=True)
                )
            )
            for pair in sorted(map(sorted, odd)):
                print(f"    wrong: {pair}")


def _same(groups: dict[str, str], a: str, b: str) -> bool:
    return a in groups and groups[a] == groups.get(b)


if __name__ == "__main__":
    main()
