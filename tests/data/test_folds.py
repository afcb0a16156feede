"""Folds: disjoint, grouped, stratified, seeded and as balanced as scikit-learn's."""

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from bestiary.data.folds import (
    assign_folds,
    find_rare_classes,
    join_groups,
    read_fold_file,
    water_fill,
)
from bestiary.errors import DataError

Dataset = tuple[pl.Series, pl.Series, np.ndarray, int, int]


def names_of(count: int) -> pl.Series:
    return pl.Series("path", [f"p{i:05d}.jpg" for i in range(count)])


@st.composite
def datasets(draw: st.DrawFn, largest_group: int = 6) -> Dataset:
    """Names, labels, groups of one class or several, number of folds and seed."""
    sizes = draw(st.lists(st.integers(1, largest_group), min_size=1, max_size=60))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n_classes = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    one_class_per_group = draw(st.booleans())
    if one_class_per_group:
        labels = rng.integers(n_classes, size=len(sizes))[groups]
    else:
        labels = rng.integers(n_classes, size=len(groups))
    order = rng.permutation(len(groups))
    seed = draw(st.integers(0, 10_000))
    names = names_of(len(groups))
    n_folds = draw(st.integers(2, 7))
    return names, pl.Series(labels[order]).cast(pl.String), groups[order], n_folds, seed


def counts_of(folds: np.ndarray, labels: pl.Series, n: int) -> np.ndarray:
    """Images of each class in each fold (n, classes)."""
    codes = np.unique(labels.to_numpy(), return_inverse=True)[1]
    table = np.zeros((n, codes.max() + 1), int)
    np.add.at(table, (folds, codes), 1)
    return table


@settings(max_examples=80, deadline=None)
@given(datasets())
def test_folds_cover_images_and_groups_stay_whole(data: Dataset) -> None:
    names, labels, groups, n, seed = data
    folds = assign_folds(names, labels, groups, n, seed)
    assert folds.shape == (len(names),) and folds.dtype == np.int64
    assert folds.min() >= 0 and folds.max() < n
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1


@settings(max_examples=80, deadline=None)
@given(datasets(largest_group=1))
def test_single_images_are_stratified_evenly(data: Dataset) -> None:
    names, labels, groups, n, seed = data
    counts = counts_of(assign_folds(names, labels, groups, n, seed), labels, n)
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


@settings(max_examples=60, deadline=None)
@given(datasets(), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_input_order(data: Dataset, random) -> None:  # type: ignore[no-untyped-def]
    names, labels, groups, n, seed = data
    order = list(range(len(names)))
    random.shuffle(order)
    renamed = np.array(random.sample(range(10**6), int(groups.max()) + 1))[groups]
    folds = assign_folds(names, labels, groups, n, seed)
    again = assign_folds(names[order], labels[order], renamed[order], n, seed)
    np.testing.assert_array_equal(again, folds[order])


def test_folds_depend_on_the_seed() -> None:
    names = names_of(200)
    groups = np.arange(200)
    labels = pl.Series(["a", "b", "c", "d"] * 50)
    first, again, one, two = (assign_folds(names, labels, groups, 5, seed) for seed in (0, 0, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert 0.1 < (first == one).mean() < 0.35  # 0.2 is chance
    assert 0.1 < (one == two).mean() < 0.35


def test_each_fold_is_equally_likely() -> None:
    names = names_of(23)
    labels = pl.Series(["a"] * 12 + ["b"] * 11)
    images = np.arange(23)
    counts = np.zeros((23, 5))
    for seed in range(400):
        counts[images, assign_folds(names, labels, images, 5, seed)] += 1
    assert np.abs(counts / 400 - 0.2).max() < 0.08  # four standard deviations


def test_mixed_group_sizes_are_stratified() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 5, 300))
    labels = pl.Series(rng.integers(6, size=300)[groups]).cast(pl.String)
    folds = assign_folds(names_of(len(groups)), labels, groups, 5, 0)
    counts = counts_of(folds, labels, 5)
    assert np.ptp(counts, axis=0).max() <= 2  # single images level out what groups left uneven
    assert np.ptp(counts.sum(axis=1)) <= 6


def test_balance_against_stratified_group_kfold() -> None:
    unevenness = []
    for seed in range(30):
        labels, groups = uneven_groups(seed)
        ours = assign_folds(names_of(len(groups)), labels, groups, 5, seed)
        theirs = stratified_group_kfold(labels, groups, seed)
        unevenness.append([unevenness_of(folds, labels) for folds in (ours, theirs)])
    of_ours, of_theirs = np.array(unevenness).T
    assert (of_ours <= of_theirs).sum() >= 20  # not worse on most of the 30 datasets
    assert of_ours.sum() <= 1.05 * of_theirs.sum()


def uneven_groups(seed: int) -> tuple[pl.Series, np.ndarray]:
    """Labels and groups of uneven sizes, of uneven classes; a few groups have two classes."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.4, 150)
    groups = np.repeat(np.arange(150), sizes)
    labels = rng.choice(8, size=150, p=rng.dirichlet(np.ones(8)))[groups]
    stray = rng.random(len(labels)) < 0.05
    labels[stray] = rng.integers(8, size=stray.sum())
    return pl.Series(labels), groups


def stratified_group_kfold(labels: pl.Series, groups: np.ndarray, seed: int) -> np.ndarray:
    """The five folds that scikit-learn assigns."""
    folds = np.empty(len(groups), int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        for fold, (_, held_out) in enumerate(splitter.split(groups, labels.to_numpy(), groups)):
            folds[held_out] = fold
    return folds


def unevenness_of(folds: np.ndarray, labels: pl.Series) -> int:
    """Squared distance of the class counts from their mean over five folds, times five.

    Whole numbers compare exactly.
    """
    counts = counts_of(folds, labels, 5)
    return int(((5 * counts - counts.sum(axis=0)) ** 2).sum())


def test_join_groups_by_any_shared_key() -> None:
    owner = pl.Series(["x", None, "y", "x", None, None, "z"])
    digest = pl.Series(["1", "1", "2", "3", "4", "5", "2"])
    groups = join_groups(owner, digest)
    members = {frozenset(np.flatnonzero(groups == g).tolist()) for g in np.unique(groups)}
    assert members == {frozenset({0, 1, 3}), frozenset({2, 6}), frozenset({4}), frozenset({5})}
    assert sorted(np.unique(groups)) == [0, 1, 2, 3]


def test_join_groups_ignores_nulls() -> None:
    nulls = pl.Series([None] * 5, dtype=pl.String)
    assert len(np.unique(join_groups(nulls))) == 5
    assert len(np.unique(join_groups(nulls, pl.Series(list("aabbc"))))) == 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(0, 12)), min_size=1, max_size=25)
)
def test_join_groups_are_connected_components(keys: list[tuple[int | None, int]]) -> None:
    one = pl.Series([key[0] for key in keys], dtype=pl.Int64)
    two = pl.Series([key[1] for key in keys], dtype=pl.Int64)
    groups = join_groups(one, two)

    # The plain way: take the smallest number among the images that share a key, until all agree.
    expected = list(range(len(keys)))
    for _ in keys:
        for i, (a, b) in enumerate(keys):
            expected[i] = min(
                expected[j] for j, (c, d) in enumerate(keys) if (a is not None and a == c) or b == d
            )
    assert (groups[:, None] == groups).tolist() == np.equal.outer(expected, expected).tolist()


def test_exact_duplicates_end_in_one_fold() -> None:
    digests = pl.Series([f"d{i % 40}" for i in range(100)])
    groups = join_groups(pl.Series([None] * 100, dtype=pl.String), digests)
    for seed in range(10):
        folds = assign_folds(names_of(100), pl.Series(["a", "b"] * 50), groups, 5, seed)
        for digest in digests.unique():
            assert len(np.unique(folds[(digests == digest).to_numpy()])) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(0, 40), st.integers(0, 99))
def test_water_fill_adds_to_the_lowest_one_by_one(
    heights: list[int], amount: int, seed: int
) -> None:
    preference = np.random.default_rng(seed).permutation(len(heights))
    poured = water_fill(np.array(heights), amount, preference)
    expected = np.array(heights)
    rank = np.argsort(preference)
    for _ in range(amount):
        lowest = np.flatnonzero(expected == expected.min())
        expected[lowest[np.argmin(rank[lowest])]] += 1
    np.testing.assert_array_equal(np.array(heights) + poured, expected)
    assert poured.min() >= 0 and poured.sum() == amount


def test_rare_classes_fewest_groups_first() -> None:
    labels = pl.Series(["a"] * 6 + ["b"] * 6 + ["c"] * 2 + ["d"] * 3)
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7, 8, 9, 10, 11, 12])
    assert find_rare_classes(labels, groups, 5) == [("b", 2), ("c", 2), ("d", 3)]
    assert find_rare_classes(labels, groups, 2) == []


PATHS = pl.Series("path", ["b.jpg", "a.jpg", "c.jpg", "d.jpg"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_fold_file_is_read_in_image_order(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"folds{suffix}"
    table = pl.DataFrame(
        {"fold": [0, 1, 2, 0, 1], "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "not-used.jpg"]}
    )
    _ = table.write_csv(file) if suffix == ".csv" else table.write_parquet(file)
    folds = read_fold_file(file, PATHS)
    assert folds.tolist() == [1, 0, 2, 0] and folds.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,fold\na.jpg,0\nb.jpg,1\n", "2 images have no fold, first 'c.jpg'"),
        ("path,fold\na.jpg,0\nb.jpg,2\nc.jpg,0\nd.jpg,2\n", "without a gap"),
        ("path,fold\na.jpg,1\nb.jpg,2\nc.jpg,1\nd.jpg,2\n", "without a gap"),
        ("path,fold\na.jpg,-1\nb.jpg,0\nc.jpg,1\nd.jpg,1\n", "without a gap"),
        ("path,fold\na.jpg,0\nb.jpg,0\nc.jpg,0\nd.jpg,0\n", "at least two"),
        ("path,fold\na.jpg,0\nb.jpg,1\nc.jpg,\nd.jpg,1\n", "1 image has no fold"),
        ("path,fold\na.jpg,first\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", "not a table with the columns"),
        ("path,part\na.jpg,0\n", "not a table with the columns"),
        ("", "not a table with the columns"),
        ("\x00\x01\x02", "not a table with the columns"),
        # One image with two folds: either choice would be arbitrary.
        ("path,fold\na.jpg,0\na.jpg,1\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", "a.jpg"),
        (
            "path,fold\na.jpg,0.5\nb.jpg,1\nc.jpg,0\nd.jpg,1\n",
            "0, 1, 2|whole|columns path and fold",
        ),
    ],
    ids=[
        "rows missing",
        "gap",
        "from one",
        "negative",
        "one fold",
        "no number",
        "text",
        "no column",
        "empty",
        "bytes",
        "two folds",
        "fraction",
    ],
)
def test_invalid_fold_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "folds.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_fold_file(file, PATHS)
    assert "\n" not in str(caught.value) and f"--folds {file}" in str(caught.value)


def test_paths_of_folds_may_be_spelled_otherwise(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("path,fold\n./a/1.jpg,0\na\\2.jpg,1\ns//3.jpg,1\n")
    images = pl.Series(["a/1.jpg", "a/2.jpg", "s//3.jpg"])  # a store may have two slashes
    assert read_fold_file(tmp_path / "f.csv", images).tolist() == [0, 1, 1]


def test_missing_or_non_parquet_fold_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("path,fold\n")
    for name in ("gone.csv", "gone.parquet", "text.parquet"):
        with pytest.raises(DataError, match="not a table with the columns"):
            read_fold_file(tmp_path / name, PATHS)
