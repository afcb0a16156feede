"""Claim: of specimens and altered photographs, bestiary pairs more rightly than its peers do.

    python benchmarks/bench_peers_duplicates.py FOLDER --truth specimens|copies [--peer-python FILE]

Compares the pairs that bestiary and its peers put together. FOLDER has truth.csv (specimens), or
images named ORIGINAL-WAY.jpg (copies), as bench_near_duplicates writes them. Peers run by the
interpreter --peer-python, with their own defaults: cleanvision's exact and near duplicates, and a
64-bit perceptual hash as imagededup's PHash (bits that differ: 10 at most).
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile
from itertools import combinations
from pathlib import Path

Pairs = set[frozenset[str]]

CLEANVISION = """
import json, sys
from pathlib import Path
from cleanvision import Imagelab
root = Path(sys.argv[1]).resolve()
lab = Imagelab(data_path=str(root))
lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1, verbose=False)
sets = []
for kind in ("exact_duplicates", "near_duplicates"):
    for group in lab.info[kind]["sets"]:
        sets.append([str(Path(path).resolve().relative_to(root)) for path in group])
print("RESULT" + json.dumps(sets))
"""
PHASH = """
import json, sys
from pathlib import Path
import imagehash
import numpy as np
from PIL import Image
root = Path(sys.argv[1])
files = sorted(root.rglob("*.jpg"))
hashes = np.array([imagehash.phash(Image.open(file)).hash.ravel() for file in files])
names = [str(file.relative_to(root)) for file in files]
pairs = []
for index in range(len(files)):
    distance = (hashes[index + 1:] != hashes[index]).sum(axis=1)
    for other in np.flatnonzero(distance <= 10):
        pairs.append([names[index], names[index + 1 + int(other)]])
print("RESULT" + json.dumps(pairs))
"""


def pairs_of(groups: list[list[str]]) -> Pairs:
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def peer_pairs(python: str, program: str, folder: Path) -> Pairs:
    command = [python, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, _, result = done.stdout.rpartition("RESULT")
    return pairs_of(json.loads(result.splitlines()[0]))


def own_pairs(folder: Path) -> Pairs:
    from bench_near_duplicates import grouped_pairs, scan

    listing = folder / "truth.csv"
    audit, _ = scan(folder, listing if listing.exists() else None)
    return grouped_pairs(audit)


def true_pairs(folder: Path, kind: str) -> Pairs:
    groups: dict[str, list[str]] = {}
    if kind == "specimens":
        with (folder / "truth.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                groups.setdefault(row["motif"], []).append(row["path"])
    else:
        for file in sorted(folder.rglob("*.jpg")):
            path = file.relative_to(folder).as_posix()
            groups.setdefault(path.rpartition("-")[0], []).append(path)
    return pairs_of(list(groups.values()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", choices=["specimens", "copies"], required=True)
    parser.add_argument("--peer-python")
    args = parser.parse_args()

    named = {}
    with tempfile.TemporaryDirectory() as place:
        os.environ["BESTIARY_CACHE"] = f"{place}/cache"
        named["bestiary"] = own_pairs(args.folder)
    if args.peer_python:
        named["cleanvision"] = peer_pairs(args.peer_python, CLEANVISION, args.folder)
        named["pHash, 10 bits"] = peer_pairs(args.peer_python, PHASH, args.folder)
    true = true_pairs(args.folder, args.truth)
    for name, pairs in named.items():
        right = len(pairs & true)
        print(
            f"{name}: named {len(pairs)} pairs, {right} right "
            f"(precision {right / max(1, len(pairs)):.3f}); found {right} of {len(true)} (recall "
            f"{right / len(true):.3f})"
        )


if __name__ == "__main__":
    main()
