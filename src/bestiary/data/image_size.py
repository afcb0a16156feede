"""An image file -> the height and width of the upright image, from its header alone."""

from bestiary.data.decode import claimed_size, read_image
from bestiary.data.orientation import exif_orientation
from bestiary.data.pillow_files import open_in_pillow
from bestiary.errors import ImageError
from bestiary.storage.files import Readable

TRANSPOSED = (5, 6, 7, 8)  # orientations that swap height and width


def upright_size(file: Readable) -> tuple[int, int]:
    """Read the size of an image as it is shown.

    Args:
        file: The image.

    Returns:
        Height and width in pixels.

    Raises:
        ImageError: It cannot be read, or is no image.
    """
    content = read_image(file)
    height, width = claimed_size(content)
    try:
        with open_in_pillow(content) as image:
            turned = exif_orientation(image) in TRANSPOSED
    except Exception:  # Pillow raises anything on damaged headers
        raise ImageError("damaged") from None
    return (width, height) if turned else (height, width)
