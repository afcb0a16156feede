"""Drawn dataset -> a part to train on and a held-out part of new images.

Knows nothing of what the images show.
"""

import csv
import io
import shutil
from itertools import count
from pathlib import Path

from bestiary.atomic import write_text


def new_folder(wanted: Path) -> Path:
    """Find a free name for a folder.

    Args:
        wanted: the preferred path.

    Returns:
        `wanted` if nothing is there, else the first free one of `wanted`-2, `wanted`-3 ...
    """
    if not wanted.exists():
        return wanted
    candidates = (wanted.with_name(f"{wanted.name}-{suffix}") for suffix in count(2))
    return next(folder for folder in candidates if not folder.exists())


def hold_out(images: Path, goal: Path, share: float) -> int:
    """Move the last images of each class to the same class under another folder.

    Each file is renamed, so a crash leaves it whole in one of the two folders.

    Args:
        images: folder of class folders.
        goal: a new folder on the same disk.
        share: share of each class to move, 0 to 1.

    Returns:
        The number of images moved.
    """
    moved = 0
    for folder in sorted(path for path in images.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        chosen = files[len(files) - round(share * len(files)) :]
        (goal / folder.name).mkdir(parents=True)
        for file in chosen:
            shutil.move(file, goal / folder.name / file.name)
        moved += len(chosen)
    return moved


def hold_out_sites(table: Path, sites: int) -> tuple[Path, Path]:
    """Split the table of drawn camera traps by site; the images stay where they are.

    Args:
        table: CSV file with the column site.
        sites: number of sites to hold out, the last by name.

    Returns:
        train.csv with the other sites, and new.csv with those, next to the table.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    held_out = sorted({row["site"] for row in rows})[-sites:]
    parts = {
        "train.csv": [row for row in rows if row["site"] not in held_out],
        "new.csv": [row for row in rows if row["site"] in held_out],
    }
    for name, chosen in parts.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(chosen)
        write_text(table.with_name(name), text.getvalue())
    return table.with_name("train.csv"), table.with_name("new.csv")
