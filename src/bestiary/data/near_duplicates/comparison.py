"""Candidate pairs -> tested pairs: screened by their thumbs, then proved on real pixels.

Only what passes the screen is read again, each file once as long as memory holds the images of one
component of the candidates. Knows nothing of labels.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from bestiary.cores import cores
from bestiary.data.components import components
from bestiary.data.decode import decode
from bestiary.data.near_duplicates.candidates import Pairs
from bestiary.data.near_duplicates.evidence import SIDE, Square
from bestiary.data.near_duplicates.linkage import Verdict, ends, join_proved
from bestiary.data.near_duplicates.proof import NEAR_DUPLICATE_PROBABILITY, Proof, prove, to_square
from bestiary.data.near_duplicates.screening import screen
from bestiary.data.near_duplicates.views import Affine, compose, flip_if, invert, is_mirrored
from bestiary.display import Tick
from bestiary.errors import ImageError

MIN_AGREEMENT = 0.4  # share of the blocks of two thumbs that agree; pairs with less are no proof's
MAX_PROOFS = 4  # pairs of each image that are proved, besides those across groups
MAX_SQUARES = 128  # images in memory at a time, 0.2 MB each
PAIRS_PER_ROUND = 512
PAIRS_PER_BATCH = MAX_SQUARES // 2  # whose images are all in memory when groups are compared
MAX_PATH = 8  # links whose maps are composed to compare two images of one group


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pair that was compared on real pixels.

    Attributes:
        image: Index of the image.
        partner: Index of its partner.
        affine: The map from the partner's unit square to the image's; it may mirror.
        proof: What the comparison found.
    """

    image: int
    partner: int
    affine: Affine
    proof: Proof

    @property
    def verdict(self) -> Verdict:
        """The pair and its verdict."""
        probability = self.proof.probability
        pair = ends(self.image, self.partner)
        return Verdict(pair, probability, probability >= NEAR_DUPLICATE_PROBABILITY)


@dataclass(frozen=True, slots=True)
class Promising:
    """A pair whose thumbs agree, with the map that aligns them and how much they agree."""

    image: int
    partner: int
    affine: Affine
    agreement: float = 0.0


class Squares:
    """Images as squares of real pixels, read when needed; those used last stay in memory.

    Args:
        read: Reads the file of an image. It raises an `ImageError` if the file is gone or has
            changed.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._squares: OrderedDict[int, Future[Square | None]] = OrderedDict()
        self._lock = Lock()
        self.short_sides: dict[int, int] = {}  # in pixels, of the images before they were squares
        self.unread: set[int] = set()  # images whose file is gone or has changed

    def __call__(self, image: int) -> Square | None:
        """The square of an image; None if its file cannot be read."""
        # The thread that asks first reads it; threads that ask meanwhile wait for that one.
        with self._lock:
            is_new = image not in self._squares
            square = self._squares.setdefault(image, Future())
            self._squares.move_to_end(image)
            while len(self._squares) > MAX_SQUARES:
                self._squares.popitem(last=False)
        if is_new:
            try:
                square.set_result(self._make(image))
            except BaseException as error:
                square.set_exception(error)
        return square.result()

    def _make(self, image: int) -> Square | None:
        try:
            pixels = decode(self._read(image), min_side=SIDE, white=None)
        except ImageError:
            self.unread.add(image)
            return None
        self.short_sides[image] = min(pixels.shape[:2])
        return to_square(pixels)


def screen_pairs(
    pairs: Pairs, thumbs: NDArray[np.uint8], thumb_of_image: NDArray[np.int64], progress: Tick
) -> list[Promising]:
    """Select the candidate pairs whose thumbs agree.

    Args:
        pairs: Candidates, see `candidate_pairs`.
        thumbs: Gray squares, uint8 (thumbs, side, side).
        thumb_of_image: Index of each image's thumb (images,).
        progress: Called with the number of pairs done.

    Returns:
        The pairs, in the order of the candidates.
    """

    def screen_row(row: NDArray[np.int32]) -> Promising | None:
        image, partner, view, is_flipped, _ = row.tolist()
        thumb = thumbs[thumb_of_image[image]]
        partner_thumb = thumbs[thumb_of_image[partner]]
        if is_flipped:
            partner_thumb = np.ascontiguousarray(partner_thumb[:, ::-1])
        screened = screen(thumb, partner_thumb, view)
        if screened is None or screened.agreement < MIN_AGREEMENT:
            return None
        affine = flip_if(is_flipped, screened.affine)
        return Promising(image, partner, affine, screened.agreement)

    promising = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(pairs), PAIRS_PER_ROUND):
            batch = pairs[start : start + PAIRS_PER_ROUND]
            promising += [pair for pair in pool.map(screen_row, batch) if pair is not None]
            progress(start + len(batch), len(pairs))
    return promising


def select_most_promising(promising: list[Promising]) -> list[Promising]:
    """Select the pairs that agree most, so that images of one outline do not all prove themselves.

    Args:
        promising: The pairs.

    Returns:
        Those among the `MAX_PROOFS` that agree most of either of their images, in the same order.
    """
    order = sorted(range(len(promising)), key=lambda index: -promising[index].agreement)
    count: Counter[int] = Counter()
    selected = []
    for index in order:
        pair = promising[index]
        if min(count[pair.image], count[pair.partner]) < MAX_PROOFS:
            count.update((pair.image, pair.partner))
            selected.append(index)
    return [promising[index] for index in sorted(selected)]


def compare_pairs(
    promising: list[Promising], n_images: int, squares: Squares, progress: Tick
) -> list[Comparison]:
    """Compare pairs on real pixels, and those across the groups that the proved ones would join.

    Args:
        promising: The pairs.
        n_images: Number of images.
        squares: Reads the images.
        progress: Called with the number of pairs done.
    """
    comparisons = []
    n_done = 0
    with ThreadPoolExecutor(cores()) as pool:
        for batch in _by_component(promising, n_images):
            order = _reading_order(batch)
            in_order = pool.map(partial(compare, squares=squares), [batch[i] for i in order])
            found = dict(zip(order, in_order, strict=True))
            compared = [one for _, one in sorted(found.items()) if one is not None]
            comparisons += compared
            groups = _by_proved_links(compared)
            for added in pool.map(partial(_compare_across, squares=squares), groups):
                comparisons += added
            n_done += len(batch)
            progress(n_done, len(promising))
    return comparisons


def compare(pair: Promising, squares: Squares) -> Comparison | None:
    """Compare one pair on real pixels; None if a file is gone or nothing can be compared."""
    image = squares(pair.image)
    partner = squares(pair.partner)
    if image is None or partner is None:
        return None

    is_flipped = is_mirrored(pair.affine)
    start = flip_if(is_flipped, pair.affine)
    if is_flipped:
        partner = np.ascontiguousarray(partner[:, ::-1])
    short_side = min(squares.short_sides[index] for index in (pair.image, pair.partner))
    proof = prove(image, partner, start, short_side)
    if proof is None:
        return None
    return Comparison(pair.image, pair.partner, flip_if(is_flipped, proof.affine), proof)


def _by_component(promising: list[Promising], n_images: int) -> Iterator[list[Promising]]:
    """The pairs in batches of whole components: no image is in two batches."""
    links = np.array([(pair.image, pair.partner) for pair in promising], np.int64).reshape(-1, 2)
    component = components(links, n_images)[links[:, 0]]
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order])) + 1
    batch: list[Promising] = []
    for indices in np.split(order, starts):
        batch += [promising[index] for index in indices]
        if len(batch) >= PAIRS_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _reading_order(pairs: list[Promising]) -> list[int]:
    """Order pairs so that those of one image are near each other, and few images are read twice.

    Of 973 drawn images in one component, 256 squares read as few twice as 512 without an order.
    Source: the reverse Cuthill-McKee order of SciPy, which keeps neighbors of a graph together.
    """
    links = np.array([(pair.image, pair.partner) for pair in pairs], np.int64)
    images, ends_of = np.unique(links, return_inverse=True)
    ends_of = ends_of.reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), ends_of.T), shape=(len(images), len(images))).tocsr()
    place = np.empty(len(images), np.int64)
    place[reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)] = np.arange(len(images))
    places = np.sort(place[ends_of], axis=1)
    return [int(index) for index in np.lexsort((places[:, 0], places[:, 1]))]


def _by_proved_links(compared: list[Comparison]) -> list[list[Comparison]]:
    """The comparisons among images that proved pairs link; where there is but one, none is left."""
    images = np.array([(one.image, one.partner) for one in compared], np.int64).reshape(-1, 2)
    is_proved = np.array([one.verdict.is_proved for one in compared], np.bool_)
    numbers, ends_of = np.unique(images, return_inverse=True)
    ends_of = ends_of.reshape(-1, 2)
    component = components(ends_of[is_proved], len(numbers))[ends_of]
    groups: dict[int, list[Comparison]] = {}
    for comparison, (one, other) in zip(compared, component.tolist(), strict=True):
        if one == other:
            groups.setdefault(one, []).append(comparison)
    return [group for group in groups.values() if len(group) > 1]


def _compare_across(compared: list[Comparison], squares: Squares) -> list[Comparison]:
    """Compare pairs of the groups to be that the search did not name."""
    maps: dict[int, dict[int, Affine]] = {}
    for comparison in compared:
        if comparison.verdict.is_proved:
            image = comparison.image
            partner = comparison.partner
            maps.setdefault(partner, {})[image] = comparison.affine
            maps.setdefault(image, {})[partner] = invert(comparison.affine)

    added = []

    def judge(image: int, partner: int) -> Verdict | None:
        affine = _path_map(maps, partner, image)
        if affine is None:
            return None
        comparison = compare(Promising(image, partner, affine), squares)
        if comparison is None:
            return None
        added.append(comparison)
        return comparison.verdict

    join_proved((comparison.verdict for comparison in compared), judge=judge)
    return added


def _path_map(maps: dict[int, dict[int, Affine]], start: int, goal: int) -> Affine | None:
    """Compose the maps along the shortest path of proved pairs; None: it is too long."""
    came_from: dict[int, int] = {start: start}
    front = [start]
    for _ in range(MAX_PATH):
        next_front = []
        for image in front:
            for neighbor in maps.get(image, {}):
                if neighbor not in came_from:
                    came_from[neighbor] = image
                    next_front.append(neighbor)
        if goal in came_from:
            return _composed(maps, came_from, goal)
        front = next_front
    return None


def _composed(maps: dict[int, dict[int, Affine]], came_from: dict[int, int], goal: int) -> Affine:
    """Compose the maps of a path that is known by the image before each; the first is its own."""
    path = [goal]
    while came_from[path[-1]] != path[-1]:
        path.append(came_from[path[-1]])
    affine = np.eye(2, 3)
    for number in range(len(path) - 1, 0, -1):
        affine = compose(maps[path[number]][path[number - 1]], affine)
    return affine
