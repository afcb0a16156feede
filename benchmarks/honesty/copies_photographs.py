"""Claim: the scan groups >= 95 % of photographs' near duplicates, at a precision of >= 98 %.

    python benchmarks/honesty/copies_photographs.py FOLDER_OF_CLASS_FOLDERS [SEEDS]

Every photograph gets one copy in each way of `copying.WAYS`. Recall: copies in a group with their
original. Precision: of all pairs of images in one group, those of one photograph, or of two
photographs that are near duplicates in the dataset itself. A person reviewed the latter one by one
(reviewed_copies.csv, for the part of Caltech-101 named in the README). The constants of the audit
were tuned on every second class, from the first; the other classes have figures of their own.
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
from bestiary.data.listing import list_labeled
from bestiary.data.listing_types import Listing
from bestiary.display import Display

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.copying import WAYS, encode
from harness.record import record, recording

CLAIMS = {
    "copies-recall": {
        "statement": "The scan groups photographs with their altered copies",
        "unit": "of the copies found",
        "bar": ("least", 0.95, "copies across folds flatter"),
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
    "copies-precision": {
        "statement": "What the scan groups is one photograph",
        "unit": "of the pairs right",
        "bar": ("least", 0.98, "wrong groups cost training images"),
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
}
COMMANDS = ("{data}",)


REVIEWED = Path(__file__).with_name("reviewed_copies.csv")


def copy_all(source: Path, goal: Path, seed: int) -> None:
    """Write original and copies, named after the original and the number of the way."""
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
    audit = audit_images(Listing(folder, listing.table), Display(quiet=True))
    return dict(audit.near_duplicates.select("path", "duplicate_group").iter_rows())


def reviewed_pairs() -> set[frozenset[str]]:
    """Pairs of photographs that a person found to be near duplicates, without suffixes."""
    groups: dict[str, list[str]] = {}
    with REVIEWED.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["group"], []).append(str(Path(row["path"]).with_suffix("")))
    return {frozenset(pair) for names in groups.values() for pair in combinations(names, 2)}


def count_pairs(
    groups: dict[str, str], known: set[frozenset[str]], names: set[str]
) -> tuple[int, int, set[frozenset[str]]]:
    """Pairs in one group that touch classes in `names`: right, wrong, and the wrong origins."""
    members: dict[str, list[str]] = {}
    for path, group in groups.items():
        members.setdefault(group, []).append(path)
    right = 0
    wrong = 0
    wrong_pairs = set()
    for paths in members.values():
        for a, b in combinations(paths, 2):
            if a.split("/")[0] not in names and b.split("/")[0] not in names:
                continue
            pair = frozenset((origin(a), origin(b)))
            if len(pair) == 1 or pair in known:
                right += 1
            else:
                wrong += 1
                wrong_pairs.add(pair)
    return right, wrong, wrong_pairs


def main() -> None:
    source = Path(sys.argv[1])
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    classes = sorted(folder.name for folder in source.iterdir())
    halves = {
        "classes used to set constants": set(classes[::2]),
        "other classes": set(classes[1::2]),
    }
    known = reviewed_pairs()
    recalls: dict[str, list[float]] = {title: [] for title in halves}
    precisions: dict[str, list[float]] = {title: [] for title in halves}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            os.environ["BESTIARY_CACHE"] = f"{place}/cache"
            copy_all(source, Path(place) / "data", seed)
            groups = find_groups(Path(place) / "data")
        originals = [f"{file.parent.name}/{file.stem}" for file in sorted(source.glob("*/*"))]
        print(f"seed {seed}: {len(originals)} photographs, {len(originals) * len(WAYS)} copies")
        for title, names in halves.items():
            own_originals = [name for name in originals if name.split("/")[0] in names]
            recalled = np.array(
                [
                    [
                        _same(groups, f"{n}-original.jpg", f"{n}-{way}.jpg")
                        for way in range(len(WAYS))
                    ]
                    for n in own_originals
                ]
            )
            right, wrong, wrong_pairs = count_pairs(groups, known, names)
            recalls[title].append(float(recalled.mean()))
            precisions[title].append(right / (right + wrong))
            print(
                f"  {title}: recall {recalled.mean():.4f} (n = {recalled.size}), precision "
                f"{right / (right + wrong):.4f} "
                f"({right} pairs right, {wrong} wrong)"
            )
            print(
                "    "
                + ", ".join(
                    f"{way} {share:.4f}"
                    for way, share in zip(WAYS, recalled.mean(axis=0), strict=True)
                )
            )
            for pair in sorted(map(sorted, wrong_pairs)):
                print(f"    wrong: {pair}")
    record("copies-recall", recalls, seeds, "seeds", data=source)
    record("copies-precision", precisions, seeds, "seeds", data=source)


def _same(groups: dict[str, str], a: str, b: str) -> bool:
    return a in groups and groups[a] == groups.get(b)


if __name__ == "__main__":
    recording(main, __file__)
