"""The class `Ensemble`: what `load` returns, with frames, accuracy and a card.

Adds to the predictor of `bestiary.ensemble` what needs rooms above it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bestiary.api.arguments import Location
from bestiary.argument_types import checked_arguments
from bestiary.display import Display
from bestiary.ensemble import ensemble as predictor
from bestiary.ensemble.answers import PredictionOptions
from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.frames import predict_frame
from bestiary.ensemble.inputs import ImageInputs
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.numbers import count, counted
from bestiary.recipe.choices import Engine, Sets, TtaViews
from bestiary.run.opening import opened_run
from bestiary.run.run import Run

if TYPE_CHECKING:
    import polars as pl


class Ensemble(predictor.Ensemble):
    """The members of a run as one classifier, with scikit-learn's methods.

    What `bestiary.load` returns. In a notebook it shows the accuracy of its run and the surest
    mistakes.

    Example:
        >>> import bestiary
        >>> ensemble = bestiary.load("run")
        >>> ensemble.predict_proba(["new.jpg"]).shape
        (1, 3)
        >>> ensemble.predict_frame("new", quiet=True).columns[:3]
        ['path', 'label', 'confidence']
    """

    @classmethod
    @checked_arguments
    def load(
        cls,
        run: Location | Run,
        device: str | torch.device | None = None,
        engine: Engine = "auto",
        tta: TtaViews | None = None,
    ) -> Self:
        """Load the ensemble of a run, see `bestiary.ensemble.ensemble.Ensemble.load`.

        Raises:
            ArgumentError: an argument is of another type, or the engine cannot run here.
            RunError: there is no run, or none of its folds has ended.
        """
        return super().load(run, device, engine, tta)

    def score(
        self,
        images: ImageInputs,
        labels: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the share of images whose predicted class is their label.

        Images that the run was trained on flatter it; a line says so where they are files. For an
        interval, and for near duplicates, see `bestiary.evaluate`.

        Args:
            images: as for `predict`.
            labels: of the images (images,), compared as text.
            sample_weight: weight of each image (images,); None: all count the same.

        Returns:
            Accuracy, 0 to 1.

        Raises:
            ImageError: an image cannot be decoded.
            ArgumentError: there are no labels, or not one for each image, or the weights are not
                one number for each image.

        Example:
            >>> import bestiary
            >>> ensemble = bestiary.load("run")
            >>> 0 <= ensemble.score(["new.jpg"], ["Istoreus squamatus"]) <= 1
            True
        """
        if labels is None:
            raise ArgumentError(
                "score(images): is the accuracy now and needs the labels, score(images, labels); "
                "the members' logits come from iter_logits(images)"
            )
        if isinstance(images, Iterator):
            images = list(images)
        names = np.asarray(labels).astype(str).ravel()
        predicted = self.predict(images)
        self._check_labels(names, len(predicted))
        self._say_trained([images] if isinstance(images, str | Path) else images)
        weights = None if sample_weight is None else _checked_weights(sample_weight, len(names))
        return float(np.average(predicted == names, weights=weights))

    def predict_frame(
        self,
        images: ImageInputs,
        *,
        coverage: float = 0.9,
        sets: Sets = "all",
        risk: float = 0.05,
        quiet: bool = False,
    ) -> "pl.DataFrame":
        """Predict images as a data frame, one row for each image, in their order.

        An image that cannot be read has a row whose column `error` says why.

        Args:
            images: as for `predict`; or a folder, which is searched with its subfolders.
            coverage: share of the images whose prediction set contains the true class: 0.8, 0.9,
                0.95 or 0.99.
            sets: whether prediction sets cover that share of all images, or of the images of each
                class.
            risk: largest share of errors among accepted answers: 0.01, 0.02, 0.05 or 0.1.
            quiet: whether to show no progress.

        Returns:
            Columns: path, label, confidence (0 to 1), prediction_set, accepted, unknown, error. The
            path is null for an image that is no file. The set has the most probable class first.
            Accepted: sure enough for the risk. Unknown: unlike all classes. The confidence is
            calibrated if the run is.

        Raises:
            ArgumentError: an input is of an unsupported type, or coverage or risk is not offered.
            DataError: a folder holds no image.

        Example:
            >>> import bestiary
            >>> frame = bestiary.load("run").predict_frame(["new.jpg"], quiet=True)
            >>> frame.select("path", "error").rows()
            [('new.jpg', None)]
        """
        options = PredictionOptions(coverage, sets, risk)
        display = Display(quiet)
        with display.counter("Predicting") as tick:
            frame = predict_frame(self, images, options, tick)
        self._say_trained(frame["path"].drop_nulls().to_list())
        return frame

    def _check_labels(self, labels: NDArray[np.str_], images: int) -> None:
        """Refuse labels that are no answers for these images; name those that are no classes."""
        if len(labels) != images:
            raise ArgumentError(
                f"labels: there are {len(labels):,} for {counted(images, 'image')}; give one for "
                "each"
            )
        strange = labels[~np.isin(labels, self.classes_)].tolist()
        if len(strange) == images:
            raise ArgumentError(
                f"labels: none is a class of the run (first {strange[:1]!r:.80}); the classes are "
                f"in classes_, such as {str(self.classes_[0])!r:.80}"
            )
        if strange:
            Display().notice(
                f"{count(len(strange), 'label is', 'labels are')} no class of the run (first "
                f"{strange[0]!r:.80}): counted as mistakes"
            )

    def _say_trained(self, images: Any) -> None:
        """Say which of some files this ensemble was trained on."""
        if self.origin is None:
            return
        paths = [str(image) for image in images if isinstance(image, str | Path)]
        with suppress(BestiaryError), opened_run(self.origin.arguments.place) as run:
            if paths and (line := TrainedFiles.of(run).describe(Path(), paths)):
                Display().notice(line)

    def _repr_html_(self) -> str:
        """Show the ensemble in a notebook: see `bestiary.reporting.notebook_card`."""
        from bestiary.reporting.notebook_card import ensemble_card

        return ensemble_card(self)


def _checked_weights(weights: ArrayLike, images: int) -> NDArray[np.float64]:
    """Return the weights of images (images,); refuse what no mean can be weighted by."""
    try:
        numbers = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    is_fit = numbers.shape == (images,) and np.isfinite(numbers).all() and (numbers >= 0).all()
    if not is_fit or not numbers.any():
        raise ArgumentError(
            f"sample_weight: is {weights!r:.60}; give a number of 0 or more for each image "
            f"({images:,}), not all of them 0"
        )
    return numbers
