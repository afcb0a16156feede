"""The verb `sample`: draw a synthetic dataset of invented beasts, as class folders or cameras."""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.beasts.camera_sample import CameraSummary
    from bestiary.beasts.sample import SampleSummary


BEAST_SIZE = 160  # pixels of the long side of an image in a class folder


@checked_arguments
def sample(
    directory: Location,
    /,
    *,
    species: int = 20,
    per_species: int = 40,
    size: int | None = None,
    seed: int = 0,
    cameras: int | None = None,
    label_noise: float = 0.0,
    near_duplicates: float = 0.0,
    corrupt: float = 0.0,
    unknown: float = 0.0,
    quiet: bool = False,
) -> "SampleSummary | CameraSummary":
    """Draw a dataset of invented beasts, with faults if asked for.

    Parameters
    ----------
    directory
        New or empty folder for the images. Its truth.csv says what each image is.
    species
        Number of classes, 2 to 100.
    per_species
        Images of each class.
    size
        Long side of an image in pixels, 32 to 1024. Default: 160, with --cameras 320.
    seed
        Seed of the drawings. The same seed draws the same images.
    cameras
        Draw the images of this number of camera traps, 2 to 99, instead of class folders:
        small animals in bursts by day and night, a quarter as many empty images,
        images.csv (label, site, time, lat, lon), detections.json (boxes, as
        MegaDetector writes them) and taxonomy.csv (genus, family, order).
    label_noise
        Share of the images that lie in a wrong class folder, 0 to 0.5.
    near_duplicates
        Share of near duplicates (re-encoded, resized, cropped, flipped,
        brightened) to add.
    corrupt
        Share of the files that are damaged.
    unknown
        Share of images of other species to add, in DIRECTORY-unknown.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> print(bestiary.sample("beasts", species=2, per_species=3, size=32, quiet=True))
    6 images of 2 species in beasts
    """
    from bestiary.beasts.camera_sample import DEFAULT_SIZE, draw_cameras
    from bestiary.beasts.sample import draw_sample
    from bestiary.display import Display

    faults = {
        "label_noise": label_noise,
        "near_duplicates": near_duplicates,
        "corrupt": corrupt,
        "unknown": unknown,
    }
    with Display(quiet).counter("Drawing beasts") as tick:
        if cameras is not None:
            _check_no_faults(faults)
            return draw_cameras(
                Path(directory),
                cameras,
                species=species,
                per_species=per_species,
                size=size if size is not None else DEFAULT_SIZE,
                seed=seed,
                progress=tick,
            )
        return draw_sample(
            Path(directory),
            species=species,
            per_species=per_species,
            size=size if size is not None else BEAST_SIZE,
            seed=seed,
            progress=tick,
            **faults,
        )


def _check_no_faults(faults: dict[str, float]) -> None:
    """Refuse faults with cameras."""
    from bestiary.errors import ArgumentError

    for name, share in faults.items():
        if share:
            option = name.replace("_", "-")
            raise ArgumentError(
                f"--{option} {share}: is planted among class folders, not among the images of "
                "cameras; leave it or --cameras out"
            )
