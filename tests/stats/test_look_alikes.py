"""Groups of classes that are taken for each other."""

import numpy as np

from bestiary.stats.look_alikes import MAX_CLASSES, look_alike_groups


def test_one_mistake_joins_nothing() -> None:
    counts = np.diag([9, 9, 9])
    counts[0, 1] = 1
    assert look_alike_groups(counts) == ([], 2)


def test_groups_are_sorted_by_mistakes() -> None:
    counts = np.diag([9] * 5)
    counts[0, 1] = counts[1, 0] = 1  # both directions count together
    counts[3, 4] = 5
    groups, joining = look_alike_groups(counts)
    assert [(group.classes, group.mistakes) for group in groups] == [([3, 4], 5), ([0, 1], 2)]
    assert joining == 2


def test_more_mistakes_join_where_all_would_be_one_group() -> None:
    size = 3 * MAX_CLASSES
    counts = np.full((size, size), 1)
    counts[0, 1] = 9
    groups, joining = look_alike_groups(counts)
    assert joining > 2
    assert [group.classes for group in groups] == [[0, 1]]
