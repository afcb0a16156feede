"""Claim: the scan finds every damaged file, and near duplicates at 98 % recall and precision.

    python benchmarks/honesty/planted_faults.py [SEEDS] [SPECIES] [PER_SPECIES]

Draws datasets with `bestiary sample` (one file in twenty damaged, a fifth of altered copies added)
and compares the findings of the scan with truth.csv. Precision: of all pairs of images in one
group, those of one original.
"""

import os
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import polars as pl

from bestiary.beasts.sample import draw_sample
from bestiary.data.audit import Audit, audit_images
from bestiary.data.listing import list_labeled
from bestiary.display import Display

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "planted-damage": {
        "statement": "The scan finds every damaged file",
        "unit": "of the damaged files found",
        "bar": ("least", 1.0, "a damaged file must not be trained on"),
        "watches": (
            "src/bestiary/data/audit.py",
            "src/bestiary/data/intact_pixels.py",
        ),
    },
    "planted-copies": {
        "statement": "The scan finds planted near duplicates, and few others",
        "unit": "recall, precision",
        "bar": ("least", 0.98, "copies across folds flatter"),
        "watches": ("src/bestiary/data/near_duplicates/*.py",),
    },
}
COMMANDS = ("",)


def compare(truth: pl.DataFrame, audit: Audit) -> dict[str, float]:
    """Shares that are found or right, and the number of others in quarantine."""
    damaged = set(truth.filter(fault="corrupt")["path"])
    quarantined = set(audit.quarantine["path"])
    copies = truth.filter(fault="near-duplicate").select("path", "copy_of").rows()
    group = dict(audit.near_duplicates.select("path", "duplicate_group").iter_rows())
    recalled = sum(a in group and group[a] == group.get(b) for a, b in copies)
    origin = dict(copies)
    right = total = 0
    for (paths,) in (
        audit.near_duplicates.group_by("duplicate_group").agg("path").select("path").iter_rows()
    ):
        for a, b in combinations(paths, 2):
            total += 1
            right += origin.get(a, a) == origin.get(b, b)
    print(
        f"{truth.height} images: "
        f"damaged {len(damaged & quarantined)} of {len(damaged)} found, "
        f"{len(quarantined - damaged)} others in quarantine; "
        f"near duplicates {recalled} of {len(copies)} found ({recalled / len(copies):.4f}), "
        f"precision {right / total:.4f} ({right} of {total} pairs)",
        flush=True,
    )
    return {
        "damaged": len(damaged & quarantined) / len(damaged),
        "others": len(quarantined - damaged),
        "recall": recalled / len(copies),
        "precision": right / total,
    }


def main() -> None:
    seeds, species, per_species = (int(text) for text in (sys.argv[1:] or ("3", "20", "100")))
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            os.environ["BESTIARY_CACHE"] = f"{place}/cache"
            data = Path(place) / "data"
            draw_sample(
                data,
                species=species,
                per_species=per_species,
                seed=seed,
                near_duplicates=0.2,
                corrupt=0.05,
            )
            audit = audit_images(list_labeled(data), Display(quiet=True))
            print(f"seed {seed}: ", end="")
            rows.append(compare(pl.read_csv(data / "truth.csv"), audit))
    each = {name: [row[name] for row in rows] for name in rows[0]}
    others = {"other files in quarantine": each["others"]}
    data = ("drawn beasts", species * per_species)
    record("planted-damage", each["damaged"], seeds, "seeds", details=others, data=data)
    copies = {name: each[name] for name in ("recall", "precision")}
    record("planted-copies", copies, seeds, "seeds", data=data)


if __name__ == "__main__":
    recording(main, __file__)
