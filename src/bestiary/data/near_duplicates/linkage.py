"""Verdict pairs -> groups of near duplicates whose members are proved pairwise, not in a chain.

Links are followed from the surest on. Two groups are joined only if at least half of the tested
pairs across them are proved, so a single wrong link joins no strangers. Knows nothing of images.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

Ends = tuple[int, int]  # the two images of a pair, the lower first

MIN_PROVED_SHARE = 0.5  # of the tested pairs across two groups
MAX_ACROSS_MEMBERS = 6  # of each group whose pairs are looked at


class Verdict(NamedTuple):
    """A pair that was compared.

    Attributes:
        ends: Its images.
        probability: That they are near duplicates.
        is_proved: Whether that is enough.
    """

    ends: Ends
    probability: float
    is_proved: bool


Judge = Callable[[int, int], Verdict | None]
"""Compares two images of one group to be; None: there is nothing to compare."""


def ends(image: int, partner: int) -> Ends:
    """The images of a pair, the lower first."""
    return (min(image, partner), max(image, partner))


def join_proved(
    pairs: Iterable[Verdict], denied: frozenset[Ends] = frozenset(), judge: Judge | None = None
) -> list[list[int]]:
    """Join images to groups.

    Args:
        pairs: All tested pairs, each once.
        denied: Pairs that a person says are no near duplicates; no group has both.
        judge: Compares pairs across two groups that were not tested yet, as long as these can still
            decide; None: they do not count.

    Returns:
        The groups of two and more images.
    """
    groups = _Groups(pairs, denied, judge)
    for pair in groups.proved():
        groups.join(pair.ends)
    return groups.members()


class _Groups:
    """Groups that grow link by link."""

    def __init__(
        self, pairs: Iterable[Verdict], denied: frozenset[Ends], judge: Judge | None
    ) -> None:
        self._verdict: dict[Ends, bool | None] = {}
        self._proved = []
        for pair in pairs:
            self._verdict[pair.ends] = pair.is_proved
            if pair.is_proved:
                self._proved.append(pair)
        self._denied_of: dict[int, list[int]] = {}
        for image, partner in denied:
            self._denied_of.setdefault(image, []).append(partner)
            self._denied_of.setdefault(partner, []).append(image)
        self._judge = judge
        self._members_of: dict[int, list[int]] = {}

    def proved(self) -> list[Verdict]:
        """The proved pairs, the surest first."""
        return sorted(self._proved, key=lambda pair: (-pair.probability, pair.ends))

    def members(self) -> list[list[int]]:
        """The groups, each sorted."""
        groups = {id(group): sorted(group) for group in self._members_of.values()}
        return sorted(group for group in groups.values() if len(group) > 1)

    def join(self, link: Ends) -> None:
        """Join the groups of two images, unless the pairs across them speak against it."""
        one, other = (self._members_of.setdefault(image, [image]) for image in link)
        if one is other or not self._belong_together(one, other):
            return
        one += other
        for image in other:
            self._members_of[image] = one

    def _belong_together(self, one: list[int], other: list[int]) -> bool:
        if self._has_denied(*sorted((one, other), key=len)):
            return False
        across = [
            ends(*pair) for pair in product(one[:MAX_ACROSS_MEMBERS], other[:MAX_ACROSS_MEMBERS])
        ]
        # Pairs that were tested come first: often they decide, and nothing more is compared.
        across.sort(key=lambda pair: pair not in self._verdict)
        n_proved = 0
        n_tested = 0
        n_left = len(across)
        for pair in across:
            verdict = self._verdict_of(pair)
            n_left -= 1
            n_proved += verdict is True
            n_tested += verdict is not None
            if n_proved >= MIN_PROVED_SHARE * (n_tested + n_left):
                return True  # even if no further pair is proved
            if n_proved + n_left < MIN_PROVED_SHARE * (n_tested + n_left):
                return False  # even if all of them are
        return n_proved >= MIN_PROVED_SHARE * n_tested

    def _has_denied(self, smaller: list[int], larger: list[int]) -> bool:
        """Whether a person has said no to a pair across two groups."""
        return any(
            self._members_of.get(partner) is larger
            for image in smaller
            for partner in self._denied_of.get(image, ())
        )

    def _verdict_of(self, pair: Ends) -> bool | None:
        """Whether a pair is proved; None: not tested, or nothing to compare."""
        if pair not in self._verdict and self._judge is not None:
            verdict = self._judge(*pair)
            self._verdict[pair] = verdict.is_proved if verdict else None
        return self._verdict.get(pair)
