"""The bytes of an image file -> an image open in Pillow, in one of the formats that are read.

Knows nothing of what the pixels are for.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pi_heif import register_heif_opener
from PIL import Image

from bestiary.data.file_kinds import FORMATS

register_heif_opener(thumbnails=False)


class _PillowWarningsOff:
    """Ignore Pillow's warnings while any thread decodes.

    Pillow warns of bombs, odd EXIF and palettes. bestiary has its own limit on pixels, and the
    other warnings are harmless. Python has one list of warning filters for all threads, so the
    first thread to enter sets it and the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._filters.__exit__(None, None, None)


_PILLOW_WARNINGS_OFF = _PillowWarningsOff()


@contextmanager
def open_in_pillow(content: bytes) -> Iterator[Image.Image]:
    """Open an image file in Pillow, without Pillow's warnings. Reads the header alone.

    Args:
        content: the whole file.

    Yields:
        The image, not loaded.

    Raises:
        Exception: Pillow raises anything on hostile bytes.
    """
    with _PILLOW_WARNINGS_OFF, Image.open(BytesIO(content), formats=FORMATS) as image:
        yield image
