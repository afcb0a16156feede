"""Confusion matrix -> groups of classes that are taken for each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LEAST_MISTAKES = 2  # between two classes: one mistake may be chance
MAX_CLASSES = 8  # of a group: a larger one says nothing


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Classes that are taken for each other.

    Attributes:
        classes: class numbers, the one with most mistakes first.
        mistakes: images of one of these classes that are taken for another of them.
    """

    classes: list[int]
    mistakes: int


def look_alike_groups(counts: NDArray[np.int64]) -> tuple[list[LookAlikes], int]:
    """Group the classes that are taken for each other.

    Two classes are joined if enough images of one are taken for the other, both directions counted
    together. Enough is two, or more where that would join more than `MAX_CLASSES` classes.

    Args:
        counts: confusion matrix (classes, classes), labels in rows.

    Returns:
        Groups of two classes or more, most mistakes first, and the number of mistakes that joins.

    Example:
        >>> look_alike_groups(np.array([[8, 2, 0], [1, 9, 0], [0, 1, 9]]))
        ([LookAlikes(classes=[0, 1], mistakes=3)], 2)
    """
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    both = wrong + wrong.T
    joining = LEAST_MISTAKES
    members = _components(both, joining)
    while max(map(len, members), default=0) > MAX_CLASSES:
        joining += 1
        members = _components(both, joining)

    groups = []
    for classes in members:
        inside = wrong[np.ix_(classes, classes)]
        order = np.argsort(-inside.sum(axis=1), kind="stable")
        groups.append(LookAlikes([int(classes[n]) for n in order], int(inside.sum())))
    groups.sort(key=lambda group: (-group.mistakes, group.classes))
    return groups, joining


def _components(both: NDArray[np.int64], joining: int) -> list[NDArray[np.int64]]:
    """The connected sets of two classes or more."""
    _, numbers = connected_components(coo_array(both >= joining), directed=False)
    sets = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    return [classes for classes in sets if len(classes) > 1]
