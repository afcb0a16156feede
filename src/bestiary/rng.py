"""Seeds -> independent random generators, each a pure function of what it is for.

Every random draw in training comes from a generator named by (seed, purpose, numbers such as fold,
epoch, row). So a draw depends neither on the order of work nor on the number of threads or
processes, and a resumed run needs no generator's state. Counter-based generators: Salmon et al.
2011, doi:10.1145/2063384.2063405.
"""

import zlib

import numpy as np


def keyed_rng(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The generator for one purpose.

    Args:
        seed: the run's seed, 0 or above.
        purpose: a short word, such as ``"view"``; different words give independent generators.
        numbers: up to three numbers of 0 or above, such as fold, epoch and row.
    """
    key = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)
    # The lowest word of the counter is what the generator itself counts up; the upper three are
    # ours.
    counter = np.zeros(4, np.uint64)
    counter[1 : 1 + len(numbers)] = numbers
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
