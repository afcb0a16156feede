"""The images of a run, each compared with its digest in the manifest before its bytes are given.

What is shown, embedded or measured of a run is what the run was trained on, or nothing: an image
that has changed since, or that was never the run's, is not shown. Knows nothing of what the bytes
mean.
"""

import hashlib
from dataclasses import dataclass

import polars as pl

from bestiary.printable import place_name
from bestiary.storage.files import Readable, Root, read_file

UNKNOWN_CAUSE = (
    "the run was not begun by you on this machine, and a run names no place to read from"
)
UNKNOWN_REASON = f"{UNKNOWN_CAUSE}; add --data FOLDER, the folder of its images"
MISSING = 2  # the error number of a file that does not exist
CHANGED = 5  # that of a file that cannot be read


@dataclass(frozen=True, slots=True)
class UnknownRoot:
    """The folder of a run's images where the user has not named it: no image can be read."""

    def __str__(self) -> str:
        return "DATA"

    def __truediv__(self, path: str, /) -> "UnknownFile":
        return UnknownFile(path)

    def is_dir(self) -> bool:
        """Return False: there is no folder."""
        return False

    def resolve(self) -> "UnknownRoot":
        """Return the root itself."""
        return self


@dataclass(frozen=True, slots=True)
class UnknownFile:
    """An image whose folder is unknown."""

    path: str

    def __str__(self) -> str:
        return self.path

    def read_bytes(self) -> bytes:
        """Raise FileNotFoundError."""
        raise FileNotFoundError(MISSING, "the folder of the run's images is not known")

    def is_file(self) -> bool:
        """Return False."""
        return False


class RunImages:
    """A folder of images that gives only those of a run, as the run was trained on them.

    Args:
        root: the folder that the paths start from.
        manifest: has the columns path and sha256.

    Attributes:
        root: the same.
        changed: paths of the images that were asked for and have changed.
        missing: paths of the images that were asked for and cannot be read.
    """

    def __init__(self, root: Root, manifest: pl.DataFrame) -> None:
        self.root = root
        self.changed: set[str] = set()
        self.missing: set[str] = set()
        self._digests = manifest.select("path", "sha256").sort("path")

    def __str__(self) -> str:
        return str(self.root)

    def __truediv__(self, path: str, /) -> Readable:
        return RunImage(self, path)

    def is_dir(self) -> bool:
        """Return whether the folder exists."""
        return self.root.is_dir()

    def resolve(self) -> "RunImages":
        """Return the folder itself."""
        return self

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of an image in the manifest; None where it has no such image."""
        paths = self._digests["path"]
        row = int(paths.search_sorted(path))
        if row == len(paths) or paths[row] != path:
            return None
        return str(self._digests["sha256"][row])

    @property
    def notice(self) -> str:
        """Why images are shown by name only, in one line; empty where all were read."""
        if isinstance(self.root, UnknownRoot):
            return f"The run's images are left out: {UNKNOWN_REASON}" if self.missing else ""
        reasons = []
        if self.changed:
            reasons.append(f"{len(self.changed):,} have changed since the run was begun")
        if self.missing:
            reasons.append(f"{len(self.missing):,} cannot be read")
        if not reasons:
            return ""
        return f"{place_name(self.root)}: images of the run are left out: {', '.join(reasons)}"


@dataclass(frozen=True, slots=True)
class RunImage:
    """One image of a run."""

    images: RunImages
    path: str

    def __str__(self) -> str:
        return f"{self.images}/{self.path}"

    def read_bytes(self) -> bytes:
        """Read the image that the run was trained on.

        Raises:
            OSError: it is gone, or has changed since.
        """
        try:
            content = read_file(self.images.root / self.path)
        except OSError:
            self.images.missing.add(self.path)
            raise
        if hashlib.sha256(content).hexdigest() != self.images.digest(self.path):
            self.images.changed.add(self.path)
            raise OSError(CHANGED, "has changed since the run was begun")
        return content

    def is_file(self) -> bool:
        """Return whether the file exists, changed or not."""
        return (self.images.root / self.path).is_file()
