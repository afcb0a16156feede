"""An image -> where the members looked, as a mask to lay over it, and the training images that are
most like it.

Likeness is the cosine between members' logits, brought to one spread and whitened as
`bestiary.stats.ood` does. Each training image is compared through the one member that has not been
trained on it: both images are new to that network, which needs nothing but the out-of-fold logits
that every finished run keeps.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.thumbnails import pixels_uri
from bestiary.data.views import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import saliency
from bestiary.errors import BestiaryError, ImageError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.stats.ood import OodDetector
from bestiary.storage.files import Root

NEAREST = 3
MOST_NUMBERS = 250_000_000  # of logits that are held to look among: a gigabyte
MASK_SIDE = 320  # pixels of the long side; heat is coarser than that
DARK = 0.72  # opacity where nothing spoke for the class
IMAGE_SIDE = 240


@dataclass(frozen=True, slots=True)
class Explained:
    """Why an image is taken for what it is.

    Attributes:
        label: the likeliest class.
        mask: data URI of a PNG to lay over the image; None where the networks have no maps.
        similar: label, path, and data URI or None, nearest first; None where the run cannot tell.
    """

    label: str
    mask: str | None
    similar: list[tuple[str, str, str | None]] | None


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """The training images of a run as the members saw them that were not trained on them.

    Attributes:
        root: folder of the images.
        rows: path, label, digest and a number that copies share, of each image.
        members: which member saw each image (images,).
        known: the scales and the whitening.
        center: mean of the whitened logits (classes,).
        directions: of each image's whitened logits from the center, of length 1 (images, classes).
    """

    root: Root
    rows: list[tuple[str, str, str, int]]
    members: NDArray[np.int64]
    known: OodDetector
    center: NDArray[np.float64]
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, run: Run, ensemble: Ensemble) -> Self:
        """Those of `run`.

        Raises:
            BestiaryError: the run has not ended, is not calibrated or not whole, or its images are
                not there.
        """
        if ensemble.known is None:
            raise BestiaryError("the run is not finished, so that it knows no out-of-fold logits")
        if not run.read_root().is_dir():
            raise BestiaryError("the folder of the training images is not there any more")
        numbers = run.read_table(MANIFEST).height * len(ensemble.classes_)
        if numbers > MOST_NUMBERS:
            raise BestiaryError(
                f"the run has too many images and classes to look among ({numbers:,} logits)"
            )
        found = read_out_of_fold(run)
        table = found.table
        folds, members = np.unique(found.folds, return_inverse=True)
        if len(folds) != len(ensemble.members):
            raise BestiaryError("the members are not those of the run's folds")
        names = [
            copies or digest
            for copies, digest in table.select("duplicate_group", "sha256").iter_rows()
        ]
        groups = np.unique(names, return_inverse=True)[1].tolist()
        info = table.select("path", "label", "sha256").iter_rows()
        rows = [
            (path, label, digest, group)
            for (path, label, digest), group in zip(info, groups, strict=True)
        ]
        return cls.at(run.read_root(), rows, members.astype(np.int64), ensemble.known, found.logits)

    @classmethod
    def at(
        cls,
        root: Root,
        rows: list[tuple[str, str, str, int]],
        members: NDArray[np.int64],
        known: OodDetector,
        logits: NDArray[np.floating[Any]],
    ) -> Self:
        """As the attributes, with the `logits` (images, classes) that each image's member gave
        it.
        """
        places = (logits / known.scales[members][:, None]) @ known.whitening
        center = places.mean(axis=0)
        return cls(
            root, rows, members, known, center, _directions(places - center).astype(np.float32)
        )

    def nearest(self, logits: NDArray[np.float32]) -> list[tuple[str, str, str | None]]:
        """Label, path, and small image or None, of the nearest to an image of `logits` (members, 1,
        classes).

        Of copies of one image the nearest stands for all.
        """
        seen = (logits[:, 0] / self.known.scales[:, None]) @ self.known.whitening
        cosines = (
            self.directions @ _directions(seen - self.center).astype(np.float32).T
        )  # (images, members)
        likeness = cosines[np.arange(len(self.rows)), self.members]
        found: dict[int, tuple[str, str, str | None]] = {}
        for row in np.argsort(-likeness, kind="stable"):
            path, label, digest, group = self.rows[row]
            if group not in found:
                found[group] = (label, path, self._image(path, digest))
            if len(found) == NEAREST:
                break
        return list(found.values())

    def _image(self, path: str, digest: str) -> str | None:
        """The image that the run was trained on, or None where another, or none, has taken its
        place.
        """
        try:
            content = read_image(self.root / path)
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            return pixels_uri(decode(content, min_side=IMAGE_SIDE), IMAGE_SIDE)
        except ImageError:
            return None


def _directions(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows of `places`, brought to length 1."""
    return np.asarray(places / np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12))


def explain(ensemble: Ensemble, training: TrainingImages | None, content: bytes) -> Explained:
    """Why the image in the file's bytes `content` is taken for what it is.

    Raises:
        ImageError: it cannot be read.
    """
    pixels = decode(content, min_side=ensemble.view.min_side)
    (scored,) = ensemble.score([pixels])
    label = int(ensemble.probabilities(scored.logits)[0].argmax())
    view = ensemble.view(pixels)
    heats = [saliency(member, [view], [label]) for member in ensemble.members]
    maps = [heat[0] for heat in heats if heat is not None]
    mask = mask_over(pixels, ensemble.view, np.mean(maps, axis=0)) if maps else None
    return Explained(
        str(ensemble.classes_[label]),
        mask,
        training.nearest(scored.logits) if training else None,
    )


def mask_over(pixels: Pixels, view: EvalView, heat: NDArray[np.floating[Any]]) -> str:
    """A PNG of the shape of `pixels` to lay over them: dark where `heat` (size, size), 0 to 1, is
    low.

    What lies outside of the view, which the network never sees, is as dark as it gets.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, MASK_SIDE / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    light = np.zeros(shape, np.float32)
    top, left, box_height, box_width = view.box(*shape)
    shown = cv2.resize(
        heat.astype(np.float32), (box_width, box_height), interpolation=cv2.INTER_LINEAR
    )
    light[top : top + box_height, left : left + box_width] = shown.clip(0, 1)
    mask = np.zeros((*shape, 4), np.uint8)
    mask[..., 3] = np.rint(255 * DARK * (1 - light))
    return (
        "data:image/png;base64,"
        + base64.b64encode(cv2.imencode(".png", mask)[1].tobytes()).decode()
    )
