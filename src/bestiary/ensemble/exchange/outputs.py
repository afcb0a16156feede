"""The files for others that a prediction is asked for: checked before it, written after it."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.ensemble.exchange.answers import Classifier
from bestiary.ensemble.exchange.camtrap_dp import write_camtrap_dp
from bestiary.ensemble.exchange.darwin_core import write_darwin_core
from bestiary.ensemble.exchange.sidecars import check_taggable, write_sidecars
from bestiary.ensemble.exchange.sorting import check_sortable, sort_images
from bestiary.ensemble.exchange.timelapse import write_timelapse
from bestiary.errors import ArgumentError
from bestiary.printable import printable_name
from bestiary.storage.files import Root
from bestiary.tables import check_suffix


@dataclass(frozen=True, slots=True)
class Outputs:
    """What else is written of predictions.

    Attributes:
        timelapse: JSON file in MegaDetector's format; None: not written, as for the others.
        camtrap_dp: Folder of a Camtrap DP.
        darwin_core: CSV file of Darwin Core occurrences.
        sort: Folder to sort images into.
        copies: Whether images are sorted as copies; otherwise as links.
        tag: Whether each image gets an XMP sidecar.
    """

    timelapse: Path | None = None
    camtrap_dp: Path | None = None
    darwin_core: Path | None = None
    sort: Path | None = None
    copies: bool = False
    tag: bool = False

    @classmethod
    def of(
        cls,
        timelapse: str | Path | None,
        camtrap_dp: str | Path | None,
        darwin_core: str | Path | None,
        sort: str | Path | None,
        *,
        copies: bool,
        tag: bool,
    ) -> "Outputs":
        """What the options of `predict` ask for; see the attributes."""

        def path(place: str | Path | None) -> Path | None:
            return None if place is None else Path(place)

        return cls(path(timelapse), path(camtrap_dp), path(darwin_core), path(sort), copies, tag)

    @property
    def first(self) -> str:
        """The first option that is asked for; empty: none is."""
        options = {
            "--timelapse": self.timelapse,
            "--camtrap-dp": self.camtrap_dp,
            "--darwin-core": self.darwin_core,
            "--sort": self.sort,
            "--tag": self.tag or None,
        }
        return next((name for name, place in options.items() if place is not None), "")

    def check(self) -> None:
        """Refuse names that cannot be meant, before time is spent.

        Raises:
            ArgumentError: A file has another suffix, or --copy stands alone.
        """
        if self.timelapse is not None:
            check_suffix("--timelapse", self.timelapse, [".json"])
        if self.darwin_core is not None:
            check_suffix("--darwin-core", self.darwin_core, [".csv"])
        if self.copies and self.sort is None:
            raise ArgumentError("--copy: says how --sort DIR sorts; add it, or leave --copy out")
        if self.camtrap_dp is not None and self.camtrap_dp.is_file():
            raise ArgumentError(f"--camtrap-dp {self.camtrap_dp}: is a file; name a folder")

    def check_root(self, root: Root) -> None:
        """Refuse folders that do not fit the images, before these are predicted.

        Args:
            root: Folder of the images.

        Raises:
            ArgumentError: `sort` has files or lies in the folder of the images, or these are in a
                store.
        """
        if self.sort is not None:
            check_sortable(self.sort, root)
        if self.tag:
            check_taggable(root)

    def write(
        self, predictions: pl.DataFrame, root: Root, classifier: Classifier, boxes: Path | None
    ) -> list[str]:
        """Write what is asked for.

        Args:
            predictions: As `predict` writes them.
            root: Folder that their paths start from.
            classifier: What has classified.
            boxes: File that the boxes are from; None: there is none.

        Returns:
            What was written and assumed, one line each.

        Raises:
            DataError: No image has what a format requires.
            BestiaryError: A file cannot be written.
        """
        lines = []
        if self.timelapse is not None:
            write_timelapse(self.timelapse, predictions, root, classifier, boxes)
            lines.append(f"For Timelapse and AddaxAI: {printable_name(self.timelapse)}")
        if self.darwin_core is not None:
            write_darwin_core(self.darwin_core, predictions, root, classifier)
            lines.append(f"Darwin Core: {printable_name(self.darwin_core)}")
        if self.camtrap_dp is not None:
            lines += write_camtrap_dp(self.camtrap_dp, predictions, root, classifier)
            lines.append(
                f"Camtrap DP: {printable_name(self.camtrap_dp / 'datapackage.json')}; fill in "
                f"title, contributors and project there"
            )
        if self.sort is not None:
            counts = sort_images(self.sort, predictions, root, copies=self.copies)
            numbers = ", ".join(f"{count:,} {name}" for name, count in counts.items())
            kind = "copies" if self.copies else "links"
            lines.append(f"Sorted as {kind} in {printable_name(self.sort)}: {numbers}")
        if self.tag:
            n_written, n_left = write_sidecars(predictions, root, classifier)
            lines.append(f"Tagged: {n_written:,} sidecars (.xmp) next to the images")
            if n_left:
                lines.append(f"{n_left:,} sidecars of other programs are left as they are")
        return lines
