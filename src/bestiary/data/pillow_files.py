"""The bytes of an image file -> an image open in Pillow, in one of the formats that are read.

Knows nothing of what the pixels are for.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pi_heif import register_heif_opener
from PIL import Image, ImageFile

from bestiary.data.file_kinds import FORMATS

register_heif_opener(thumbnails=False)
ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")  # Pillow's modes with transparency


class _OwnSettings:
    """Ignore Pillow's warnings and refuse truncated files while any thread decodes.

    Pillow warns of bombs, odd EXIF and palettes. bestiary has its own limit on pixels, and the
    other warnings are harmless. Another library of the process may have told Pillow to fill
    truncated files with gray (WeasyPrint does when it is imported). Warning filters and that
    setting are those of the whole process, so the first thread to enter sets them and the last to
    leave restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()
        self._fills_truncated = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
                self._fills_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._filters.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES = self._fills_truncated


_OWN_SETTINGS = _OwnSettings()


@contextmanager
def open_in_pillow(content: bytes) -> Iterator[Image.Image]:
    """Open an image file in Pillow, with settings of our own. Reads the header alone.

    Args:
        content: the whole file.

    Yields:
        The image, not loaded.

    Raises:
        Exception: Pillow raises anything on hostile bytes.
    """
    with _OWN_SETTINGS, Image.open(BytesIO(content), formats=FORMATS) as image:
        yield image


def has_alpha(image: Image.Image) -> bool:
    """Return whether a Pillow image is transparent somewhere, or may be."""
    return "transparency" in image.info or image.mode in ALPHA_MODES
