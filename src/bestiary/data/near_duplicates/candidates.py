"""Hashes -> the pairs of images whose hashes are close, in about n log n.

Close hashes share their first bits under some order of the bits, so under each of several orders
the hashes are sorted and every one is compared with the few that stand next to it (Charikar 2002,
doi:10.1145/509907.509965, section 3). Unlike buckets, this costs the same whether the hashes are
spread out or all alike. Knows nothing of pixels.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.data.near_duplicates.hashes import MIRROR, Hashes, pack_bits

# of the bits; each finds a pair that differs in 8 of 64 bits, among 20,000 hashes, in about 0.2 of
# cases
ORDERS = 24
BESIDE = 4  # hashes compared with on either side
RADIUS = 14  # differing bits of 64 up to which a pair is worth a look
NEAREST = 12  # partners kept for each image
CHUNK = 1 << 17

Pairs = NDArray[np.int64]
"""(pairs, 5): image, partner, the image's window that looks like the whole partner, mirrored (0
or 1), distance.
"""
Packed = NDArray[np.uint64]
"""The same in one number each, so that one sort brings a pair's finds together, nearest first. From
the highest bit: the pair, distance (4 bits), whether the image is the later of the two (1), window
(3), mirrored (1)."""


def candidate_pairs(hashes: Hashes) -> Pairs:
    """Pairs of images of which one looks like the other, or like a window of it, mirrored or not.

    Args:
        hashes: (images, windows), the whole image's first.

    Returns:
        each pair once, nearest first, and of each image's partners the nearest few.
    """
    rng = np.random.default_rng(
        0
    )  # the orders of the bits are part of the method, not of anyone's seed
    best = np.empty(0, np.uint64)
    whole = np.concatenate([hashes[:, 0], hashes[:, 0] ^ MIRROR])
    parts = [
        (window, start)
        for window in range(hashes.shape[1])
        for start in range(0, len(hashes), CHUNK)
    ]
    with ThreadPoolExecutor(cores()) as pool:
        for _ in range(ORDERS):
            spread = _spread(rng.permutation(64))
            keys = _reorder(whole, spread)
            standing = np.argsort(keys)
            look_up = partial(_look_up, keys[standing], standing, hashes, spread)
            best = _nearest_of_each(np.concatenate([best, *pool.map(look_up, parts)]))
            if len(best) > 2 * NEAREST * len(
                hashes
            ):  # very many are alike; memory must not grow with their pairs
                best = _drop_far_partners(best, len(hashes))
    pairs = _unpack(_drop_far_partners(best, len(hashes)), len(hashes))
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 4]))]


def _spread(order: NDArray[np.int64]) -> NDArray[np.uint64]:
    """For each of a hash's eight octets and its 256 values: where its bits stand in another
    order, (8, 256).
    """
    bits = np.zeros((8, 256, 64), np.uint8)
    octets = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    for octet in range(8):
        bits[octet, :, 8 * octet : 8 * octet + 8] = octets
    return pack_bits(bits[:, :, order].reshape(-1, 64)).reshape(8, 256)


def _reorder(hashes: Hashes, spread: NDArray[np.uint64]) -> Hashes:
    """The hashes (images,) with their bits in another order, which keeps every distance."""
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    reordered: NDArray[np.uint64] = spread[0, octets[:, 0]]
    for octet in range(1, 8):
        reordered |= spread[octet, octets[:, octet]]
    return reordered


def _look_up(
    keys: Hashes,
    standing: NDArray[np.int64],
    hashes: Hashes,
    spread: NDArray[np.uint64],
    part: tuple[int, int],
) -> Packed:
    """The pairs between some images' hashes of one window and the sorted `keys` that stand where
    they would.
    """
    window, start = part
    queries = _reorder(hashes[start : start + CHUNK, window], spread)
    turn = np.argsort(queries)  # in order, they find their places several times faster
    queries = queries[turn]
    place = np.searchsorted(keys, queries)
    asking = start + turn
    found = []
    for step in range(-BESIDE, BESIDE):
        beside = place + step
        np.clip(beside, 0, len(keys) - 1, out=beside)
        distance = np.bitwise_count(keys[beside] ^ queries)
        close = np.flatnonzero(distance <= RADIUS)
        mirrored, partner = np.divmod(standing[beside[close]], len(hashes))
        other = partner != asking[close]
        close, mirrored, partner = close[other], mirrored[other], partner[other]
        image = asking[close]
        pair = np.minimum(image, partner) * len(hashes) + np.maximum(image, partner)
        find = (
            (distance[close].astype(np.int64) << 5)
            | ((image > partner) << 4)
            | (window << 1)
            | mirrored
        )
        found.append(((pair << 9) | find).astype(np.uint64))
    return np.concatenate(found)


def _nearest_of_each(packed: Packed) -> Packed:
    """Each pair once, as it is nearest, sorted by pair."""
    packed = np.sort(packed)
    pair = packed >> 9
    first = np.ones(len(packed), np.bool_)
    first[1:] = pair[1:] != pair[:-1]
    return packed[first]


def _drop_far_partners(packed: Packed, images: int) -> Packed:
    """The pairs that are among the `NEAREST` of either of their images."""
    pair, distance = np.divmod((packed >> 9).astype(np.int64), images), (packed >> 5) & 15
    kept = np.zeros(len(packed), np.bool_)
    for owner in pair:
        order = np.lexsort((distance, owner))
        owner = owner[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        kept[order[rank < NEAREST]] = True
    return packed[kept]


def _unpack(packed: Packed, images: int) -> Pairs:
    low, high = np.divmod((packed >> 9).astype(np.int64), images)
    find = (packed & 511).astype(np.int64)
    later = (find >> 4) & 1 == 1
    image, partner = np.where(later, high, low), np.where(later, low, high)
    return np.stack([image, partner, (find >> 1) & 7, find & 1, find >> 5], axis=1)
