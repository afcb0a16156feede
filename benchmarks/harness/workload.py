"""The work that contenders are compared on: networks, sizes, and JPEGs of 500 x 375."""

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl

from bestiary.beasts.sample import draw_sample
from bestiary.cli.environment import set_defaults
from bestiary.data.decode import decode, read_image
from bestiary.data.listing import list_labeled
from bestiary.rng import keyed_rng

WIDTH = 500
HEIGHT = 375
QUALITY = 90


class Work(NamedTuple):
    """A network and its input; `images` is the default size of an epoch.

    A name without a slash is torchvision's. `timm` is timm's name of the same network, which is all
    that peers without torchvision's need.
    """

    network: str
    size: int
    batch: int
    images: int
    recipe: str = "paper"
    timm: str = ""


WORKS = {
    "resnext50@224": Work("resnext50_32x4d", 224, 16, 64),
    "resnet18@128": Work("resnet18", 128, 64, 640),
    "resnet18@64": Work("resnet18", 64, 64, 1280),
    "efficientnet_lite0@224": Work(
        "offline/efficientnet_lite0", 224, 16, 128, "best", "tf_efficientnet_lite0"
    ),
}


def work_parser(doc: str | None, works: list[str]) -> argparse.ArgumentParser:
    """A parser with the arguments of every script whose contenders train.

    Args:
        doc: the script's docstring.
        works: names in `WORKS` that it compares without --work.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, nargs="?", help="labeled photographs; without them beasts are drawn"
    )
    parser.add_argument("--work", nargs="+", default=works, choices=WORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="images an epoch")
    return parser


def lay_out(source: Path | None, goal: Path, images: int) -> int:
    """Fill `goal`/train with JPEGs of 500 x 375 in class folders, and `goal`/val with one a class.

    Args:
        source: labeled photographs to resize; None or a missing folder for drawn beasts.
        goal: new folder.
        images: number of images in train; short sources repeat, mirrored, then rotated.

    Returns:
        The number of classes.
    """
    if source is None or not source.is_dir():
        source = goal.parent / "drawn"  # inside `goal` it would be a class, or a third split
        draw_sample(source, species=20, per_species=max(10, -(-images // 20) + 1), size=500)
    table = list_labeled(source).table.select("path", "label")
    order = keyed_rng(0, "benchmark").permutation(table.height)
    known: dict[str, list[str]] = {}
    for row in order:
        path, label = table.row(int(row))
        known.setdefault(label, []).append(path)
    for label in known:
        _write(source / known[label].pop(), goal / "val" / label, 0, 0)
    turns = [
        (label, path)
        for place in range(max(map(len, known.values())))
        for label, paths in known.items()
        for path in paths[place : place + 1]
    ]
    for number in range(images):
        label, path = turns[number % len(turns)]
        _write(source / path, goal / "train" / label, number, number // len(turns))
    return len(known)


def lay_out_job(work: Work, source: Path | None, place: Path, images: int | None) -> dict[str, Any]:
    """Lay out the images of a work, and describe both to its contenders.

    Args:
        work: the network and its input.
        source: as for `lay_out`.
        place: folder of the comparison; the images get the new folder `data` in it.
        images: of an epoch; None: as many as the work has.

    Returns:
        The fields of the work, the folder, and its numbers of images and classes.
    """
    data = place / "data"
    job = {**work._asdict(), "images": images or work.images, "data": str(data)}
    return job | {"classes": lay_out(source, data, job["images"])}


def command_environment() -> dict[str, str]:
    """The variables that a command of bestiary sets, for what is to run as it does."""
    variables = dict(os.environ)
    set_defaults(variables)
    return {name: value for name, value in variables.items() if name not in os.environ}


def set_aside(data: Path, place: Path, share: float, seed: int) -> None:
    """Hold out images: a table of the others, `place`/known.csv, and links in `place`/new.

    Args:
        data: labeled images; the table's paths start from it.
        place: new folder.
        share: share of the images for `new`, 0 to 1.
        seed: seed of the draw.
    """
    listing = list_labeled(data)
    aside = pl.Series(keyed_rng(seed, "set aside").random(listing.table.height) < share)
    place.mkdir(parents=True, exist_ok=True)
    listing.table.filter(~aside).select("path", "label").write_csv(place / "known.csv")
    for path, label in listing.table.filter(aside).select("path", "label").iter_rows():
        link = place / "new" / label / Path(path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((data / path).resolve())


def _write(source: Path, folder: Path, number: int, again: int) -> None:
    pixels = decode(read_image(source))
    pixels = np.rot90(pixels[:, ::-1] if again % 2 else pixels, again // 2)
    resized = cv2.resize(
        np.ascontiguousarray(pixels), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{number:06d}.jpg"
    cv2.imwrite(str(file), resized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
