"""The verbs on labelled pictures, before there is a run: sample, scan, shard."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestiary.api.arguments import Place

if TYPE_CHECKING:
    from bestiary.data.audit import Audit
    from bestiary.data.beasts import SampleSummary
    from bestiary.data.sharding import ShardSummary
else:  # the command line reads the annotations; what the verbs return is none of its business
    Audit = SampleSummary = ShardSummary = Any


def sample(
    directory: Place,
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
    """Draw a data set of invented beasts into class folders, with faults planted where asked.

    Parameters
    ----------
    directory
        New or empty folder for the pictures; truth.csv in it says what each picture is.
    species
        Number of classes, 2 to 100.
    per_species
        Pictures of each class.
    size
        Long side of a picture in pixels, 32 to 1024.
    seed
        The same seed draws the same pictures.
    label_noise
        Share of the pictures that lie in a wrong class folder, 0 to 0.5.
    near_duplicates
        Share of altered copies (re-encoded, resized, cropped, flipped, brightened) to add.
    corrupt
        Share of the files that are damaged.
    unknown
        Share of pictures of species that belong to no class to add, in DIRECTORY-unknown.
    quiet
        Show no progress.
    """
    from bestiary.data.beasts import draw_sample
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


def scan(data: Place, /, *, out: Place | None = None, quiet: bool = False) -> "Audit":
    """Look for what makes scores lie: unreadable and odd pictures, copies, conflicting labels, leaks, odd classes.

    train does the same before it deals the folds. Nothing in DATA is touched, and what was read once is remembered.
    Exit status: 0, or 1 when there are unusable files, copies with different labels or copies across the test split.

    Parameters
    ----------
    data
        Folder of class folders (or of train/, val/ and test/), or a table, as for train.
    out
        Folder for the findings: quarantine.csv, warnings.csv, copies.csv, classes.csv, and scan.html, a page that
        shows them with their pictures.
    quiet
        Show no progress.
    """
    from bestiary.atomic import write_text
    from bestiary.data.audit import audit_pictures
    from bestiary.data.listing import list_labelled, list_test
    from bestiary.display import Display
    from bestiary.report.scan_page import scan_page

    audit = audit_pictures(list_labelled(data), list_test(data), Display(quiet))
    if out is not None:
        audit.write(Path(out))
        write_text(Path(out) / "scan.html", scan_page(audit))
    return audit


def shard(data: Place, out: Place, /, *, megabytes: int = 256, quiet: bool = False) -> "ShardSummary":
    """Write pictures as tar shards (WebDataset's layout) that are read from beginning to end: for data beyond a disk.

    train, scan and shard take the folder of shards as DATA; a bounded number of shards is on the disk at a time. Exit
    status: 0, or 1 when there are pictures that cannot be read, which are left out.

    Parameters
    ----------
    data
        Folder of class folders, or a table, as for train; or the address of one, such as s3://bucket/pictures.
    out
        Folder or address for the shards and their index, where there are none yet.
    megabytes
        Size of a shard.
    quiet
        Show no progress.
    """
    from bestiary.data.listing import list_labelled, list_test
    from bestiary.data.sharding import write_shards
    from bestiary.display import Display
    from bestiary.errors import ArgumentError

    if megabytes < 1:
        raise ArgumentError(f"--megabytes {megabytes}: give 1 or more")
    return write_shards(list_labelled(data).with_test(list_test(data)), out, megabytes, Display(quiet))
