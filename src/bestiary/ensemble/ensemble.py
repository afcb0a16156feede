"""A run directory -> one predictor of pictures with scikit-learn's verbs.

All members see one decode and one view of each picture, batch by batch. Knows nothing of training; meets it only in
the run directory.
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

from bestiary.data.decode import Pixels, decode, read_picture, to_pixels
from bestiary.data.loader import load_batches, loader_threads, split_batches
from bestiary.data.views import EvalView
from bestiary.ensemble.card import check_card
from bestiary.errors import ArgumentError, PictureError, RunError
from bestiary.model.classifier import Classifier, load_member, memory_format
from bestiary.model.compute import best_device, resolve_precision
from bestiary.model.engine import Engine, build_network, kept_graph
from bestiary.model.tensor_file import checksum
from bestiary.model.tta import Views, averaged, side_for
from bestiary.run.layout import FORMAT
from bestiary.run.ood import read_ood
from bestiary.run.run import Run
from bestiary.stats.averaging import Average, average
from bestiary.stats.calibration import Calibration
from bestiary.stats.ood import Known
from bestiary.storage.files import Readable, StoredFile, is_address

BATCH = 32
Picture = str | Readable | bytes | Image.Image | Pixels


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch of pictures as the members see it.

    Attributes:
        rows: places of the pictures in what was asked for, (n,).
        logits: (members, n, classes).
        reasons: for the pictures that cannot be decoded, place -> reason; their logits mean nothing.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    reasons: dict[int, str]


class Ensemble:
    """The members of a run as one classifier.

    Args:
        members: classifiers in eval mode, all with the same outputs.
        classes: class names in the order of the outputs.
        view: how a picture becomes the members' input.
        average: how members are put together, unless a call says otherwise.
        views: how many views of each picture are averaged, see `bestiary.model.tta`.
        precision: arithmetic of the networks, or auto.
        device: where to compute; by default the GPU if there is one.
        calibration: what out-of-fold predictions say of the members' confidence; None where that is not known.
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
        views: Views = 1,
        precision: Any = "auto",
        device: str | torch.device | None = None,
        calibration: Calibration | None = None,
        known: Known | None = None,
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
        self.views = views
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
        self._networks = [averaged(b.run, views) for b in built]

    @classmethod
    def load(
        cls,
        run: str | Path | Run,
        device: str | torch.device | None = None,
        engine: Engine = "auto",
        views: Views | None = None,
    ) -> "Ensemble":
        """The ensemble of a run directory, with those members that are trained; `views` None: as its recipe says.

        Raises:
            RunError: no run, or none of its folds has ended, or a file of it is damaged.
        """
        run = run if isinstance(run, Run) else Run.open(run)
        card = run.read_json("ensemble.json")
        if card.get("format") != FORMAT:
            raise RunError(
                f"{run.place}: ensemble.json has format {card.get('format')!r}, this bestiary reads {FORMAT}; "
                "update bestiary"
            )
        check_card(card, run.place)
        try:
            files = [run.fold(int(m["fold"])).weights for m in card["members"]]
            members = [load_member(file) for file in files]
            view, classes = EvalView(**card["view"]), [str(name) for name in card["classes"]]
            options = {key: card[key] for key in ("average", "views", "precision")}
            options["views"] = views or options["views"]
            calibration = Calibration.read(card["calibration"]) if "calibration" in card else None
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{run.place}: ensemble.json is not of bestiary's making ({error!r})"
            ) from None
        for member in members:
            if member.head_layer.out_features != len(classes):
                raise RunError(
                    f"{run.place}: a member has {member.head_layer.out_features} outputs, not {len(classes)}"
                )
        if calibration and any(
            len(limits) != len(classes) for limits in calibration.class_sets.values()
        ):
            raise RunError(
                f"{run.place}: ensemble.json is not of bestiary's making (calibration.class_sets)"
            )
        known = (
            read_ood(run.file("known.safetensors"), len(members), len(classes))
            if calibration
            else None
        )
        graphs = [partial(kept_graph, file, view.size) for file in files]
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
        self, pictures: Picture | Sequence[Picture] | NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Probabilities (pictures, classes), calibrated where the run is.

        Args:
            pictures: paths, the bytes of picture files, PIL pictures or uint8 arrays (height, width, 3), one or
                several.

        Raises:
            PictureError: one of them cannot be decoded; its place and the reason are named.
            ArgumentError: something that is none of these.
        """
        items = _as_list(pictures)
        rows: list[NDArray[np.float64]] = [np.empty((0, len(self.classes_)))]
        for scored in self.score(items):
            for place, reason in scored.reasons.items():
                item = items[place]
                named = str(item) if isinstance(item, (str, Readable)) else f"picture {place}"
                raise PictureError(f"{named}: {reason}")
            rows.append(self.probabilities(scored.logits))
        return np.concatenate(rows)

    def predict(
        self, pictures: Picture | Sequence[Picture] | NDArray[np.uint8]
    ) -> NDArray[np.str_]:
        """Class names (pictures,); takes and raises what `predict_proba` does."""
        return np.asarray(self.classes_[self.predict_proba(pictures).argmax(axis=1)])

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
        """Probabilities (pictures, classes) of the members' `logits` (members, pictures, classes), calibrated."""
        rule = rule or self.average
        return (
            self.calibration.probabilities(logits, rule)
            if self.calibration
            else average(logits, rule)
        )

    @property
    def input_view(self) -> EvalView:
        """What a picture becomes first: as large as the test-time views that are made of it ask for."""
        return replace(self.view, size=side_for(self.view.size, self.views))

    def score(
        self, pictures: Sequence[Picture], tick: Callable[[int, int], None] | None = None
    ) -> Iterator[Scored]:
        """The members' logits for each picture, batch by batch, in order; `tick` is told (done, of)."""
        reasons: dict[int, str] = {}
        seen = self.input_view

        def view_of(row: int) -> Pixels:
            try:
                return seen(_load(pictures[row], seen.min_side))
            except PictureError as error:
                reasons[row] = error.reason
                return np.zeros(
                    (seen.size, seen.size, 3), np.uint8
                )  # holds the place; never reported

        done = 0
        batches = split_batches(np.arange(len(pictures)), BATCH)
        for batch in load_batches(batches, view_of, loader_threads(self.device.type)):
            logits = np.stack([run(batch.views) for run in self._networks])
            yield Scored(
                batch.rows, logits, {int(row): reasons[row] for row in batch.rows if row in reasons}
            )
            done += len(batch.rows)
            if tick:
                tick(done, len(pictures))


def _as_list(pictures: Picture | Sequence[Picture] | NDArray[np.uint8]) -> Sequence[Picture]:
    if isinstance(pictures, (str, Path, bytes, Image.Image)):
        return [pictures]
    if isinstance(pictures, np.ndarray):
        return [pictures] if pictures.ndim == 3 else list(pictures)
    return [pictures] if isinstance(pictures, Readable) else pictures


def _load(picture: Picture, min_side: int) -> Pixels:
    if isinstance(picture, str):
        picture = StoredFile(picture) if is_address(picture) else Path(picture)
    if isinstance(picture, Readable):
        return decode(read_picture(picture), min_side=min_side)
    if isinstance(picture, bytes):
        return decode(picture, min_side=min_side)
    if isinstance(picture, Image.Image):
        return to_pixels(picture)
    if (
        isinstance(picture, np.ndarray)
        and picture.dtype == np.uint8
        and picture.ndim == 3
        and picture.shape[2] == 3
    ):
        return picture
    what = (
        f"array {picture.dtype} {picture.shape}"
        if isinstance(picture, np.ndarray)
        else type(picture).__name__
    )
    raise ArgumentError(
        f"{what}: pictures are paths, bytes, PIL pictures or uint8 arrays (height, width, 3)"
    )
