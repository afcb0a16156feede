"""Links between numbered things -> the groups that they join. Knows nothing of images."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

IntArray = NDArray[np.int64]


def components(links: IntArray, n_things: int) -> IntArray:
    """Number the groups that links join.

    Args:
        links: The two ends of each link (links, 2), from 0.
        n_things: How many there are.

    Returns:
        Group number of each (n_things,), from 0 without gaps.

    Example:
        >>> components(np.array([[2, 0]]), 3).tolist()
        [0, 1, 0]
    """
    weights = np.ones(len(links), np.int8)
    ends = (links[:, 0], links[:, 1])
    graph = coo_array((weights, ends), shape=(n_things, n_things))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component, np.int64)
