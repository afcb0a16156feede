"""A run directory -> one predictor of images with scikit-learn's verbs.

All members see one decode and one view of each image, batch by batch. Knows nothing of training;
meets it only in the run directory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bestiary.data.decode import Pixels, decode, read_image, to_pixels
from bestiary.data.loader import load_batches, loader_threads, split_batches
from bestiary.data.views import EvalView
from bestiary.ensemble.card import check_card
from bestiary.errors import ArgumentError, ImageError, RunError
from bestiary.model.classifier import Classifier, load_member, memory_format
from bestiary.model.compute import best_device, resolve_precision
from bestiary.model.engine import Engine, build_network, cached_graph
from bestiary.model.tensor_file import checksum
from bestiary.model.tta import TtaViews, input_side, with_tta
from bestiary.run.layout import ENSEMBLE, FORMAT, OOD
from bestiary.run.ood import read_ood
from bestiary.run.run import Run
from bestiary.stats.averaging import Average, average
from bestiary.stats.calibration import Calibration
from bestiary.stats.ood import OodDetector
from bestiary.storage.files import Readable, StoredFile, is_address

BATCH = 32
ImageInput = str | Readable | bytes | Image.Image | Pixels


@dataclass(frozen=True, slots=True)
class BatchLogits:
    """A batch of images as the members see it.

    Attributes:
        rows: places of the images in what was asked for, (n,).
        logits: (members, n, classes).
        reasons: for the images that cannot be decoded, place -> reason; their logits mean nothing.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    reasons: dict[int, str]


class Ensemble:
    """The members of a run as one classifier.

    Args:
        members: classifiers in eval mode, all with the same outputs.
        classes: class names in the order of the outputs.
        view: how an image becomes the members' input.
        average: how members are put together, unless a call says otherwise.
        tta: how many views of each image are averaged, see `bestiary.model.tta`.
        precision: arithmetic of the networks, or auto.
        device: where to compute; by default the GPU if there is one.
        calibration: what out-of-fold predictions say of the members' confidence; None where that is
            not known.
        known: where they say that the known classes lie; None likewise.
        engine: what runs the networks, see `bestiary.model.engine`.
        graphs: for each member what tells the file that keeps its graph, for engines that need one.

    Attributes:
        classes_: class names, (classes,), in the order of `predict_proba`'s columns.
        engine: what runs the networks, in words.
        refused: why a faster engine was not taken, where one was tried; empty else.

    Raises:
        ArgumentError: the engine asked for cannot run the networks here.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        classes: Sequence[str],
        view: EvalView,
        *,
        average: Average = "logits",
        tta: TtaViews = 1,
        precision: Any = "auto",
        device: str | torch.device | None = None,
        calibration: Calibration | None = None,
        known: OodDetector | None = None,
        engine: Engine = "auto",
        graphs: Sequence[Callable[[], Path] | None] | None = None,
    ) -> None:
        self.device = torch.device(device) if device else best_device()
        self.members = [
            m.to(self.device).to(memory_format=memory_format(True)).eval() for m in members
        ]
        self.classes_ = np.array(classes)
        self.view = view
        self.average = average
        self.tta = tta
        self.precision = resolve_precision(precision, self.device)
        self.calibration = calibration
        self.known = known
        built = [
            build_network(member, view.size, self.device, self.precision, engine=engine, kept=graph)
            for member, graph in zip(
                self.members, graphs or [None] * len(self.members), strict=True
            )
        ]
        self.engine = ", ".join(dict.fromkeys(b.engine for b in built))
        self.refused = next((b.refused for b in built if b.refused), "")
        self._networks = [with_tta(b.run, tta) for b in built]

    @classmethod
    def load(
        cls,
        run: str | Path | Run,
        device: str | torch.device | None = None,
        engine: Engine = "auto",
        tta: TtaViews | None = None,
    ) -> "Ensemble":
        """The ensemble of a run directory, with those members that are trained; `tta` None: as its
        recipe says.

        Raises:
            RunError: no run, or none of its folds has ended, or a file of it is damaged.
        """
        run = run if isinstance(run, Run) else Run.open(run)
        card = run.read_json(ENSEMBLE)
        if card.get("format") != FORMAT:
            raise RunError(
                f"{run.place}: ensemble.json has format {card.get('format')!r}, this bestiary "
                f"reads {FORMAT}; "
                "update bestiary"
            )
        check_card(card, run.place)
        try:
            files = [run.fold(int(m["fold"])).weights for m in card["members"]]
            members = [load_member(file) for file in files]
            view, classes = EvalView(**card["view"]), [str(name) for name in card["classes"]]
            options = {key: card[key] for key in ("average", "tta", "precision")}
            options["tta"] = tta or options["tta"]
            calibration = Calibration.read(card["calibration"]) if "calibration" in card else None
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{run.place}: ensemble.json is not of bestiary's making ({error!r})"
            ) from None
        for member in members:
            if member.head_layer.out_features != len(classes):
                raise RunError(
                    f"{run.place}: a member has {member.head_layer.out_features} outputs, not "
                    f"{len(classes)}"
                )
        if calibration and any(
            len(limits) != len(classes) for limits in calibration.class_prediction_sets.values()
        ):
            raise RunError(
                f"{run.place}: ensemble.json is not of bestiary's making (calibration.class_sets)"
            )
        known = read_ood(run.file(OOD), len(members), len(classes)) if calibration else None
        graphs = [partial(cached_graph, file, view.size) for file in files]
        return cls(
            members,
            classes,
            view,
            device=device,
            engine=engine,
            graphs=graphs,
            calibration=calibration,
            known=known,
            **options,
        )

    def predict_proba(
        self, images: ImageInput | Sequence[ImageInput] | NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Probabilities (images, classes), calibrated where the run is.

        Args:
            images: paths, the bytes of image files, PIL images or uint8 arrays (height, width, 3),
                one or several.

        Raises:
            ImageError: one of them cannot be decoded; its place and the reason are named.
            ArgumentError: something that is none of these.
        """
        items = _as_list(images)
        rows: list[NDArray[np.float64]] = [np.empty((0, len(self.classes_)))]
        for scored in self.score(items):
            for place, reason in scored.reasons.items():
                item = items[place]
                named = str(item) if isinstance(item, (str, Readable)) else f"image {place}"
                raise ImageError(f"{named}: {reason}")
            rows.append(self.probabilities(scored.logits))
        return np.concatenate(rows)

    def predict(
        self, images: ImageInput | Sequence[ImageInput] | NDArray[np.uint8]
    ) -> NDArray[np.str_]:
        """Class names (images,); takes and raises what `predict_proba` does."""
        return np.asarray(self.classes_[self.predict_proba(images).argmax(axis=1)])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what it is: weights, classes, view, precision and calibration."""
        card = {
            "classes": self.classes_.tolist(),
            "view": asdict(self.view),
            "precision": self.precision,
        }
        card |= {"calibration": self.calibration.to_json() if self.calibration else None}
        tensors = {
            f"{n}.{name}": t
            for n, member in enumerate(self.members)
            for name, t in member.state_dict().items()
        }
        return checksum(tensors, card)

    def probabilities(
        self, logits: NDArray[np.float32], rule: Average | None = None
    ) -> NDArray[np.float64]:
        """Probabilities (images, classes) of the members' `logits` (members, images, classes),
        calibrated.
        """
        rule = rule or self.average
        return (
            self.calibration.probabilities(logits, rule)
            if self.calibration
            else average(logits, rule)
        )

    @property
    def input_view(self) -> EvalView:
        """What an image becomes first: as large as the test-time views that are made of it ask
        for.
        """
        return replace(self.view, size=input_side(self.view.size, self.tta))

    def score(
        self, images: Sequence[ImageInput], tick: Callable[[int, int], None] | None = None
    ) -> Iterator[BatchLogits]:
        """The members' logits for each image, batch by batch, in order; `tick` is told (done,
        of).
        """
        reasons: dict[int, str] = {}
        seen = self.input_view

        def view_of(row: int) -> Pixels:
            try:
                return seen(_load(images[row], seen.min_side))
            except ImageError as error:
                reasons[row] = error.reason
                return np.zeros(
                    (seen.size, seen.size, 3), np.uint8
                )  # holds the place; never reported

        done = 0
        batches = split_batches(np.arange(len(images)), BATCH)
        for batch in load_batches(batches, view_of, loader_threads(self.device.type)):
            logits = np.stack([run(batch.views) for run in self._networks])
            yield BatchLogits(
                batch.rows, logits, {int(row): reasons[row] for row in batch.rows if row in reasons}
            )
            done += len(batch.rows)
            if tick:
                tick(done, len(images))


def _as_list(images: ImageInput | Sequence[ImageInput] | NDArray[np.uint8]) -> Sequence[ImageInput]:
    if isinstance(images, (str, Path, bytes, Image.Image)):
        return [images]
    if isinstance(images, np.ndarray):
        return [images] if images.ndim == 3 else list(images)
    return [images] if isinstance(images, Readable) else images


def _load(image: ImageInput, min_side: int) -> Pixels:
    if isinstance(image, str):
        image = StoredFile(image) if is_address(image) else Path(image)
    if isinstance(image, Readable):
        return decode(read_image(image), min_side=min_side)
    if isinstance(image, bytes):
        return decode(image, min_side=min_side)
    if isinstance(image, Image.Image):
        return to_pixels(image)
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
    ):
        return image
    what = (
        f"array {image.dtype} {image.shape}"
        if isinstance(image, np.ndarray)
        else type(image).__name__
    )
    raise ArgumentError(
        f"{what}: images are paths, bytes, PIL images or uint8 arrays (height, width, 3)"
    )
