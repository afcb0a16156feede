"""A drawn set -> the part for training and the part that training will not see. Knows nothing of
what is drawn.
"""

import shutil
from itertools import count
from pathlib import Path


def new_folder(wanted: Path) -> Path:
    """`wanted` if nothing is there, else the first of `wanted`-2, `wanted`-3 ... that is free."""
    names = (
        wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        for number in count(1)
    )
    return next(place for place in names if not place.exists())


def hold_out(images: Path, goal: Path, share: float) -> int:
    """Move the last `share` (0 to 1) of each class folder's images to the same class under `goal`.

    Returns:
        number of images moved.
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
