"""Seeds -> independent random number generators, each keyed by what it is for.

Every random draw in training comes from a generator with a key: seed, purpose, and up to three
integers such as fold, epoch and row. So a draw does not depend on the order of work or on the
number of threads or processes, and a resumed run needs no saved generator state. The generators
are counter-based: Salmon et al. 2011, doi:10.1145/2063384.2063405.
"""

import zlib

import numpy as np


def keyed_rng(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Create the generator for one purpose.

    Args:
        seed: seed of the run, 0 or above.
        purpose: a short word, such as ``"view"``. Different words give independent generators.
        indices: up to three integers of 0 or above, such as fold, epoch and row.

    Returns:
        A generator whose draws depend on the arguments alone.

    Example:
        >>> keyed_rng(3, "view", 1, 2, 5).integers(1000, size=4).tolist()
        [523, 668, 1, 69]
    """
    key = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)
    # Philox itself increments the lowest word of its 256-bit counter. The upper three are free.
    counter = np.zeros(4, np.uint64)
    counter[1 : 1 + len(indices)] = indices
    bit_generator = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bit_generator)
