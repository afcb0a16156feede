"""Perceptual hashes -> candidate pairs of near duplicates: hashes that are close, in about n log n.

The view of one image is compared with the whole of another, mirrored or not.

Close hashes share their first bits under some order of the bits. So the hashes are sorted under
each of several orders. Each hash is compared with its few neighbors in the sorted list (Charikar
2002, doi:10.1145/509907.509965, section 3). Unlike hash buckets, this costs the same whether the
hashes are spread out or all alike. Knows nothing of pixels.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.data.near_duplicates.hashes import MIRROR, Hashes, pack_bits
from bestiary.data.near_duplicates.views import FIRST_ROTATION, FIRST_TURN

# Among 20,000 hashes, each order of the bits finds a pair that differs in 8 of 64 bits in about 0.2
# of cases.
BIT_ORDERS = 32

# The windows of an image are many. Among very many images they are looked up under fewer orders, so
# that their search takes no more than this many lookups of each window, or `MIN_WINDOW_ORDERS`.
MAX_WINDOW_LOOKUPS = 1 << 20
MIN_WINDOW_ORDERS = 4
NEIGHBORS_PER_SIDE = 6  # hashes compared on either side in the sorted list
CANDIDATE_MAX_DISTANCE = 15  # differing bits of 64; `Packed` has 4 bits for it
MAX_PARTNERS = 16  # candidates for each image
QUERY_IMAGES = 1 << 17  # images looked up at a time by one thread
QUERY_HASHES = 1 << 14  # fewer images are looked up by several of their views at a time

Pairs = NDArray[np.int32]
"""(pairs, 5): image, partner, the image's view that resembles the whole partner, whether the
partner is mirrored (0 or 1), distance.
"""

DETAIL_BITS = 13  # of a packed pair that are not its images

Packed = NDArray[np.uint64]
"""Pairs as one integer each. One sort brings the matches of a pair together, nearest first.

From the highest bit: the two images, distance (4 bits), whether the image is the later of the two
(1), view (7), mirrored (1).
"""

Query = tuple[list[int], int]
"""Views, and the first of `QUERY_IMAGES` images, which are looked up together."""

Neighbors = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]
"""Index of a key, index of its neighbor's hash, distance; (close pairs,) each."""


class _SortedHashes(NamedTuple):
    """The hashes of whole images, plain and mirrored, sorted under one order of the bits.

    Attributes:
        keys: The reordered hashes, ascending (2 * images,).
        hash_index: Which hash each key is (2 * images,): plain ones first, then mirrored ones.
        octet_table: The order of the bits, see `_octet_table`.
    """

    keys: Hashes
    hash_index: NDArray[np.int64]
    octet_table: NDArray[np.uint64]

    @classmethod
    def under(cls, bit_order: NDArray[np.int64], hashes: Hashes) -> Self:
        """Sort `hashes` under an order of their bits."""
        octet_table = _octet_table(bit_order)
        keys = _reorder_bits(hashes, octet_table)
        hash_index = np.argsort(keys)
        return cls(keys[hash_index], hash_index, octet_table)

    def close_neighbors(self, keys: Hashes) -> Iterator[Neighbors]:
        """Compare keys with their neighbors in the list, one position at a time.

        Args:
            keys: Reordered hashes, ascending (keys,).

        Yields:
            The close pairs at one position, see `Neighbors`.
        """
        positions = np.searchsorted(self.keys, keys)
        last = len(self.keys) - 1
        for step in range(-NEIGHBORS_PER_SIDE, NEIGHBORS_PER_SIDE):
            neighbor = positions + step
            np.clip(neighbor, 0, last, out=neighbor)
            distance = np.bitwise_count(self.keys[neighbor] ^ keys)
            is_close = distance <= CANDIDATE_MAX_DISTANCE
            close = np.flatnonzero(is_close)
            yield close, self.hash_index[neighbor[close]], distance[close]


def candidate_pairs(hashes: Hashes) -> Pairs:
    """Find pairs of images where one resembles a view of the other, mirrored or not.

    Args:
        hashes: (images, views); the first view is the whole image.

    Returns:
        Each pair once, nearest first, and only the nearest `MAX_PARTNERS` of each image.
    """
    n_images = len(hashes)
    packed = _search_pairs(hashes)
    nearest = _drop_far_partners(packed, n_images)
    image, partner = _image_and_partner(nearest, n_images)
    order = np.lexsort((partner, image, _distances(nearest)))
    del image, partner  # of tens of millions of pairs, as the next ones
    nearest = nearest[order]
    del order
    return _unpack(nearest, n_images)


def _search_pairs(hashes: Hashes) -> Packed:
    """Search for close pairs under every order of the bits; return each pair once."""
    n_images = len(hashes)
    plain = hashes[:, 0]
    plain_and_mirrored = np.concatenate([plain, plain ^ MIRROR])
    views = range(hashes.shape[1])
    few_views = [view for view in views if not view or FIRST_TURN <= view < FIRST_ROTATION]
    window_orders = max(MIN_WINDOW_ORDERS, MAX_WINDOW_LOOKUPS // max(1, n_images))

    # The orders of the bits are part of the method, not of a run, so their seed is fixed. This is
    # one of the exceptions to `bestiary.rng` that CONTRIBUTING.md names.
    rng = np.random.default_rng(0)
    nearest = np.empty(0, np.uint64)
    with ThreadPoolExecutor(cores()) as pool:
        for number in range(BIT_ORDERS):
            queries = _queries(views if number < window_orders else few_views, n_images)
            bit_order = rng.permutation(64)
            sorted_hashes = _SortedHashes.under(bit_order, plain_and_mirrored)
            find_pairs = partial(_find_close_pairs, sorted_hashes, hashes)
            new_pairs = pool.map(find_pairs, queries)
            nearest = _nearest_of_each_pair(np.concatenate([nearest, *new_pairs]))

            # If very many images are alike, memory must not grow with the number of their pairs.
            if len(nearest) > 2 * MAX_PARTNERS * n_images:
                nearest = _drop_far_partners(nearest, n_images)
    return nearest


def _queries(views: Sequence[int], n_images: int) -> list[Query]:
    """List every view with the first image of each run of `QUERY_IMAGES` images.

    Few images have several views in a query: each query costs 0.3 ms at least.
    """
    views_together = max(1, QUERY_HASHES // max(1, n_images))
    queries = []
    for first in range(0, len(views), views_together):
        together = list(views[first : first + views_together])
        for start in range(0, n_images, QUERY_IMAGES):
            queries.append((together, start))
    return queries


def _octet_table(bit_order: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Tabulate where the bits of each octet of a hash go under another order of the bits.

    Returns:
        (8, 256): for each of the eight octets of a hash and each of its 256 values.
    """
    octet_values = np.arange(256, dtype=np.uint8)
    octet_bits = np.unpackbits(octet_values[:, None], axis=1)
    bits = np.zeros((8, 256, 64), np.uint8)
    for octet in range(8):
        first_bit = 8 * octet
        bits[octet, :, first_bit : first_bit + 8] = octet_bits

    reordered = bits[:, :, bit_order].reshape(-1, 64)
    return pack_bits(reordered).reshape(8, 256)


def _reorder_bits(hashes: Hashes, octet_table: NDArray[np.uint64]) -> Hashes:
    """Put the bits of hashes (images,) in another order; every distance stays the same."""
    big_endian = hashes.astype(">u8")
    octets = big_endian.view(np.uint8).reshape(-1, 8)
    reordered: NDArray[np.uint64] = octet_table[0, octets[:, 0]]
    for octet in range(1, 8):
        reordered |= octet_table[octet, octets[:, octet]]
    return reordered


def _find_close_pairs(sorted_hashes: _SortedHashes, hashes: Hashes, query: Query) -> Packed:
    """Compare some images' hashes of some views with their neighbors among the sorted hashes.

    Args:
        sorted_hashes: Hashes of the whole images.
        hashes: (images, views).
        query: Which of `hashes`.
    """
    views, start = query
    n_images = len(hashes)
    view_hashes = hashes[start : start + QUERY_IMAGES, views].ravel()
    keys = _reorder_bits(view_hashes, sorted_hashes.octet_table)

    # Sorted queries find their positions several times faster.
    order = np.argsort(keys)
    keys = keys[order]
    row, column = np.divmod(order, len(views))
    image_of_key = start + row
    view_of_key = np.array(views)[column]

    pairs = []
    for key_index, hash_index, distance in sorted_hashes.close_neighbors(keys):
        image = image_of_key[key_index]
        mirrored, partner = np.divmod(hash_index, n_images)
        is_other = partner != image  # no image is its own partner
        packed = _pack(
            image[is_other],
            partner[is_other],
            view_of_key[key_index[is_other]],
            mirrored[is_other],
            distance[is_other],
            n_images,
        )
        pairs.append(packed)
    return np.concatenate(pairs)


def _pack(
    image: NDArray[np.int64],
    partner: NDArray[np.int64],
    view: NDArray[np.int64],
    mirrored: NDArray[np.int64],
    distance: NDArray[np.uint8],
    n_images: int,
) -> Packed:
    low = np.minimum(image, partner)
    high = np.maximum(image, partner)
    pair = low * n_images + high
    is_later = image > partner

    distance_bits = distance.astype(np.int64) << 9
    later_bit = is_later << 8
    view_bits = view << 1
    packed = (pair << DETAIL_BITS) | distance_bits | later_bit | view_bits | mirrored
    return packed.astype(np.uint64)


def _unpack(packed: Packed, n_images: int) -> Pairs:
    # Column by column, as there may be tens of millions of pairs.
    pairs = np.empty((len(packed), 5), np.int32)
    pairs[:, 0], pairs[:, 1] = _image_and_partner(packed, n_images)
    pairs[:, 2] = (packed >> 1) & 127
    pairs[:, 3] = packed & 1
    pairs[:, 4] = _distances(packed)
    return pairs


def _distances(packed: Packed) -> NDArray[np.uint64]:
    """Unpack the distance of each pair."""
    return (packed >> np.uint64(9)) & np.uint64(15)


def _image_and_partner(
    packed: Packed, n_images: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unpack the image of each pair, whose view it is, and its partner."""
    low, high = _images_of_pairs(packed, n_images)
    is_later = (packed >> 8) & 1 == 1
    return np.where(is_later, high, low), np.where(is_later, low, high)


def _images_of_pairs(packed: Packed, n_images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unpack the lower and the higher image index of each pair."""
    pair = (packed >> DETAIL_BITS).astype(np.int64)
    low, high = np.divmod(pair, n_images)
    return low, high


def _nearest_of_each_pair(packed: Packed) -> Packed:
    """Keep the nearest match of each pair, sorted by pair. `packed` is sorted in place."""
    packed.sort()
    is_first = np.ones(len(packed), np.bool_)
    # Two matches are of one pair if they differ in the detail bits alone.
    is_first[1:] = (packed[1:] ^ packed[:-1]) >> DETAIL_BITS != 0
    return packed[is_first]


def _drop_far_partners(packed: Packed, n_images: int) -> Packed:
    """Keep the pairs that are among the nearest `MAX_PARTNERS` of either of their images."""
    is_near = np.zeros(len(packed), np.bool_)
    for image_of_pair in (np.floor_divide, np.remainder):
        # In place, as there may be tens of millions of pairs: the image, then its distance.
        key = packed >> DETAIL_BITS
        image_of_pair(key, np.uint64(n_images), out=key)
        key <<= 4
        key |= _distances(packed)
        order = np.argsort(key, kind="stable")
        key.sort()
        key >>= 4

        # A pair is far if as many nearer ones are of the same image.
        is_far = np.zeros(len(packed), np.bool_)
        is_far[MAX_PARTNERS:] = key[MAX_PARTNERS:] == key[:-MAX_PARTNERS]
        is_near[order[~is_far]] = True
        del key, order
    return packed[is_near]
