"""Claim: of specimens and altered photographs, bestiary pairs more rightly than its peers do.

    python benchmarks/honesty/peers_duplicates.py FOLDER --truth specimens|copies
        [--peer-python FILE]

Compares the pairs that bestiary and its peers put together. FOLDER has truth.csv (specimens), or
images named ORIGINAL-WAY.jpg (copies), as near_duplicates.py writes them. Peers run by the
interpreter --peer-python, which also has bestiary, with their own defaults: cleanvision's exact and
near duplicates, imagededup's PHash (10 of 64 bits differ at most) and CNN (cosine of 0.9 at least),
and fastdup's connected components. CNN takes EfficientNet-Lite0, since its own MobileNetV3 has to
be fetched; which pairs another network would find is not known.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "duplicates-against-tools": {
        "statement": "bestiary's near duplicates against those of other tools",
        "unit": "recall",
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
}


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
IMAGEDEDUP = """
import json, sys
from pathlib import Path
from imagededup.methods import PHash, CNN
from imagededup.utils import CustomModel
root = Path(sys.argv[1]).resolve()
if sys.argv[2] == "phash":
    method = PHash(verbose=False)
else:
    import torch
    from torchvision import transforms
    from bestiary.model.backbone import build_backbone
    network = build_backbone("offline/efficientnet_lite0", 2).network
    network.classifier = torch.nn.Identity()
    view = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    model = CustomModel(name="lite0", model=network.eval(), transform=view)
    method = CNN(verbose=False, model_config=model)
found = method.find_duplicates(image_dir=str(root), recursive=True)
pairs = {tuple(sorted((name, other))) for name, others in found.items() for other in others}
print("RESULT" + json.dumps(sorted(pairs)))
"""
FASTDUP = """
import json, sys, tempfile
from pathlib import Path
import fastdup
root = Path(sys.argv[1]).resolve()
with tempfile.TemporaryDirectory() as work:
    run = fastdup.create(work_dir=work, input_dir=str(root))
    run.run(overwrite=True, num_threads=1)
    groups = run.connected_components_grouped()
sets = [[str(Path(f).resolve().relative_to(root)) for f in row] for row in groups["files"]]
print("RESULT" + json.dumps(sets))
"""


def pairs_of(groups: list[list[str]]) -> Pairs:
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def peer_pairs(python: str, program: str, folder: Path, *method: str) -> Pairs:
    command = [python, "-c", program, str(folder), *method]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SENTRY_OPT_OUT": "1", "OMP_NUM_THREADS": "1"},
    )
    _, _, result = done.stdout.rpartition("RESULT")
    return pairs_of(json.loads(result.splitlines()[0]))


def own_pairs(folder: Path) -> Pairs:
    from honesty.near_duplicates import grouped_pairs, scan

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
        named["imagededup, PHash"] = peer_pairs(args.peer_python, IMAGEDEDUP, args.folder, "phash")
        named["imagededup, CNN"] = peer_pairs(args.peer_python, IMAGEDEDUP, args.folder, "cnn")
        named["fastdup"] = peer_pairs(args.peer_python, FASTDUP, args.folder)
    true = true_pairs(args.folder, args.truth)
    recalls = {name: len(pairs & true) / len(true) for name, pairs in named.items()}
    precisions = {name: len(pairs & true) / max(1, len(pairs)) for name, pairs in named.items()}
    details = {"precision": precisions}
    n = len(true)
    record("duplicates-against-tools", recalls, n, "pairs", case=args.truth, details=details)
    for name, pairs in named.items():
        right = len(pairs & true)
        print(
            f"{name}: named {len(pairs)} pairs, {right} right "
            f"(precision {right / max(1, len(pairs)):.3f}); found {right} of {len(true)} (recall "
            f"{right / len(true):.3f})"
        )


if __name__ == "__main__":
    recording(main, __file__)
