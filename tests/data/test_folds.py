"""Folds: disjoint, covering, grouped, stratified, seeded, and no less balanced than
scikit-learn's.
"""

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from bestiary.data.folds import check_class_sizes, deal, join_groups, read_fold_file, water_fill
from bestiary.errors import DataError

Dealt = tuple[pl.Series, pl.Series, np.ndarray, int, int]


def names_of(count: int) -> pl.Series:
    return pl.Series("path", [f"p{i:05d}.jpg" for i in range(count)])


@st.composite
def data_sets(draw: st.DrawFn, largest_group: int = 6) -> Dealt:
    """Names, labels, groups of one class or several, number of folds and seed."""
    sizes = draw(st.lists(st.integers(1, largest_group), min_size=1, max_size=60))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    kinds = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    pure = draw(st.booleans())
    labels = (
        rng.integers(kinds, size=len(sizes))[groups]
        if pure
        else rng.integers(kinds, size=len(groups))
    )
    order = rng.permutation(len(groups))
    seed = draw(st.integers(0, 10_000))
    return (
        names_of(len(groups)),
        pl.Series(labels[order]).cast(pl.String),
        groups[order],
        draw(st.integers(2, 7)),
        seed,
    )


def counts_of(folds: np.ndarray, labels: pl.Series, n: int) -> np.ndarray:
    """Images of each class in each fold (n, classes)."""
    codes = np.unique(labels.to_numpy(), return_inverse=True)[1]
    table = np.zeros((n, codes.max() + 1), int)
    np.add.at(table, (folds, codes), 1)
    return table


@settings(max_examples=80, deadline=None)
@given(data_sets())
def test_every_image_is_in_one_fold_and_no_group_straddles(data: Dealt) -> None:
    names, labels, groups, n, seed = data
    folds = deal(names, labels, groups, n, seed)
    assert folds.shape == (len(names),) and folds.dtype == np.int64
    assert folds.min() >= 0 and folds.max() < n
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1


@settings(max_examples=80, deadline=None)
@given(data_sets(largest_group=1))
def test_images_that_stand_alone_are_spread_evenly_in_each_class_and_in_all(data: Dealt) -> None:
    names, labels, groups, n, seed = data
    counts = counts_of(deal(names, labels, groups, n, seed), labels, n)
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


@settings(max_examples=60, deadline=None)
@given(data_sets(), st.randoms(use_true_random=False))
def test_the_deal_is_the_same_for_any_order_and_any_numbering_of_groups(
    data: Dealt, random
) -> None:  # type: ignore[no-untyped-def]
    names, labels, groups, n, seed = data
    order = list(range(len(names)))
    random.shuffle(order)
    renamed = np.array(random.sample(range(10**6), int(groups.max()) + 1))[groups]
    folds = deal(names, labels, groups, n, seed)
    again = deal(names[order], labels[order], renamed[order], n, seed)
    np.testing.assert_array_equal(again, folds[order])


def test_the_deal_is_repeatable_and_depends_on_the_seed() -> None:
    names, groups = names_of(200), np.arange(200)
    labels = pl.Series(["a", "b", "c", "d"] * 50)
    deals = [deal(names, labels, groups, 5, seed) for seed in (0, 0, 1, 2)]
    np.testing.assert_array_equal(deals[0], deals[1])
    assert 0.1 < (deals[0] == deals[2]).mean() < 0.35  # 0.2 is chance
    assert 0.1 < (deals[2] == deals[3]).mean() < 0.35


def test_an_image_is_as_likely_in_any_fold() -> None:
    names, labels, groups = names_of(23), pl.Series(["a"] * 12 + ["b"] * 11), np.arange(23)
    seen = np.zeros((23, 5))
    for seed in range(400):
        seen[np.arange(23), deal(names, labels, groups, 5, seed)] += 1
    assert np.abs(seen / 400 - 0.2).max() < 0.08  # four standard deviations


def test_groups_of_mixed_sizes_are_spread_with_their_classes() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 5, 300))
    labels = pl.Series(rng.integers(6, size=300)[groups]).cast(pl.String)
    counts = counts_of(deal(names_of(len(groups)), labels, groups, 5, 0), labels, 5)
    assert np.ptp(counts, axis=0).max() <= 2  # single images level out what groups left uneven
    assert np.ptp(counts.sum(axis=1)) <= 6


def test_our_folds_are_no_less_balanced_than_scikit_learns() -> None:
    unevenness = []
    for draw in range(30):
        rng = np.random.default_rng(draw)
        sizes = rng.geometric(0.4, 150)
        groups = np.repeat(np.arange(150), sizes)
        labels = rng.choice(8, size=150, p=rng.dirichlet(np.ones(8)))[groups]
        stray = rng.random(len(labels)) < 0.05  # a few groups of two classes
        labels[stray] = rng.integers(8, size=stray.sum())
        ours = counts_of(
            deal(names_of(len(groups)), pl.Series(labels), groups, 5, draw), pl.Series(labels), 5
        )
        folds = np.empty(len(groups), int)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=draw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with fewer images than folds
            for fold, (_, held_out) in enumerate(splitter.split(groups, labels, groups)):
                folds[held_out] = fold
        theirs = counts_of(folds, pl.Series(labels), 5)
        # Whole numbers, so that equal splits compare as equal: n times the squared distance from
        # the mean of n folds.
        unevenness.append(
            [((5 * counts - counts.sum(axis=0)) ** 2).sum() for counts in (ours, theirs)]
        )
    ours_, theirs_ = np.array(unevenness).T
    assert (ours_ <= theirs_).sum() >= 20  # not worse on most of the 30 draws
    assert ours_.sum() <= 1.05 * theirs_.sum()


def test_images_that_share_any_key_are_in_one_group() -> None:
    owner = pl.Series(["x", None, "y", "x", None, None, "z"])
    digest = pl.Series(["1", "1", "2", "3", "4", "5", "2"])
    groups = join_groups(owner, digest)
    together = {frozenset(np.flatnonzero(groups == g).tolist()) for g in np.unique(groups)}
    assert together == {frozenset({0, 1, 3}), frozenset({2, 6}), frozenset({4}), frozenset({5})}
    assert sorted(np.unique(groups)) == [0, 1, 2, 3]


def test_nulls_share_nothing() -> None:
    assert len(np.unique(join_groups(pl.Series([None] * 5, dtype=pl.String)))) == 5
    assert (
        len(
            np.unique(join_groups(pl.Series([None] * 5, dtype=pl.String), pl.Series(list("aabbc"))))
        )
        == 3
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(0, 12)), min_size=1, max_size=25)
)
def test_groups_are_the_connected_components(keys: list[tuple[int | None, int]]) -> None:
    one, two = (
        pl.Series([k[0] for k in keys], dtype=pl.Int64),
        pl.Series([k[1] for k in keys], dtype=pl.Int64),
    )
    groups = join_groups(one, two)
    expected = list(range(len(keys)))
    # the plain way: take over the smallest number among those that share a key, until nothing moves
    for _ in keys:
        for i, (a, b) in enumerate(keys):
            shared = [
                expected[j] for j, (c, d) in enumerate(keys) if (a is not None and a == c) or b == d
            ]
            expected[i] = min(shared)
    assert (groups[:, None] == groups).tolist() == (np.equal.outer(expected, expected)).tolist()


def test_exact_duplicates_end_in_one_fold() -> None:
    digests = pl.Series([f"d{i % 40}" for i in range(100)])
    groups = join_groups(pl.Series([None] * 100, dtype=pl.String), digests)
    for seed in range(10):
        folds = deal(names_of(100), pl.Series(["a", "b"] * 50), groups, 5, seed)
        for digest in digests.unique():
            assert len(np.unique(folds[(digests == digest).to_numpy()])) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(0, 40), st.integers(0, 99))
def test_levelling_pours_one_by_one_onto_the_lowest(
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


def test_classes_with_fewer_groups_than_folds_are_named_fewest_first() -> None:
    labels = pl.Series(["a"] * 6 + ["b"] * 6 + ["c"] * 2 + ["d"] * 3)
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7, 8, 9, 10, 11, 12])
    assert check_class_sizes(labels, groups, 5) == [("b", 2), ("c", 2), ("d", 3)]
    assert check_class_sizes(labels, groups, 2) == []


PATHS = pl.Series("path", ["b.jpg", "a.jpg", "c.jpg", "d.jpg"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_users_own_folds_are_read_in_the_order_of_the_images(tmp_path: Path, suffix: str) -> None:
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
        ("path,fold\na.jpg,0\nb.jpg,1\nc.jpg,\nd.jpg,1\n", "1 images have no fold"),
        ("path,fold\na.jpg,first\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", "not a table with the columns"),
        ("path,part\na.jpg,0\n", "not a table with the columns"),
        ("", "not a table with the columns"),
        ("\x00\x01\x02", "not a table with the columns"),
        # one image, two folds: which of the two would be chance
        ("path,fold\na.jpg,0\na.jpg,1\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", "a.jpg"),
        ("path,fold\na.jpg,0.5\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", "0, 1, 2|whole|columns path and fold"),
    ],
    ids=["rows missing", "gap", "from one", "negative", "one fold", "no number", "text", "no column", "empty",
         "bytes", "two folds", "fraction"],
)  # fmt: skip
def test_a_fold_file_that_will_not_do_is_refused_with_one_line(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "folds.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_fold_file(file, PATHS)
    assert "\n" not in str(caught.value) and f"--folds {file}" in str(caught.value)


def test_a_fold_file_that_is_not_there_or_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("path,fold\n")
    for name in ("gone.csv", "gone.parquet", "text.parquet"):
        with pytest.raises(DataError, match="not a table with the columns"):
            read_fold_file(tmp_path / name, PATHS)
