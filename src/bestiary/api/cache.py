"""The verb `cache`: what is kept between commands, where and how large; and to clear it."""

from typing import TYPE_CHECKING

from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.caches import CacheContents


@checked_arguments
def cache(*, clear: bool = False) -> "CacheContents":
    """Show what is kept between commands, or clear it.

    All of it can be computed again.

    Parameters
    ----------
    clear
        Remove everything in the cache. Runs and images are not in it.

    Examples
    --------
    >>> import bestiary
    >>> print(bestiary.cache())
    /...
    """
    from bestiary.caches import measure_cache

    contents = measure_cache()
    return contents.cleared() if clear else contents
