"""The verb `sample`: draw a synthetic dataset of invented beasts into class folders."""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location

if TYPE_CHECKING:
    from bestiary.beasts.sample import SampleSummary


def sample(
    directory: Location,
    /,
    *,
    species: int = 20,
    per_species: int = 40,
    size: int = 160,
    seed: int = 0,
    label_noise: float = 0.0,
    near_duplicates: float = 0.0,
    corrupt: float = 0.0,
    unknown: float = 0.0,
    quiet: bool = False,
) -> "SampleSummary":
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
        Long side of an image in pixels, 32 to 1024.
    seed
        Seed of the drawings. The same seed draws the same images.
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
    from bestiary.beasts.sample import draw_sample
    from bestiary.display import Display

    with Display(quiet).counter("Drawing beasts") as tick:
        return draw_sample(
            Path(directory),
            species=species,
            per_species=per_species,
            size=size,
            seed=seed,
            label_noise=label_noise,
            near_duplicates=near_duplicates,
            corrupt=corrupt,
            unknown=unknown,
            progress=tick,
        )
