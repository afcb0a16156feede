"""Balanced epochs: as many images of each class, in turns, the same in every process."""

import numpy as np

from bestiary.data.epoch_order import balanced_rows, occurrences

LABELS = np.repeat([0, 1, 2], [60, 30, 5])


def test_classes_have_as_many_images() -> None:
    rows = balanced_rows(LABELS, 0, 1, 2)
    assert len(rows) == len(LABELS)
    counts = np.bincount(LABELS[rows])
    assert counts.max() - counts.min() <= 1
    assert set(rows[LABELS[rows] == 2]) == set(range(90, 95))


def test_no_image_comes_again_before_its_turn() -> None:
    rows = balanced_rows(LABELS, 0, 1, 2)
    rare = np.bincount(rows[LABELS[rows] == 2] - 90)
    assert rare.max() - rare.min() <= 1
    large = rows[LABELS[rows] == 0]
    assert len(set(large)) == len(large)  # 31 or 32 of its 60


def test_epochs_differ_and_repeat() -> None:
    first = balanced_rows(LABELS, 0, 1, 2)
    assert (first == balanced_rows(LABELS, 0, 1, 2)).all()
    for other in ((1, 1, 2), (0, 0, 2), (0, 1, 3)):
        assert (first != balanced_rows(LABELS, *other)).any()


def test_a_class_without_images_is_left_out() -> None:
    assert np.bincount(np.array([0, 2])[balanced_rows(np.array([0, 2]), 0, 0, 0)]).tolist() == [
        1,
        0,
        1,
    ]


def test_occurrences_count_repetitions() -> None:
    rows = balanced_rows(LABELS, 0, 0, 0)
    numbered = rows + 1000 * occurrences(rows)
    assert len(set(numbered.tolist())) == len(rows)
    assert (numbered % 1000 == rows).all()
