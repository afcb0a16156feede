"""Draws a whole set of beasts into class folders, plants the faults asked for, and says which in
``truth.csv``.

Arguments become a plan (one `_Image` for each file), and the plan becomes files, drawn by several
processes; every image depends only on the seed, its species and its number among its kin. The
module does not know how to draw.
"""

import csv
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import cv2
import numpy as np

from bestiary.beasts.drawing import draw_beast
from bestiary.beasts.faults import alter_copy, damage, encode
from bestiary.beasts.species import Species, invent_species
from bestiary.cores import cores
from bestiary.errors import ArgumentError

TRUTH = "truth.csv"
COLUMNS = ("path", "species", "label", "fault", "detail", "copy_of")

_MOST_SPECIES = 100
_UNKNOWN_SPECIES = 16
"""Species that belong to no class are those numbered from `_MOST_SPECIES` on, so many of them."""
_FEW = 200
"""Up to so many images are drawn without starting further processes."""
_CHUNK = 25


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was drawn.

    Attributes:
        directory: the folder with one folder for each class, and ``truth.csv``.
        images: number of image files, all faults and unknown species included.
        classes: names of the classes, sorted.
        label_noise: images that lie in a wrong folder.
        near_duplicates: altered copies.
        corrupt: damaged files.
        unknown: images of species that belong to no class.
        unknown_directory: where those lie, or None where there are none.
    """

    directory: Path
    images: int
    classes: tuple[str, ...]
    label_noise: int
    near_duplicates: int
    corrupt: int
    unknown: int
    unknown_directory: Path | None

    def __str__(self) -> str:
        planted = {
            "wrong labels": self.label_noise,
            "near duplicates": self.near_duplicates,
            "damaged files": self.corrupt,
            f"images of unknown species in {self.unknown_directory}": self.unknown,
        }
        faults = "".join(f", {number:,} {kind}" for kind, number in planted.items() if number)
        return f"{self.images:,} images of {len(self.classes)} species in {self.directory}{faults}"


@dataclass(frozen=True, slots=True)
class _Image:
    """One file to be made; `copy_of` is the original's path. The paths are relative to the
    directory.
    """

    species: int
    individual: int
    label: str
    fault: str = ""
    path: str = ""
    copy_of: str = ""
    detail: str = ""


def draw_sample(
    directory: Path,
    *,
    species: int = 20,
    per_species: int = 40,
    size: int = 160,
    seed: int = 0,
    label_noise: float = 0.0,
    near_duplicates: float = 0.0,
    corrupt: float = 0.0,
    unknown: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Draw invented beasts into ``directory/<class name>/img-00001.jpg`` ..., and
    ``directory/truth.csv``.

    The same arguments give the same bytes, whatever the number of processes. An image's content
    depends only on the seed, the size, its species and its number among its kin; the files are
    numbered in a shuffled order.

    Args:
        directory: a new or empty folder.
        species: number of classes, 2 to 100.
        per_species: images of each class, 1 to 100,000.
        size: length of an image's long side in pixels, 32 to 1024.
        seed: 0 or more.
        label_noise: share (0 to 0.5) of the images that lie in a wrong folder.
        near_duplicates: altered copies added, as a share (0 to 0.5) of the images.
        corrupt: share (0 to 0.5) of the images whose files are damaged.
        unknown: images of further species added in the flat folder ``<directory>-unknown`` beside
            the directory, as a share (0 to 0.5) of the images.
        progress: called with the number of images done and of all images.

    Raises:
        ArgumentError: if a value is out of its range, if no sound image is left to copy, or if a
            folder that is to be written is not empty.
    """
    shares = {
        "label-noise": label_noise,
        "near-duplicates": near_duplicates,
        "corrupt": corrupt,
        "unknown": unknown,
    }
    _check_ranges(species, per_species, size, seed, shares)
    directory = Path(directory)
    beside = directory.resolve().parent / f"{directory.resolve().name}-unknown"
    for folder in (directory, beside) if unknown > 0 else (directory,):
        _check_empty(folder)
    kinds = invent_species(_MOST_SPECIES + _UNKNOWN_SPECIES, seed)
    counts = {fault: round(share * species * per_species) for fault, share in shares.items()}
    plan = _plan([kind.name for kind in kinds[:species]], per_species, seed, counts, beside.name)
    folders = {(directory / image.path).parent for image in plan} | {directory}
    for folder in sorted(folders):
        folder.mkdir(parents=True, exist_ok=True)
    details = _draw_all(plan, directory, size, seed, progress)
    _write_truth(
        directory / TRUTH, [replace(p, detail=d) for p, d in zip(plan, details, strict=True)], kinds
    )
    tally = Counter(image.fault for image in plan)
    return SampleSummary(
        directory=directory,
        images=len(plan),
        classes=tuple(sorted(kind.name for kind in kinds[:species])),
        label_noise=tally["label"],
        near_duplicates=tally["near-duplicate"],
        corrupt=tally["corrupt"],
        unknown=tally["unknown"],
        unknown_directory=beside if tally["unknown"] else None,
    )


def _check_ranges(
    species: int, per_species: int, size: int, seed: int, shares: dict[str, float]
) -> None:
    """Raise ArgumentError for the first value out of its range."""
    if not 2 <= species <= _MOST_SPECIES:
        raise ArgumentError(f"--species {species}: bestiary can draw 2 to {_MOST_SPECIES} species")
    if not 1 <= per_species <= 100_000:
        raise ArgumentError(
            f"--per-species {per_species}: choose 1 to 100000 images of each species"
        )
    if not 32 <= size <= 1024:
        raise ArgumentError(f"--size {size}: choose 32 to 1024 pixels for the long side")
    if seed < 0:
        raise ArgumentError(f"--seed {seed}: choose a whole number from 0")
    for name, share in shares.items():
        if not 0 <= share <= 0.5:
            raise ArgumentError(f"--{name} {share}: choose a share of the images from 0 to 0.5")


def _check_empty(folder: Path) -> None:
    """Raise ArgumentError unless the folder is empty or does not exist."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{folder} is not a folder: choose another folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise ArgumentError(f"{folder} is not empty: choose another folder")


def _plan(
    names: list[str], per_species: int, seed: int, counts: dict[str, int], beside: str
) -> list[_Image]:
    """Return every image of the set with its path, sorted by path.

    Args:
        names: the classes' names.
        per_species: images of each.
        seed: decides what is hit by which fault.
        counts: number of images for each fault, by its option's name.
        beside: name of the folder for unknown species.
    """
    rng = np.random.default_rng([seed, 3])
    images = [_Image(s, i, name) for s, name in enumerate(names) for i in range(per_species)]
    hit = rng.permutation(len(images))
    noisy, broken = (
        counts["label-noise"],
        min(counts["corrupt"], len(images) - counts["label-noise"]),
    )
    for place in hit[:noisy]:
        wrong = (images[place].species + int(rng.integers(1, len(names)))) % len(names)
        images[place] = replace(images[place], label=names[wrong], fault="label")
    for place in hit[noisy : noisy + broken]:
        images[place] = replace(images[place], fault="corrupt")
    clean = hit[noisy + broken :]
    if counts["near-duplicates"] and not len(clean):
        raise ArgumentError(
            "--near-duplicates: label noise and corruption leave no image to copy: lower one of "
            "them"
        )
    copies = [int(clean[k % len(clean)]) for k in range(counts["near-duplicates"])]
    strangers = [
        _Image(_MOST_SPECIES + k % _UNKNOWN_SPECIES, k // _UNKNOWN_SPECIES, "", "unknown")
        for k in range(counts["unknown"])
    ]
    whole = [*images, *(replace(images[k], fault="near-duplicate") for k in copies), *strangers]
    numbers = rng.permutation(len(whole)) + 1
    placed = [
        replace(image, path=f"{image.label or '../' + beside}/img-{number:05d}.jpg")
        for image, number in zip(whole, numbers, strict=True)
    ]
    for k, original in enumerate(copies, len(images)):
        placed[k] = replace(placed[k], copy_of=placed[original].path)
    return sorted(placed, key=lambda image: image.path)


def _draw_all(
    plan: list[_Image],
    directory: Path,
    size: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    """Write every image and return, in the same order, what was done to each."""
    chunks = [plan[first : first + _CHUNK] for first in range(0, len(plan), _CHUNK)]
    work = partial(_draw_chunk, directory=directory, size=size, seed=seed)
    details: list[str] = []
    with _mapper(len(plan)) as run:
        for done in run(work, chunks):
            details.extend(done)
            if progress is not None:
                progress(len(details), len(plan))
    return details


_Run: TypeAlias = Callable[
    [Callable[[list[_Image]], list[str]], list[list[_Image]]], Iterable[list[str]]
]


@contextmanager
def _mapper(images: int) -> Iterator[_Run]:
    """Give a `map` for the work: in this process for a few images, else over as many processes as
    there are cores.

    The processes are spawned, not forked: a fork of a process whose threads hold locks (torch,
    OpenCV) can hang.
    """
    workers = cores()
    if images <= _FEW or workers == 1:
        threads = cv2.getNumThreads()
        _calm()
        try:
            yield map
        finally:
            cv2.setNumThreads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_calm) as pool,
        _without_script(),
    ):
        yield pool.map


@contextmanager
def _without_script() -> Iterator[None]:
    """Hide the caller's script, which spawned processes would run again; the work needs nothing
    of it.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _calm() -> None:
    """Keep OpenCV to one thread: on canvases so small, and beside other processes, more of them
    only wait.
    """
    cv2.setNumThreads(1)


def _draw_chunk(images: list[_Image], *, directory: Path, size: int, seed: int) -> list[str]:
    """Write some of the images and return what was done to each."""
    kinds = invent_species(max(image.species for image in images) + 1, seed)
    details = []
    for image in images:
        data, detail = _make(image, kinds[image.species], size, seed)
        (directory / image.path).write_bytes(data)
        details.append(detail)
    return details


def _make(image: _Image, kind: Species, size: int, seed: int) -> tuple[bytes, str]:
    """Return an image's bytes and what was done to it."""
    rng = np.random.default_rng([seed, 4, image.species, image.individual])
    data = encode(draw_beast(kind, rng, size), int(rng.integers(80, 96)))
    if image.fault == "near-duplicate":
        return alter_copy(data, np.random.default_rng([seed, 5, image.species, image.individual]))
    if image.fault == "corrupt":
        return damage(data, np.random.default_rng([seed, 6, image.species, image.individual]))
    return data, ""


def _write_truth(path: Path, images: list[_Image], kinds: list[Species]) -> None:
    """Write one row for each image."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for p in images:
            table.writerow((p.path, kinds[p.species].name, p.label, p.fault, p.detail, p.copy_of))
