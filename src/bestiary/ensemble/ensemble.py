"""A run directory -> an ensemble: one predictor of images with scikit-learn's methods.

All members see one decode and one view of each image, and are computed as one network, batch by
batch. Knows nothing of training, which it meets only in the run directory.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.eval_view import EvalView
from bestiary.data.loader import split_batches
from bestiary.display import Tick
from bestiary.ensemble.batch_logits import BatchLogits
from bestiary.ensemble.blending import BlendedNetwork, PartViews, load_blended
from bestiary.ensemble.card import read_card
from bestiary.ensemble.cascaded import CascadedNetwork, Stops, split_stopped
from bestiary.ensemble.decisions import Decisions
from bestiary.ensemble.inputs import ImageInputs, ImagePart, image_parts
from bestiary.ensemble.members import Graphs, build_members, open_members
from bestiary.ensemble.pipeline import load_views, score_batches
from bestiary.ensemble.reloading import (
    LoadArguments,
    Origin,
    content_digest,
    load_saved,
    save_ensemble,
)
from bestiary.errors import ImageError
from bestiary.model.classifier import Classifier, SavedMember
from bestiary.model.compute import memory_format, resolve_precision
from bestiary.model.device import best_device
from bestiary.model.engine import Network, build_joint_network
from bestiary.model.forks import check_can_compute, check_same_process
from bestiary.model.halving import HalvedBatches
from bestiary.model.tta import averaged_over_views, images_at_once, input_side, of_first_view
from bestiary.numbers import counted
from bestiary.recipe.choices import Average, Engine, TtaViews
from bestiary.run.finished_files import finished_file
from bestiary.run.layout import OOD
from bestiary.run.ood import read_ood
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.stats.calibration import Calibration
from bestiary.stats.ood import OodDetector
from bestiary.storage.files import location

_BUILDING = threading.Lock()


class Ensemble:
    """The members of a run as one classifier, with scikit-learn's `predict` and `predict_proba`.

    Threads may call `predict`, `predict_proba` and `iter_logits` of one ensemble together. An
    ensemble that was loaded from a run can be pickled: it is loaded again where it is unpickled.
    A forked process refuses to use it, and needs one of its own.

    Args:
        members: classifiers in eval mode, all with the same outputs; or files of such, whose
            networks are built where they are needed.
        classes: class names in the order of the outputs.
        view: how an image becomes the members' input.
        folds: fold of each member; None: 0, 1 and so on.
        average: how the members are averaged by default.
        tta: number of test-time augmentation views of each image, see `bestiary.model.tta`.
        precision: precision of the networks, or auto.
        device: device to compute on; None: the GPU if there is one.
        calibration: temperature and thresholds, from out-of-fold predictions; None: uncalibrated.
        ood: out-of-distribution detector; None where there is no calibration.
        engine: what runs the networks, see `bestiary.model.engine`.
        graphs: cache files of the members' graphs, for an engine that needs them.
        first_view: whether the first of the `tta` views is computed alone.

    Attributes:
        classes_: class names (classes,), in the order of the columns of `predict_proba`.
        folds: fold of each member.
        batch_size: images that are computed together.
        engine: what runs the networks, in words.
        fallback_reason: why a faster engine is not used, if one was tried; else empty.
        stops_early: whether an image may stop after the first member, or one view of it.
        decisions: promise and costs that answers are decided by; None: none were asked for.
        blended: ensembles of further runs that `bestiary join` has blended into this one.
        blend_weights: weight of each run's logits in each member (members, runs); None: of one run.

    Raises:
        ArgumentError: the engine cannot run the networks here.
        ForkError: this process was forked from one that had computed.

    Example:
        >>> import bestiary
        >>> ensemble = bestiary.load("run")
        >>> ensemble.classes_.tolist()
        ['Corumorhinus cervinus', 'Corumorhinus maculatus', 'Istoreus squamatus']
        >>> ensemble.predict_proba(["new.jpg"]).shape
        (1, 3)
    """

    def __init__(
        self,
        members: Sequence[Classifier | SavedMember],
        classes: Sequence[str],
        view: EvalView,
        *,
        folds: Sequence[int] | None = None,
        average: Average = "logits",
        tta: TtaViews = 1,
        precision: Any = "auto",
        device: str | torch.device | None = None,
        calibration: Calibration | None = None,
        ood: OodDetector | None = None,
        engine: Engine = "auto",
        graphs: Graphs | None = None,
        first_view: bool = False,
    ) -> None:
        check_can_compute()
        self._pid = os.getpid()
        self._origin: Origin | None = None
        self.device = torch.device(device) if device else best_device()
        self._given = list(members)
        self.folds = list(range(len(members)) if folds is None else folds)
        self.classes_ = np.array(classes)
        self.view = view
        self.average = average
        self.tta = tta
        self.precision = resolve_precision(precision, self.device)
        self.calibration = calibration
        self.ood = ood
        self.decisions: Decisions | None = None
        self.blended: list[Ensemble] = []
        self.blend_weights: NDArray[np.float64] | None = None

        built = build_joint_network(
            lambda: self.members,
            view.size,
            self.device,
            self.precision,
            engine=engine,
            graph_path=(lambda: graphs.joint) if graphs else None,
            member_graphs=graphs.single if graphs else (),
        )
        over_views = of_first_view if first_view else averaged_over_views
        self._network: Network = HalvedBatches(over_views(built, tta))
        self.batch_size = images_at_once(tta, self.device)
        self.stops_early = False
        self.engine = built.engine
        self.fallback_reason = built.fallback_reason

    @cached_property
    def members(self) -> list[Classifier]:
        """The members' networks, on the device, in the memory format that is fastest there."""
        with _BUILDING:
            if "members" in vars(self):  # another thread has built them
                return self.members
            built = build_members(self._given)
            layout = memory_format(True)
            moved = [member.to(self.device).to(memory_format=layout).eval() for member in built]
            self._given = list(moved)  # frees the files
            if self._origin:
                self._origin.loaded["members"] = moved  # built late, and no change of the ensemble
            self.members = moved
        return moved

    @property
    def member_states(self) -> list[dict[str, torch.Tensor]]:
        """The tensors of each member, by name; then those of the blended runs' members."""
        blended = [state for one in self.blended for state in one.member_states]
        if "members" not in vars(self):
            saved = [one.tensors for one in self._given if isinstance(one, SavedMember)]
            if len(saved) == len(self._given):
                return saved + blended
        return [member.state_dict() for member in self.members] + blended

    @classmethod
    def load(
        cls,
        run: str | Path | Run,
        device: str | torch.device | None = None,
        engine: Engine = "auto",
        tta: TtaViews | None = None,
    ) -> Self:
        """Load the ensemble of a run, with the members that are trained so far.

        Args:
            run: folder of the run, or the run itself.
            device: device to compute on; None: the GPU if there is one.
            engine: what runs the networks: auto, openvino or torch.
            tta: number of test-time augmentation views; None: as the run's recipe says.

        Returns:
            The ensemble.

        Raises:
            RunError: there is no run, none of its folds has ended, or one of its files is damaged.
            ArgumentError: the engine cannot run the networks here.

        Example:
            >>> from bestiary import Ensemble
            >>> ensemble = Ensemble.load("run", device="cpu", engine="torch")  # doctest: +SKIP
        """
        check_can_compute()
        run = run if isinstance(run, Run) else Run.open(run)
        card = read_card(run)
        target = torch.device(device) if device else best_device()
        members, graphs = open_members(run, card, target, engine)
        ood = None
        if card.calibration:
            ood = read_ood(finished_file(run.path, OOD), len(members), len(card.classes))
        ensemble = cls(
            members,
            card.classes,
            card.view,
            folds=card.folds,
            average=card.average,
            tta=tta or card.tta,
            precision=card.precision,
            device=device,
            calibration=card.calibration,
            ood=ood,
            engine=engine,
            graphs=graphs,
        )
        if card.blend_weights:
            ensemble.blended = load_blended(
                run, card, lambda further: cls.load(further, device, engine, tta)
            )
            ensemble.blend(card.blend_weights)
        asked = (None if device is None else str(device), engine, tta, card.precision)
        ensemble.set_origin(LoadArguments(location(run.place), *asked))
        return ensemble

    def blend(self, weights: Sequence[Sequence[float]]) -> None:
        """Blend the logits of further runs, which `blended` has, into those of the members.

        Args:
            weights: of each run's logits in each member (members, runs).
        """
        self.blend_weights = np.asarray(weights, np.float64)
        runs = [(one._network, one.input_view.size) for one in (self, *self.blended)]
        self._network = BlendedNetwork(runs, self.blend_weights)

    def stop_early(self, first: "Ensemble", stops: Stops, scale: float = 1.0) -> None:
        """Let images stop after the first member, or after one view of it.

        Args:
            first: the first member alone.
            stops: its logits (images, classes) -> flags (images,).
            scale: factor of its logits where an image stops, see `CascadedNetwork`.
        """
        members = len(self.folds)
        self._network = CascadedNetwork(first._network, self._network, stops, members, scale)
        self.stops_early = True

    def set_origin(self, arguments: LoadArguments) -> None:
        """Note how this ensemble was loaded, so that pickle can load it again.

        Args:
            arguments: where it was loaded from, and how.
        """
        self._origin = Origin(arguments, dict(vars(self)))

    @property
    def origin(self) -> Origin | None:
        """How this ensemble was loaded; None: it was not loaded from a run."""
        return self._origin

    def __reduce__(self) -> tuple[Any, ...]:
        return load_saved, save_ensemble(self)

    def __repr__(self) -> str:
        run = f"{self._origin.arguments.place}: " if self._origin else ""
        members = counted(len(self.folds), "member")
        classes = counted(len(self.classes_), "class", "classes")
        return f"<Ensemble {run}{members}, {classes}, {self.engine}>"

    def predict_proba(self, images: ImageInputs) -> NDArray[np.float64]:
        """Predict the probability of every class, calibrated if the run is.

        Args:
            images: one image, or an iterable of images in the order of the answers. A pandas or
                polars column is taken by position. An image is a path, an address, the bytes of an
                image file, or an open binary file, read from its start. Or it is a PIL image, a
                uint8 array (height, width, 3), or a uint8 tensor of that shape or
                (3, height, width).

        Returns:
            Probabilities (images, classes), columns in the order of `classes_`.

        Raises:
            ImageError: an image cannot be decoded; the message names it and the reason.
            ArgumentError: an input is none of these types.
            ForkError: this process was forked after the ensemble was loaded.

        Example:
            >>> import bestiary
            >>> ensemble = bestiary.load("run")  # doctest: +SKIP
            >>> ensemble.predict_proba(["a.jpg", "b.jpg"]).shape  # doctest: +SKIP
            (2, 3)
        """
        check_same_process(self._pid)
        probabilities: list[NDArray[np.float64]] = [np.empty((0, len(self.classes_)))]
        for part in image_parts(images, self.view.white):
            for batch in self._score_part(part):
                for index, reason in batch.reasons.items():
                    raise ImageError(f"{part.name(index - part.start)}: {reason}")
                probabilities.append(self.probabilities(batch.logits))
        return np.concatenate(probabilities)

    def predict(self, images: ImageInputs) -> NDArray[np.str_]:
        """Predict the class of each image.

        Args:
            images: as for `predict_proba`.

        Returns:
            Class names (images,).

        Raises:
            ImageError: an image cannot be decoded; the message names it and the reason.
            ArgumentError: an input is of an unsupported type.
            ForkError: this process was forked after the ensemble was loaded.

        Example:
            >>> import bestiary
            >>> ensemble = bestiary.load("run")  # doctest: +SKIP
            >>> ensemble.predict("new.jpg")  # doctest: +SKIP
            array(['Banded fenfly'], dtype='<U19')
        """
        return np.asarray(self.classes_[self.predict_proba(images).argmax(axis=1)])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of weights, classes, view, precision and calibration."""
        return content_digest(self)

    def probabilities(
        self, logits: NDArray[np.float32], rule: Average | None = None
    ) -> NDArray[np.float64]:
        """Average the members' logits into probabilities, calibrated if the run is.

        Args:
            logits: (members, images, classes).
            rule: how the members are averaged; None: the ensemble's own rule.

        Returns:
            Probabilities (images, classes).
        """
        rule = rule or self.average
        if self.calibration:
            return self.calibration.probabilities(logits, rule)
        return average(logits, rule)

    @property
    def input_view(self) -> EvalView:
        """The view that is made of each image, as large as its augmentation views need."""
        return replace(self.view, size=input_side(self.view.size, self.tta))

    def iter_logits(self, images: ImageInputs, tick: Tick | None = None) -> Iterator[BatchLogits]:
        """Compute the members' logits, batch by batch.

        Args:
            images: as for `predict_proba`; of a sequence, each image is accessed once.
            tick: called after each batch with the number of images done and of all. Of an iterator,
                only the images that were taken from it so far are known.

        Returns:
            An iterator over the logits of each batch, in order.

        Raises:
            ArgumentError: an input is of an unsupported type.
            ForkError: this process was forked after the ensemble was loaded.
        """
        check_same_process(self._pid)
        parts = image_parts(images, self.view.white)
        return chain.from_iterable(self._score_part(part, tick) for part in parts)

    def _score_part(self, part: ImagePart, tick: Tick | None = None) -> Iterator[BatchLogits]:
        """Compute the logits of some of the images; `rows` count from the first of all."""
        views = PartViews(part, [one.input_view for one in (self, *self.blended)])
        n_done = part.start
        splits = split_batches(np.arange(len(part.images)), self.batch_size)
        batches = load_views(splits, views, self.device)
        for batch, outputs in score_batches(batches, self._network, self.device):
            logits = np.ascontiguousarray(outputs.swapaxes(0, 1))
            rows = [row for row in batch.rows.tolist() if row in views.reasons]
            failed = {part.start + row: views.reasons[row] for row in rows}
            noted = [views.deep.pop() for _ in range(len(views.deep))]  # and of the next batches
            logits, stopped = split_stopped(logits) if self.stops_early else (logits, None)
            yield BatchLogits(part.start + batch.rows, logits, failed, noted, stopped)
            n_done += len(batch.rows)
            if tick:
                tick(n_done, part.start + len(part.images))
