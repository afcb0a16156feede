"""Linkage: links join groups, chains of strangers and denied pairs do not."""

from itertools import combinations, product

import numpy as np
import pytest

from bestiary.data.near_duplicates.linkage import MAX_ACROSS_MEMBERS, Ends, Verdict, join_proved


def proved(one: int, other: int, probability: float = 0.999) -> Verdict:
    return Verdict((one, other), probability, True)


def refuted(one: int, other: int) -> Verdict:
    return Verdict((one, other), 0.01, False)


def test_proved_pairs_join() -> None:
    assert join_proved([proved(0, 1), proved(1, 2), proved(4, 5)]) == [[0, 1, 2], [4, 5]]


def test_refuted_pairs_join_nothing() -> None:
    assert join_proved([refuted(0, 1)]) == []


def test_one_wrong_link_joins_no_two_groups() -> None:
    inside = [proved(0, 1), proved(2, 3)]
    across = [proved(1, 2, 0.995), refuted(0, 2), refuted(0, 3), refuted(1, 3)]
    assert join_proved([*inside, *across]) == [[0, 1], [2, 3]]


def test_chain_breaks_at_its_weakest_link() -> None:
    chain = [proved(0, 1, 0.9999), proved(1, 2, 0.9995), proved(2, 3, 0.995)]
    strangers = [refuted(0, 2), refuted(0, 3), refuted(1, 3)]
    groups = join_proved([*chain, *strangers])
    assert [0, 1] in [group[:2] for group in groups]
    assert [0, 1, 2, 3] not in groups


def test_untested_pairs_are_tested_before_groups_join() -> None:
    asked = []

    def judge(one: int, other: int) -> Verdict:
        asked.append((one, other))
        return refuted(one, other)

    pairs = [proved(0, 1, 0.9999), proved(1, 2, 0.999), proved(2, 3, 0.9999)]
    assert join_proved(pairs, judge=judge) == [[0, 1], [2, 3]]
    assert asked == [(0, 2), (0, 3), (1, 3)]


def test_pairs_that_cannot_be_compared_do_not_count() -> None:
    pairs = [proved(0, 1), proved(1, 2)]
    assert join_proved(pairs, judge=lambda *_: None) == [[0, 1, 2]]


def test_denied_pairs_are_in_no_group() -> None:
    pairs = [proved(0, 1, 0.9999), proved(1, 2), proved(0, 2)]
    assert join_proved(pairs, denied=frozenset({(0, 2)})) == [[0, 1]]


def test_denied_pair_keeps_large_groups_apart() -> None:
    """A pair that no link names, of the last members of two groups."""
    inside = [proved(image, image + 1, 0.9999) for image in (0, 1, 3, 4)]
    assert join_proved([*inside, proved(0, 3)]) == [[0, 1, 2, 3, 4, 5]]
    assert join_proved([*inside, proved(0, 3)], frozenset({(2, 5)})) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_those_of_all_comparisons(seed: int) -> None:
    """Comparing only until the answer is sure joins what comparing everything joins."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=18)
    truth: dict[Ends, bool | None] = {
        (one, other): bool(rng.random() < (0.75 if kind[one] == kind[other] else 0.2))
        if rng.random() < 0.9
        else None
        for one, other in combinations(range(18), 2)
    }
    links = [pair for pair, answer in truth.items() if answer is not None and rng.random() < 0.3]
    pairs = [Verdict(pair, float(rng.random()), bool(truth[pair])) for pair in links]
    asked: set[Ends] = set()

    def judge(one: int, other: int) -> Verdict | None:
        assert (one, other) not in asked
        asked.add((one, other))
        answer = truth[one, other]
        return None if answer is None else Verdict((one, other), 0.5, answer)

    assert join_proved(pairs, judge=judge) == joined_by_all(pairs, truth)
    assert len(asked) < 18 * 17 // 2 - len(links)


def joined_by_all(pairs: list[Verdict], truth: dict[Ends, bool | None]) -> list[list[int]]:
    """Join groups by all pairs of their first members, as if each had been compared."""
    group_of = {image: [image] for pair in truth for image in pair}
    for link in sorted(pairs, key=lambda pair: (-pair.probability, pair.ends)):
        one, other = (group_of[image] for image in link.ends)
        if one is other or not link.is_proved:
            continue
        firsts = product(one[:MAX_ACROSS_MEMBERS], other[:MAX_ACROSS_MEMBERS])
        answers = [truth[min(pair), max(pair)] for pair in firsts]
        if answers.count(True) >= answers.count(False):
            one += other
            group_of |= dict.fromkeys(other, one)
    groups = {id(group): sorted(group) for group in group_of.values() if len(group) > 1}
    return sorted(groups.values())
