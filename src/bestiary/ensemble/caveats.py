"""What a reader of predictions should know: members that are missing, images that were trained on.

Answers for images that a run was trained on flatter it. A run whose folds have not all ended
answers with fewer members, and without calibration. Knows nothing of how answers are made.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.ensemble.ensemble import Ensemble
from bestiary.numbers import count, counted
from bestiary.printable import printable_name, shell_name
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.storage.boxes import BoxFile, BoxFolder
from bestiary.storage.files import Root


def missing_members(run: Run, ensemble: Ensemble) -> str:
    """Say which members of a run are missing in its ensemble.

    Args:
        run: the run.
        ensemble: of the folds that have ended.

    Returns:
        One line; empty if none is missing.
    """
    folds = run.fold_numbers()
    missing = [fold for fold in folds if fold not in ensemble.folds]
    if not missing:
        return ""
    names = ", ".join(map(str, missing))
    noun = "fold" if len(missing) == 1 else "folds"
    uncalibrated = "" if ensemble.calibration else ", confidence is not calibrated"
    return (
        f"{len(ensemble.folds)} of {counted(len(folds), 'member')}: {noun} {names} not trained "
        f"yet{uncalibrated}; go on with bestiary train DATA {shell_name(run.place)} --resume"
    )


def nothing_sure(ensemble: Ensemble, risk: float) -> str:
    """Say that no answer counts as sure, where too few labeled images support a promise.

    Args:
        ensemble: of a run.
        risk: largest share of errors among sure answers.

    Returns:
        One line; empty if some confidence is enough, or nothing is calibrated.
    """
    accepted = ensemble.calibration.accepted if ensemble.calibration else {}
    if accepted.get(risk, 0.0) <= 1:
        return ""
    larger = [other for other, least in accepted.items() if other > risk and least <= 1]
    remedy = f"--risk {min(larger):g} can be promised" if larger else "label more images"
    return (
        f"No answer counts as sure, however confident: too few out-of-fold answers are right to "
        f"promise that at most {100 * risk:g} % are wrong; {remedy}"
    )


@dataclass(frozen=True)
class TrainedFiles:
    """The files that a run was trained on.

    Attributes:
        digests: SHA-256 of each file, hexadecimal.
        sizes: of the files in bytes; others need not be read to be told apart.
        has_boxes: whether it was trained on boxes in images.
    """

    digests: frozenset[str]
    sizes: frozenset[int]
    has_boxes: bool = False

    @classmethod
    def of(cls, run: Run) -> "TrainedFiles":
        """Read them from a run's manifest.

        Args:
            run: the run.

        Raises:
            DamagedError: the manifest is missing or changed.
        """
        manifest = run.read_table(MANIFEST)
        sizes: list[int] = []
        if "size_bytes" in manifest.columns:
            sizes = manifest["size_bytes"].cast(pl.Int64, strict=False).to_list()
        has_boxes = "box" in manifest.columns and manifest["box"].null_count() < manifest.height
        return cls(frozenset(manifest["sha256"]), frozenset(sizes), has_boxes)

    def __contains__(self, file: object) -> bool:
        """Whether a file of this machine has the bytes of one that the run was trained on."""
        with suppress(OSError, ValueError):  # it is told when the image is read
            if isinstance(file, BoxFile) and file.size_bytes in self.sizes:
                return hashlib.sha256(file.read_bytes()).hexdigest() in self.digests
            if isinstance(file, Path) and file.stat().st_size in self.sizes and file.is_file():
                with file.open("rb") as stream:
                    return hashlib.file_digest(stream, "sha256").hexdigest() in self.digests
        return False

    def describe_boxes(self, root: Root) -> str:
        """Say that whole images are predicted by a run of boxes, or the other way round.

        Args:
            root: folder that the paths of the images start from.

        Returns:
            One line; empty if the run was trained on such images.
        """
        if self.has_boxes == isinstance(root, BoxFolder):
            return ""
        if self.has_boxes:
            return (
                "This run was trained on boxes in images, and whole images are predicted, where it "
                "is less accurate; name the file of their boxes in the place of the images"
            )
        return "This run was trained on whole images, and boxes in images are predicted"

    def describe(self, root: Root, paths: Iterable[str]) -> str:
        """Say how many of some images the run was trained on.

        Args:
            root: folder that the paths start from. Images in an object store are not compared.
            paths: of the images.

        Returns:
            One line; empty if there is none.
        """
        seen = [path for path in paths if root / path in self]
        if not seen:
            return ""
        images = count(len(seen), "image was", "images were")
        return (
            f"{images} used to train this run (first {printable_name(seen[0])}): the answers for "
            "them flatter it"
        )
