"""`ImageClassifier` among scikit-learn's tools: clone, cross-validation, grids, pickle."""

import gc
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from bestiary.errors import ArgumentError, RecipeError
from bestiary.sklearn import ImageClassifier

OPTIONS: dict[str, Any] = {
    "recipe": "fast",
    "folds": 2,
    "model__backbone": "timm/test_resnet",
    "model__weights": "none",
    "model__head": "random",
    "model__freeze": 0,
    "view__size": 32,
    "train__epochs": 1,
    "train__precision": "float32",
}
# The checks that need no table of numbers. `check_estimator` itself stops after the first of them.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.fixture(scope="module")
def images(beasts: Path) -> list[str]:
    return sorted(map(str, beasts.rglob("*.jpg")))


@pytest.fixture(scope="module")
def labels(images: list[str]) -> list[str]:
    return [Path(image).parent.name for image in images]


@pytest.fixture(scope="module")
def fitted(images: list[str], labels: list[str]) -> ImageClassifier:
    return ImageClassifier(**OPTIONS).fit(images, labels)


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_scikit_learn(name: str) -> None:
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this scikit-learn has no {name}")
    check("ImageClassifier", ImageClassifier())


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_check_estimator() -> None:
    estimator_checks.check_estimator(ImageClassifier())


def test_clone_keeps_parameters() -> None:
    classifier = ImageClassifier(**OPTIONS)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.get_params()["train__epochs"] == 1
    assert clone(classifier).set_params(train__epochs=2).get_params()["train__epochs"] == 2
    assert classifier.get_params()["train__epochs"] == 1
    assert "train__epochs=1" in repr(classifier)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("epochs", r"did you mean train__epochs\?"),
        ("train__epoch", r"did you mean train__epochs"),
        ("train.epochs", r"did you mean train__epochs"),
        ("fold", r"did you mean folds"),
        ("zzz", "such as train__epochs"),
    ],
)
def test_unknown_parameter(name: str, remedy: str) -> None:
    with pytest.raises(RecipeError, match=f"{name}: is no parameter.*{remedy}"):
        ImageClassifier(**{name: 3})
    with pytest.raises(ValueError, match=remedy):
        ImageClassifier().set_params(**{name: 3})


def test_not_fitted(images: list[str]) -> None:
    with pytest.raises(NotFittedError):
        ImageClassifier().predict(images)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["a"], "there are 1 for 2 images"),
        (["a", " a"], "look the same as text"),
        ([0.5, 1.5], "Unknown label type: continuous"),
    ],
)
def test_wrong_labels(images: list[str], y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageClassifier().fit(images[:2], y)


def test_wrong_frame() -> None:
    with pytest.raises(ArgumentError, match=r"no column 'path' \(found a, b\)"):
        ImageClassifier().fit(pl.DataFrame({"a": ["x"], "b": ["y"]}), ["z"])


@pytest.mark.slow
def test_fit_and_predict(
    fitted: ImageClassifier, images: list[str], labels: list[str], beasts: Path
) -> None:
    assert fitted.classes_.tolist() == sorted(set(labels))
    probabilities = fitted.predict_proba(images)
    assert probabilities.shape == (27, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    answers = fitted.predict(images)
    assert answers.tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()
    assert fitted.score(images, labels) == np.mean(answers == labels)
    assert fitted.predict_frame(images)["label"].to_list() == answers.tolist()
    assert fitted.run_.load().manifest.height == 27


INPUTS: dict[str, Callable[[list[str]], Any]] = {
    "array of paths": np.array,
    "column of paths": lambda images: np.array(images, object)[:, None],
    "polars frame": lambda images: pl.DataFrame({"path": images, "other": 0}),
    "polars column": pl.Series,
    "bytes": lambda images: [Path(image).read_bytes() for image in images],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", INPUTS)
def test_inputs(fitted: ImageClassifier, images: list[str], kind: str) -> None:
    expected = fitted.predict_proba(images)
    np.testing.assert_allclose(fitted.predict_proba(INPUTS[kind](images)), expected, atol=1e-6)


@pytest.mark.slow
def test_inputs_of_pandas(fitted: ImageClassifier, images: list[str]) -> None:
    pd = pytest.importorskip("pandas")
    expected = fitted.predict(images).tolist()
    frame = pd.DataFrame({"path": images, "other": 0}, index=range(27, 0, -1))
    assert fitted.predict(frame).tolist() == expected
    assert fitted.predict(frame["path"]).tolist() == expected


@pytest.mark.slow
def test_pixels_and_numbers(images: list[str], labels: list[str]) -> None:
    """Images in memory are fitted as their files would be; whole numbers stay numbers."""
    opened = [Image.open(image).convert("RGB").resize((48, 48)) for image in images]
    arrays = np.stack([np.asarray(image) for image in opened])
    numbers = np.unique(labels, return_inverse=True)[1] * 10
    tensors = torch.from_numpy(arrays).permute(0, 3, 1, 2)
    first = ImageClassifier(**OPTIONS).fit(opened, numbers)
    assert first.classes_.tolist() == [0, 10, 20]
    assert first.predict(arrays).dtype == numbers.dtype
    expected = first.predict_proba(opened)
    np.testing.assert_allclose(first.predict_proba(arrays), expected, atol=1e-6)
    second = ImageClassifier(**OPTIONS).fit(tensors, numbers)
    np.testing.assert_allclose(second.predict_proba(tensors), expected, atol=1e-6)


@pytest.mark.slow
def test_pickle_carries_the_run(
    fitted: ImageClassifier, images: list[str], labels: list[str]
) -> None:
    expected = fitted.predict_proba(images)
    content = pickle.dumps(fitted)
    other = pickle.loads(content)
    folder = other.run_.path
    assert folder != fitted.run_.path
    np.testing.assert_allclose(other.predict_proba(images), expected, atol=1e-6)
    assert other.run_.scores.equals(fitted.run_.scores)
    del other
    gc.collect()
    assert not folder.exists()
    assert fitted.run_.path.exists()


@pytest.mark.slow
def test_runs_stay_where_they_are_asked_for(
    images: list[str], labels: list[str], tmp_path: Path
) -> None:
    classifier = ImageClassifier(runs=tmp_path / "runs", **OPTIONS)
    path = classifier.fit(images, labels).run_.path
    del classifier
    gc.collect()
    assert path.parents[1] == tmp_path / "runs"
    assert path.exists()


# joblib replaces a process that has grown since its first job, as PyTorch and OpenVINO make it. As
# an error, its warning would end the thread that does so, and nobody would come to an end.
@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
@pytest.mark.slow
def test_grid_in_pipeline_in_two_processes(images: list[str], labels: list[str]) -> None:
    """Two options of the recipe, in a pipeline, by two processes of joblib."""
    pipeline = Pipeline(
        [("same", FunctionTransformer(validate=False)), ("beasts", ImageClassifier(**OPTIONS))]
    )
    grid = {"beasts__train__epochs": [1, 2], "beasts__optimizer__lr": [1e-3]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise")
    search.fit(images, labels)
    assert set(search.best_params_) == set(grid)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.named_steps["beasts"].run_.read_recipe()
    assert best.train.epochs == search.best_params_["beasts__train__epochs"]
    assert best.optimizer.lr == 1e-3


@pytest.mark.slow
def test_cross_val_score(images: list[str], labels: list[str]) -> None:
    scores = cross_val_score(
        ImageClassifier(**OPTIONS), np.array(images), labels, cv=2, error_score="raise"
    )
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()
