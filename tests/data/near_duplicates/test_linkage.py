"""Linkage: links join groups, chains of strangers and denied pairs do not."""

from bestiary.data.near_duplicates.linkage import Verdict, join_proved


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
