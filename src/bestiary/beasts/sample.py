"""Options -> a drawn dataset: class folders of beasts with planted faults, and ``truth.csv``.

The options become a plan (one `_Image` a file); several processes draw the plan. Each image depends
only on the seed, the size, its species and its number in the species. Knows nothing of how beasts
look.

The generators here are seeded by plain lists, not by `bestiary.rng`: the drawn images must stay the
same, byte for byte. CONTRIBUTING lists this exception.
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.atomic import write_bytes, write_text
from bestiary.beasts.drawing import draw_beast
from bestiary.beasts.faults import alter_copy, damage, encode
from bestiary.beasts.pool import CHUNK, drawing_map
from bestiary.beasts.species import Species, invent_species
from bestiary.beasts.unfinished import removed_if_unfinished
from bestiary.display import Tick
from bestiary.errors import ArgumentError
from bestiary.numbers import counted
from bestiary.printable import printable_name

TRUTH = "truth.csv"
COLUMNS = ("path", "species", "label", "fault", "detail", "copy_of")

_MAX_SPECIES = 100
_UNKNOWN_SPECIES = 16
"""Species that belong to no class; they are numbered from `_MAX_SPECIES` on."""


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """The numbers of a drawn dataset.

    Attributes:
        directory: the folder of class folders and ``truth.csv``.
        images: number of image files, including faults and unknown species.
        classes: names of the classes, sorted.
        label_noise: images in a wrong folder.
        near_duplicates: altered copies.
        corrupt: damaged files.
        unknown: images of species that belong to no class.
        unknown_directory: the folder of the unknown species, or None if there are none.
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
            f"images of unknown species in {printable_name(self.unknown_directory)}": self.unknown,
        }
        faults = "".join(f", {count:,} {fault}" for fault, count in planted.items() if count)
        directory = printable_name(self.directory)
        return (
            f"{counted(self.images, 'image')} of {len(self.classes)} species in {directory}{faults}"
        )


@dataclass(frozen=True, slots=True)
class _Image:
    """One file to draw.

    Attributes:
        species: number of the species.
        individual: number of the image in its species.
        label: class folder; empty for an unknown species.
        fault: kind of fault, or empty.
        path: relative to the directory.
        copy_of: path of the original of a near duplicate.
        detail: phrase for the fault.
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
    progress: Tick | None = None,
) -> SampleSummary:
    """Draw invented beasts as ``directory/<class name>/img-00001.jpg`` ... and ``truth.csv``.

    The same arguments give the same bytes for any number of processes. An image's content depends
    only on the seed, the size, its species and its number in the species. File numbers are
    shuffled.

    Args:
        directory: a new or empty folder.
        species: number of classes, 2 to 100.
        per_species: images of each class, 1 to 100,000.
        size: pixels of the long side, 32 to 1024.
        seed: 0 or more.
        label_noise: share (0 to 0.5) of the images in a wrong folder.
        near_duplicates: altered copies to add, as a share (0 to 0.5) of the images.
        corrupt: share (0 to 0.5) of the images with damaged files.
        unknown: images of other species to add in the flat folder ``<directory>-unknown``, as a
            share (0 to 0.5) of the images.
        progress: called with the number of images drawn and the number of all images.

    Returns:
        The numbers of what was drawn.

    Raises:
        ArgumentError: a value is out of range, no sound image is left to copy, or a folder to
            write is not empty.
    """
    shares = {
        "label-noise": label_noise,
        "near-duplicates": near_duplicates,
        "corrupt": corrupt,
        "unknown": unknown,
    }
    check_ranges(species, per_species, size, seed, shares)
    directory = Path(directory)
    unknown_directory = directory.resolve().parent / f"{directory.resolve().name}-unknown"
    check_empty(directory)
    if unknown > 0:
        check_empty(unknown_directory)

    # Plan every file, then draw.
    kinds = invent_species(_MAX_SPECIES + _UNKNOWN_SPECIES, seed)
    classes = [kind.name for kind in kinds[:species]]
    counts = {fault: round(share * species * per_species) for fault, share in shares.items()}
    plan = _plan(classes, per_species, seed, counts, unknown_directory.name)
    files = [directory / path for path in (TRUTH, *(image.path for image in plan))]
    with removed_if_unfinished(directory, files):
        details = _draw_all(plan, directory, size, seed, progress)
        drawn = [replace(image, detail=detail) for image, detail in zip(plan, details, strict=True)]
        _write_truth(directory / TRUTH, drawn, kinds)

    tally = Counter(image.fault for image in plan)
    return SampleSummary(
        directory=directory,
        images=len(plan),
        classes=tuple(sorted(classes)),
        label_noise=tally["label"],
        near_duplicates=tally["near-duplicate"],
        corrupt=tally["corrupt"],
        unknown=tally["unknown"],
        unknown_directory=unknown_directory if tally["unknown"] else None,
    )


def check_ranges(
    species: int, per_species: int, size: int, seed: int, shares: dict[str, float]
) -> None:
    """Check the options of a dataset.

    Args:
        species: number of species.
        per_species: images of each.
        size: pixels of the long side.
        seed: of the drawings.
        shares: share of each fault, by the name of its option.

    Raises:
        ArgumentError: a value is out of its range.
    """
    if not 2 <= species <= _MAX_SPECIES:
        raise ArgumentError(f"--species {species}: bestiary can draw 2 to {_MAX_SPECIES} species")
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


def check_empty(folder: Path) -> None:
    """Check that a folder may be drawn into.

    Args:
        folder: the folder.

    Raises:
        ArgumentError: it is not empty, or no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{folder} is not a folder: choose another folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise ArgumentError(f"{folder} is not empty: choose another folder")


def _plan(
    classes: list[str],
    per_species: int,
    seed: int,
    counts: dict[str, int],
    unknown_folder: str,
) -> list[_Image]:
    """Plan every image of the dataset.

    Args:
        classes: names of the classes.
        per_species: images of each.
        seed: decides which image gets which fault.
        counts: number of images for each fault, by its option's name.
        unknown_folder: name of the folder of unknown species.

    Returns:
        The images with their paths, sorted by path.
    """
    rng = np.random.default_rng([seed, 3])
    images = [
        _Image(species, individual, name)
        for species, name in enumerate(classes)
        for individual in range(per_species)
    ]
    sound = _plant_faults(images, classes, counts, rng)
    if counts["near-duplicates"] and not len(sound):
        raise ArgumentError(
            "--near-duplicates: label noise and corruption leave no image to copy: lower one of "
            "them"
        )
    originals = [int(sound[k % len(sound)]) for k in range(counts["near-duplicates"])]
    copies = [replace(images[k], fault="near-duplicate") for k in originals]
    everything = [*images, *copies, *_unknown_images(counts["unknown"])]
    numbers = rng.permutation(len(everything)) + 1
    placed = [
        replace(image, path=f"{image.label or '../' + unknown_folder}/img-{number:05d}.jpg")
        for image, number in zip(everything, numbers, strict=True)
    ]
    for index, original in enumerate(originals, len(images)):
        placed[index] = replace(placed[index], copy_of=placed[original].path)
    return sorted(placed, key=lambda image: image.path)


def _plant_faults(
    images: list[_Image], classes: list[str], counts: dict[str, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give some images a wrong label and others a damaged file, in place.

    Returns:
        Indices of the images without a fault, shuffled.
    """
    order = rng.permutation(len(images))
    n_wrong = counts["label-noise"]
    n_corrupt = min(counts["corrupt"], len(images) - n_wrong)
    for index in order[:n_wrong]:
        shift = int(rng.integers(1, len(classes)))
        wrong = (images[index].species + shift) % len(classes)
        images[index] = replace(images[index], label=classes[wrong], fault="label")
    for index in order[n_wrong : n_wrong + n_corrupt]:
        images[index] = replace(images[index], fault="corrupt")
    return order[n_wrong + n_corrupt :]


def _unknown_images(count: int) -> list[_Image]:
    """Images of species that belong to no class, evenly many of each."""
    return [
        _Image(_MAX_SPECIES + k % _UNKNOWN_SPECIES, k // _UNKNOWN_SPECIES, "", "unknown")
        for k in range(count)
    ]


def _draw_all(
    plan: list[_Image],
    directory: Path,
    size: int,
    seed: int,
    progress: Tick | None,
) -> list[str]:
    """Write every image; the phrases for the faults, in the same order."""
    chunks = [plan[first : first + CHUNK] for first in range(0, len(plan), CHUNK)]
    work = partial(_draw_chunk, directory=directory, size=size, seed=seed)
    details: list[str] = []
    with drawing_map(len(plan)) as run:
        for chunk_details in run(work, chunks):
            details.extend(chunk_details)
            if progress is not None:
                progress(len(details), len(plan))
    return details


def _draw_chunk(images: list[_Image], *, directory: Path, size: int, seed: int) -> list[str]:
    """Write some of the images; the phrases for their faults."""
    kinds = invent_species(max(image.species for image in images) + 1, seed)
    details = []
    for image in images:
        content, detail = _draw_file(image, kinds[image.species], size, seed)
        write_bytes(directory / image.path, content)
        details.append(detail)
    return details


def _draw_file(image: _Image, kind: Species, size: int, seed: int) -> tuple[bytes, str]:
    """The bytes of an image file, and the phrase for its fault."""
    key = [image.species, image.individual]
    rng = np.random.default_rng([seed, 4, *key])
    jpeg = encode(draw_beast(kind, rng, size), int(rng.integers(80, 96)))
    if image.fault == "near-duplicate":
        return alter_copy(jpeg, np.random.default_rng([seed, 5, *key]))
    if image.fault == "corrupt":
        return damage(jpeg, np.random.default_rng([seed, 6, *key]))
    return jpeg, ""


def _write_truth(path: Path, images: list[_Image], kinds: list[Species]) -> None:
    """Write truth.csv, one row an image."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for image in images:
        table.writerow(
            (
                image.path,
                kinds[image.species].name,
                image.label,
                image.fault,
                image.detail,
                image.copy_of,
            )
        )
    write_text(path, text.getvalue())
