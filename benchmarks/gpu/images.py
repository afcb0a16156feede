"""The images of the stages: drawn beasts, and JPEGs of 500 x 375 that are composed from them."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bestiary.beasts.holdout import hold_out
from bestiary.rng import keyed_rng
from gpu.kit import Kit, n_cores

WIDTH = 500
HEIGHT = 375
QUALITY = 90
TILES = (3, 4)  # of a mosaic: rows and columns


def beasts(kit: Kit) -> tuple[Path, Path]:
    """Drawn beasts, and others that are held out from them."""
    place = kit.work / "beasts"
    images = place / "images"
    new = place / "new"
    if not new.exists():
        shutil.rmtree(place, ignore_errors=True)
        kit.cli(
            *("sample", images, "--species", kit.classes, "--quiet"),
            *("--per-species", 10 if kit.tiny else 30, "--size", 64 if kit.tiny else 256),
            needed=True,
        )
        hold_out(images, new, 0.2)
    return images, new


def small_set(kit: Kit) -> Path:
    """Enough images for a few steps."""
    return photographs(kit, "small", 32 if kit.tiny else 640)


def large_set(kit: Kit) -> Path:
    """Enough images for a speed."""
    return photographs(kit, "large", kit.n_images)


def fifth_held_out(kit: Kit) -> Path:
    """Write a table of folds that holds a fifth of the larger set out, each fifth image."""
    place = large_set(kit)
    table = place / "fifth.csv"
    files = sorted(file.relative_to(place) for file in (place / "train").rglob("*.jpg"))
    val = sorted(file.relative_to(place) for file in (place / "val").rglob("*.jpg"))
    rows = [f"{file},{int(number % 5 > 0)}" for number, file in enumerate(files)]
    rows += [f"{file},1" for file in val]
    table.write_text("\n".join(["path,fold", *rows]) + "\n")
    return table


def photographs(kit: Kit, name: str, count: int) -> Path:
    """Write `count` JPEGs in train/, one a class in val/, and folds.csv, which holds val/ out.

    They are mosaics of drawn beasts with noise, so that a file is as long as a photograph's of
    this quality.
    """
    place = kit.work / name
    if (place / "folds.csv").exists():
        return place
    by_class = _drawn(kit)
    names = sorted(by_class)
    noise = keyed_rng(0, "noise").integers(0, 13, (HEIGHT + 300, WIDTH, 1), np.uint8)

    def write(job: tuple[int, str]) -> str:
        number, part = job
        species = names[number % len(names)]
        drawn = by_class[species]
        image = _mosaic(drawn, noise, number)
        file = place / part / species / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return f"{file.relative_to(place)},{int(part == 'train')}"

    jobs = [(number, "train") for number in range(count)]
    jobs += [(count + number, "val") for number in range(len(names))]
    with ThreadPoolExecutor(n_cores()) as pool:
        rows = list(pool.map(write, jobs))
    (place / "folds.csv").write_text("\n".join(["path,fold", *rows]) + "\n")
    return place


def _drawn(kit: Kit) -> dict[str, list[Any]]:
    """Draw the beasts that mosaics are composed of, by species."""
    place = kit.work / "drawn"
    if not place.exists():
        kit.cli(
            *("sample", place, "--species", kit.classes, "--size", WIDTH, "--quiet"),
            *("--per-species", 3 if kit.tiny else 6),
            needed=True,
        )
    by_class: dict[str, list[Any]] = {}
    for file in sorted(place.rglob("*.jpg")):
        by_class.setdefault(file.parent.name.replace(" ", "-"), []).append(cv2.imread(str(file)))
    return by_class


def _mosaic(drawn: list[Any], noise: Any, number: int) -> Any:
    """Tiles from beasts of one species, with noise: no two mosaics are near duplicates.

    A search that compares thousands of pairs is another benchmark's.
    """
    rng = keyed_rng(0, "mosaic", number)
    rows, columns = TILES
    height, width = HEIGHT // rows, WIDTH // columns
    mosaic = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for row in range(rows):
        for column in range(columns):
            tile = _tile(drawn[int(rng.integers(len(drawn)))], rng)
            top, left = row * height, column * width
            mosaic[top : top + height, left : left + width] = cv2.resize(tile, (width, height))
    shift = int(rng.integers(0, 300))
    darker = noise[300 - shift : 300 - shift + HEIGHT].repeat(3, axis=2)
    return cv2.subtract(cv2.add(mosaic, noise[shift : shift + HEIGHT].repeat(3, axis=2)), darker)


def _tile(image: Any, rng: np.random.Generator) -> Any:
    """A crop of an image, turned by a random quarter and with its colors permuted."""
    side = int(min(image.shape[:2]) * rng.uniform(0.3, 0.8))
    top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
    crop = image[top : top + side, left : left + side]
    return np.rot90(crop, int(rng.integers(4)))[..., rng.permutation(3)]


@dataclass(frozen=True)
class ShortTraining:
    """One short training of a small network without weights, fold 0 held out: words of `train`."""

    data: Path
    run: Path

    def words(
        self, *overrides: str, options: tuple[str, ...] = (), recipe: str = "paper"
    ) -> list[object]:
        """The command line, after clearing the run's folder."""
        shutil.rmtree(self.run, ignore_errors=True)
        plain = [
            "model.backbone=torchvision/resnet18",
            "model.weights=none",
            "view.size=64",
            "train.epochs=2",
            "train.batch_size=16",
            "train.save_every=0",
        ]
        words: list[object] = ["train", self.data, self.run, "--recipe", recipe]
        words += ["--folds", self.data / "folds.csv", "--only-fold", 0, *options]
        return [*words, "--set", *plain, *overrides]
