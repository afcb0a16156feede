"""scikit-learn's estimator: images and labels -> a fitted `ImageClassifier`, for its tools.

`cross_val_score`, `Pipeline` and `GridSearchCV` take it. Each fit trains a run, as `train` does.
Knows nothing of how.
"""

import difflib
import json
import shutil
import tempfile
import weakref
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from bestiary.api.ensemble import Ensemble
from bestiary.api.run import Run
from bestiary.api.train import train
from bestiary.data.labeled_lists import is_frame
from bestiary.ensemble.saving import saved_images
from bestiary.errors import ArgumentError, RecipeError, RunError
from bestiary.recipe.options import options as recipe_options
from bestiary.run.layout import needed_for_prediction

if TYPE_CHECKING:
    import polars as pl

PARAMETERS = ("recipe", "folds", "runs", "quiet")
_OWN = ("_ensemble", "_cleanup", "run_")  # of this process, never in a pickle
_FILES = "_files"  # the files of the run, in a pickle


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of images, which trains a k-fold ensemble and predicts by all its members.

    Images are paths, addresses, bytes, PIL images, uint8 arrays (images, height, width, 3) and
    tensors, or a column of them. A frame counts by its column `path`, or its only one.

    The accuracy of `run_` keeps near duplicates in one fold. Folds that scikit-learn makes do not,
    so `cross_val_score` may be too high where images have near duplicates.

    Args:
        recipe: name or file of a recipe, as for `bestiary.train`.
        folds: number of folds, and so of members.
        runs: folder in which each fit leaves its run; None: a temporary folder, which goes with the
            estimator. A pickle carries the run in either case.
        quiet: whether to show no progress. What must be known of the images is shown anyway.
        options: options of the recipe, with two underscores for the point:
            `train__epochs=3`.

    Attributes:
        classes_: class labels (classes,), sorted, as they were given.
        run_: the run that the last fit has trained, with its scores, frames and charts.

    Raises:
        RecipeError: the recipe has no such option.

    Example:
        >>> from pathlib import Path
        >>> from bestiary.sklearn import ImageClassifier
        >>> images = sorted(Path("images").glob("*/*.jpg"))
        >>> labels = [image.parent.name for image in images]
        >>> classifier = ImageClassifier(folds=3).fit(images, labels)
        >>> classifier.predict_proba(["new.jpg"]).shape
        (1, 3)
        >>> print(classifier.run_.score_line)
        Out-of-fold accuracy ... (95 % interval ...), 36 images
    """

    _cleanup: "weakref.finalize[Any, Any]"
    _ensemble: Ensemble | None

    def __init__(
        self,
        recipe: str | Path | None = "probe",
        folds: int = 5,
        runs: str | Path | None = None,
        quiet: bool = True,
        **options: Any,
    ) -> None:
        self.recipe = recipe
        self.folds = folds
        self.runs = runs
        self.quiet = quiet
        self._options = options
        _check_options(options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, options of the recipe included."""
        return {**super().get_params(deep), **self._options}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, or options of the recipe such as `train__epochs`.

        Raises:
            RecipeError: there is no such option.
        """
        options = {name: value for name, value in params.items() if name not in PARAMETERS}
        _check_options(options)
        self._options = {**self._options, **options}
        super().set_params(**{name: params[name] for name in PARAMETERS if name in params})
        return self

    def fit(self, X: Any, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Train a run on labeled images.

        Args:
            X: images, see the class.
            y: their labels (images,): text, whole numbers or Booleans.

        Returns:
            The estimator.

        Raises:
            BestiaryError: the images or labels cannot be used; as `bestiary.train` says.
        """
        labels = _checked_labels(y)
        images = _column(X)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        names = _class_names(self.classes_)
        place = self._new_folder()
        self._ensemble = None
        self.run_ = train(
            saved_images(images, place / "images"),
            place / "run",
            labels=[names[number] for number in numbers],
            recipe=self.recipe,
            overrides=[_override(name, value) for name, value in self._options.items()],
            folds=self.folds,
            quiet=self.quiet,
        )
        left_out = set(names) - set(self.run_.read_classes())
        if left_out:
            raise ArgumentError(
                f"y: the run has no class {min(left_out)!r:.80}; its images cannot be read, or are "
                "too few"
            )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Predict the probability of every class, calibrated out of fold.

        Args:
            X: images, see the class.

        Returns:
            Probabilities (images, classes), columns in the order of `classes_`.

        Raises:
            NotFittedError: `fit` was not called.
            ImageError: an image cannot be decoded.
        """
        ensemble = self.ensemble()
        place = {name: column for column, name in enumerate(ensemble.classes_.tolist())}
        order = [place[name] for name in _class_names(self.classes_)]
        return ensemble.predict_proba(_column(X))[:, order]

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Predict the class of each image.

        Args:
            X: images, see the class.

        Returns:
            Labels (images,), of the type that `fit` was given.

        Raises:
            NotFittedError: `fit` was not called.
            ImageError: an image cannot be decoded.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_frame(self, X: Any) -> "pl.DataFrame":  # noqa: N803
        """Predict images as a frame: see `bestiary.Ensemble.predict_frame`."""
        return self.ensemble().predict_frame(_column(X), quiet=True)

    def ensemble(self) -> Ensemble:
        """Return the ensemble that predicts.

        Raises:
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self, "run_")
        if self._ensemble is None:
            self._ensemble = Ensemble.load(self.run_)
        return self._ensemble

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that the input is no table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "run_" in state:
            state[_FILES] = _files_of(self.run_)
        return {name: value for name, value in state.items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop(_FILES, None)
        super().__setstate__(state)
        if files is None:
            return
        self._ensemble = None
        run = self._new_folder(temporary=True) / "run"
        for name, content in files.items():
            file = run / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.run_ = Run.open(run)

    def _new_folder(self, temporary: bool = False) -> Path:
        """Make a folder for a run; a temporary one goes with this object, or with the next fit."""
        if hasattr(self, "_cleanup"):
            self._cleanup()
            del self._cleanup
        if self.runs is not None and not temporary:
            Path(self.runs).mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="fit-", dir=self.runs))
        folder = tempfile.mkdtemp(prefix="bestiary-")
        self._cleanup = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)


@cache
def _option_names() -> dict[str, str]:
    """Parameter -> option of the recipe."""
    return {option.name.replace(".", "__"): option.name for option in recipe_options()}


def _check_options(options: dict[str, Any]) -> None:
    """Refuse what is neither a parameter nor an option of the recipe, and name the nearest ones."""
    known = _option_names()
    for name in options:
        if name in known:
            continue
        word = name.replace(".", "__")
        same_key = [option for option in known if option.endswith(f"__{word}")]
        near = same_key or difflib.get_close_matches(word, [*known, *PARAMETERS], 2)
        remedy = f"did you mean {' or '.join(near)}?" if near else "such as train__epochs"
        raise RecipeError(
            f"{name}: is no parameter of ImageClassifier and no option of the recipe; {remedy}"
        )


def _override(name: str, value: Any) -> str:
    """Write an option as `train` takes it."""
    plain = value.item() if hasattr(value, "item") else value
    try:
        return f"{_option_names()[name]}={json.dumps(plain)}"  # TOML has the same notation
    except (TypeError, ValueError):
        raise RecipeError(f"{name}={value!r:.80}: is no value of a recipe") from None


def _checked_labels(y: ArrayLike) -> NDArray[Any]:
    """Return the labels as an array; refuse what are no labels of classes."""
    if y is None:
        raise ArgumentError("y: requires y to be passed, but the target y is None; give the labels")
    labels = column_or_1d(np.asarray(y), warn=True)
    check_classification_targets(labels)
    return np.asarray(labels)


def _class_names(classes: NDArray[Any]) -> list[str]:
    """Name classes as text, which is what a run has."""
    names = [str(value).strip() for value in classes.tolist()]
    if len(set(names)) < len(names) or "" in names:
        raise ArgumentError("y: labels are empty, or look the same as text; rename them")
    return names


def _column(images: Any) -> Any:
    """Take the images of a frame, or of an array with one column."""
    if is_frame(images):
        columns = list(images.columns)
        if "path" not in columns and len(columns) != 1:
            found = ", ".join(map(str, columns))
            raise ArgumentError(
                f"X: the frame has no column 'path' (found {found:.200}); pass one column"
            )
        return images["path" if "path" in columns else columns[0]]
    if isinstance(images, np.ndarray) and images.ndim == 2 and images.dtype.kind in "OU":
        return images.ravel()
    return images


def _files_of(run: Run) -> dict[str, bytes]:
    """Read the files of a run that prediction needs, by their path in it."""
    try:
        files = sorted(file for file in run.path.rglob("*") if file.is_file())
        names = {file.relative_to(run.path).as_posix(): file for file in files}
        return {
            name: file.read_bytes() for name, file in names.items() if needed_for_prediction(name)
        }
    except OSError as error:
        raise RunError(f"{run.place}: cannot be read for a pickle ({error.strerror})") from None
