"""The groups that links join."""

import numpy as np

from bestiary.data.components import components


def test_components_number_all_images() -> None:
    assert components(np.empty((0, 2), np.int64), 3).tolist() == [0, 1, 2]
    assert components(np.array([[2, 0]]), 3).tolist() == [0, 1, 0]
