"""An image -> its explanation: a saliency mask, and the most similar training images.

Similarity is the cosine between members' logits, scaled and whitened as in `bestiary.stats.ood`.
Each training image is compared through the one member that was not trained on it. So both images
are new to that network, and the out-of-fold logits that every finished run keeps are all it takes.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, decode, read_unchanged
from bestiary.data.eval_view import EvalView
from bestiary.data.thumbnails import pixels_uri
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import light_mask, saliency
from bestiary.errors import BestiaryError, ImageError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.images import UNKNOWN_REASON, UnknownRoot
from bestiary.run.run import Run
from bestiary.stats.ood import OodDetector
from bestiary.storage.files import Root

SIMILAR_IMAGES = 3  # that an explanation shows
MAX_LOGITS = 250_000_000  # logits of the training images in memory: 1 GB as float32
MASK_SIDE = 320  # pixels of the mask's long side; saliency is coarser than that
THUMBNAIL_SIDE = 240
EXAMPLES = 3  # training images to try the service with
EXAMPLE_SIDE = 480
MIN_NORM = 1e-12


class TrainingImage(NamedTuple):
    """A training image.

    Attributes:
        path: path below the folder of the images.
        label: class name.
        sha256: digest of the file that the run was trained on.
        duplicate_group: number that all duplicates of one image share.
    """

    path: str
    label: str
    sha256: str
    duplicate_group: int


class SimilarImage(NamedTuple):
    """A similar training image.

    Attributes:
        label: class name.
        path: path below the folder of the images.
        uri: thumbnail as a data URI; None: the file is gone or has changed.
    """

    label: str
    path: str
    uri: str | None


@dataclass(frozen=True, slots=True)
class ImageExplanation:
    """Why the ensemble gives an image its label.

    Attributes:
        label: the likeliest class.
        mask: data URI of a PNG to lay over the image; None: the networks have no maps.
        similar: training images, most similar first; None: the run cannot tell.
        trained_on: path of the training image that has the same bytes; None: there is none, or the
            run cannot tell.
    """

    label: str
    mask: str | None
    similar: list[SimilarImage] | None
    trained_on: str | None = None


@dataclass(frozen=True, slots=True)
class SimilarImages:
    """An index of a run's training images by the direction of their out-of-fold logits.

    Attributes:
        root: folder of the images.
        images: the images.
        members: index of the member that was not trained on each image (images,).
        detector: scales and whitening of the logits.
        center: mean of the whitened logits (classes,).
        directions: whitened logits minus the center, of length 1 (images, classes).
    """

    root: Root
    images: list[TrainingImage]
    members: NDArray[np.int64]
    detector: OodDetector
    center: NDArray[np.float64]
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, run: Run, ensemble: Ensemble) -> Self:
        """Index the training images of a run.

        Args:
            run: the run.
            ensemble: ensemble of the run.

        Raises:
            BestiaryError: the run is not finished, not calibrated or damaged, or its images are
                gone.
        """
        if ensemble.ood is None:
            raise BestiaryError("the run is not finished, so that it knows no out-of-fold logits")
        snapshot = run.load()
        if isinstance(snapshot.root, UnknownRoot):
            raise BestiaryError(UNKNOWN_REASON)
        if not snapshot.root.is_dir():
            raise BestiaryError("the folder of the training images is not there any more")
        n_logits = snapshot.manifest.height * len(ensemble.classes_)
        if n_logits > MAX_LOGITS:
            raise BestiaryError(
                f"the run has too many images and classes to look among ({n_logits:,} logits)"
            )
        out_of_fold = read_out_of_fold(snapshot)
        folds, members = np.unique(out_of_fold.folds, return_inverse=True)
        if len(folds) != len(ensemble.members):
            raise BestiaryError("the members are not those of the run's folds")
        return cls.from_logits(
            snapshot.root,
            _training_images(out_of_fold.table),
            members.astype(np.int64),
            ensemble.ood,
            out_of_fold.logits,
        )

    @classmethod
    def from_logits(
        cls,
        root: Root,
        images: list[TrainingImage],
        members: NDArray[np.int64],
        detector: OodDetector,
        logits: NDArray[np.floating[Any]],
    ) -> Self:
        """Index images by their logits.

        Args:
            root: see the attributes, likewise the next three.
            images: the images.
            members: index of the member of each image.
            detector: scales and whitening.
            logits: logits of each image by its member (images, classes).
        """
        scales = detector.scales[members][:, None]
        whitened = (logits / scales) @ detector.whitening
        center = whitened.mean(axis=0)
        directions = _unit_rows(whitened - center).astype(np.float32)
        return cls(root, images, members, detector, center, directions)

    def nearest(self, logits: NDArray[np.float32]) -> list[SimilarImage]:
        """Find the most similar training images; of duplicates, only the most similar one.

        Args:
            logits: logits of an image (members, 1, classes).

        Returns:
            `SIMILAR_IMAGES` images, most similar first.
        """
        scales = self.detector.scales[:, None]
        whitened = (logits[:, 0] / scales) @ self.detector.whitening
        query = _unit_rows(whitened - self.center).astype(np.float32)
        cosines = self.directions @ query.T  # (images, members)
        similarity = cosines[np.arange(len(self.images)), self.members]

        nearest: dict[int, SimilarImage] = {}
        for row in np.argsort(-similarity, kind="stable"):
            image = self.images[row]
            if image.duplicate_group not in nearest:
                uri = self._thumbnail(image)
                nearest[image.duplicate_group] = SimilarImage(image.label, image.path, uri)
            if len(nearest) == SIMILAR_IMAGES:
                break
        return list(nearest.values())

    def examples(self) -> list[SimilarImage]:
        """Choose images of different classes to try the service with.

        Returns:
            Up to `EXAMPLES` images that are still there, as they were trained on.
        """
        by_label: dict[str, TrainingImage] = {}
        for image in self.images:
            by_label.setdefault(image.label, image)
        classes = list(by_label.values())
        count = min(EXAMPLES, len(classes))
        chosen = [classes[index * len(classes) // count] for index in range(count)]
        shown = [(image, self._thumbnail(image, EXAMPLE_SIDE)) for image in chosen]
        return [SimilarImage(image.label, image.path, uri) for image, uri in shown if uri]

    def trained_on(self, content: bytes) -> str | None:
        """Find the training image with the same bytes.

        Args:
            content: bytes of a file.

        Returns:
            Its path; None if there is none.
        """
        digest = hashlib.sha256(content).hexdigest()
        return next((image.path for image in self.images if image.sha256 == digest), None)

    def _thumbnail(self, image: TrainingImage, side: int = THUMBNAIL_SIDE) -> str | None:
        """Read the image that the run was trained on; None if it is gone or has changed."""
        try:
            content = read_unchanged(self.root / image.path, image.sha256)
            return pixels_uri(decode(content, min_side=side, white=None), side)
        except ImageError:
            return None


def _training_images(table: pl.DataFrame) -> list[TrainingImage]:
    """List the images of a manifest, with their duplicate groups as numbers."""
    names = [
        duplicate_group or sha256
        for duplicate_group, sha256 in table.select("duplicate_group", "sha256").iter_rows()
    ]
    groups = np.unique(names, return_inverse=True)[1].tolist()
    rows = table.select("path", "label", "sha256").iter_rows()
    return [
        TrainingImage(path, label, sha256, group)
        for (path, label, sha256), group in zip(rows, groups, strict=True)
    ]


def _unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each row to length 1."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, MIN_NORM))


def explain_image(
    ensemble: Ensemble, training: SimilarImages | None, content: bytes
) -> ImageExplanation:
    """Explain the likeliest class of an image.

    Args:
        ensemble: the ensemble.
        training: index of the training images; None: none are shown.
        content: bytes of the file.

    Returns:
        Label, saliency mask and similar training images.

    Raises:
        ImageError: the image cannot be read.
    """
    pixels = ensemble.view.decode(content)
    (batch,) = ensemble.iter_logits([pixels])
    label = int(ensemble.probabilities(batch.logits)[0].argmax())

    view = ensemble.view(pixels)
    maps = [saliency(member, [view], [label]) for member in ensemble.members]
    heats = [member_maps[0] for member_maps in maps if member_maps is not None]
    mask = saliency_mask(pixels, ensemble.view, np.mean(heats, axis=0)) if heats else None

    similar = training.nearest(batch.logits) if training else None
    trained_on = training.trained_on(content) if training else None
    return ImageExplanation(str(ensemble.classes_[label]), mask, similar, trained_on)


def saliency_mask(pixels: Pixels, view: EvalView, heat: NDArray[np.floating[Any]]) -> str:
    """Draw a mask to lay over an image: dark where the heat is low, in warm light where it is high.

    What lies outside the view, which the network never sees, is as dark as it gets.

    Args:
        pixels: the image (height, width, 3).
        view: how the image becomes the network's input.
        heat: saliency (size, size), 0 to 1.

    Returns:
        Data URI of a PNG with the image's aspect ratio.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, MASK_SIDE / max(height, width))
    mask_height = max(1, round(height * scale))
    mask_width = max(1, round(width * scale))

    # Place the heat where the view lies in the image.
    top, left, box_height, box_width = view.box(mask_height, mask_width)
    box_shape = (box_width, box_height)
    box = cv2.resize(heat.astype(np.float32), box_shape, interpolation=cv2.INTER_LINEAR)
    light = np.zeros((mask_height, mask_width), np.float32)
    light[top : top + box_height, left : left + box_width] = box.clip(0, 1)

    return _png_uri(light_mask(light))


def _png_uri(pixels: NDArray[np.uint8]) -> str:
    png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))[1].tobytes()
    return "data:image/png;base64," + base64.b64encode(png).decode()
