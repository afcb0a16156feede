"""Sums by class against numpy's slow way, and projections against scikit-learn's."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bestiary.stats.vectors import class_sums, main_directions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_class_sums_are_numpys(dtype: type) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 7)).astype(dtype)
    codes = rng.choice([0, 1, 3, 5], 500)  # 2, 4 and 6 have none
    expected = np.zeros((7, 7))
    np.add.at(expected, codes, vectors)
    sums = class_sums(vectors, codes, 7)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-12)
    assert not sums[[2, 4, 6]].any()


def test_sums_of_no_vectors_are_zero() -> None:
    sums = class_sums(np.empty((0, 3), np.float32), np.empty(0, np.int64), 2)
    np.testing.assert_array_equal(sums, np.zeros((2, 3)))


def test_main_directions_are_principal_components() -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(60, 5)) * [9, 4, 2, 1, 0.5]).astype(np.float32)
    ours = main_directions(vectors, 3)[:, ::-1]
    theirs = PCA(3).fit_transform(vectors)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)
