"""The limits of the service: max_body_bytes (HTTP 413), pixels, images, timeout, queue and memory.

What exceeds a limit is refused before work is spent on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Self

from bestiary.data.decode import claimed_size
from bestiary.errors import ArgumentError, ImageError
from bestiary.serving.problems import Problem, busy, image_problem

LEAST = 1e-6  # of what an option says: one byte, one pixel, a microsecond


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a service.

    Attributes:
        max_body_bytes: body limit: bytes of one request's body. More is answered with HTTP 413.
        max_pixels: pixels of an image, as its header claims.
        max_images: images in one request.
        timeout_seconds: seconds for a body to arrive, and again for its answer.
        max_waiting: images that wait for the engine.
        max_buffered_bytes: bytes of all bodies in memory, while they arrive or wait.

    Raises:
        ArgumentError: a limit is not above 0.
    """

    max_body_bytes: int = 20_000_000
    max_pixels: int = 64_000_000
    max_images: int = 64
    timeout_seconds: float = 30.0
    max_waiting: int = 256
    max_buffered_bytes: int = 512_000_000

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ArgumentError(f"limit {name} = {value}: must be above 0")

    @classmethod
    def of_options(
        cls, max_mb: float, max_megapixels: float, max_images: int, timeout: float, queue: int
    ) -> Self:
        """Build the limits from the options of `serve`.

        Args:
            max_mb: of one request, in MB.
            max_megapixels: of an image.
            max_images: in one request.
            timeout: seconds.
            queue: images that wait.

        Raises:
            ArgumentError: one of them is not above 0, or beyond what can be counted or waited for.
        """
        asked = {
            "--max-mb": (max_mb, 1e6),
            "--max-megapixels": (max_megapixels, 1e6),
            "--max-images": (max_images, 1e6),
            "--timeout": (timeout, 86_400.0),
            "--queue": (queue, 1e6),
        }
        for option, (value, most) in asked.items():
            if not LEAST <= value <= most:
                raise ArgumentError(
                    f"{option} {value:.12g}: choose above 0, and {most:,.0f} at most"
                )
        return cls(int(max_mb * 1e6), int(max_megapixels * 1e6), max_images, timeout, queue)

    def check_body_bytes(self, size: int) -> None:
        """Refuse a body of more than `max_body_bytes`.

        Args:
            size: bytes that the request announces, or that have arrived.

        Raises:
            Problem: HTTP 413, the body is too large.
        """
        if size > self.max_body_bytes:
            raise Problem(
                413,
                "too_many_bytes",
                f"The request is larger than the {self.max_body_bytes / 1e6:g} MB that are taken "
                f"here.",
            )

    def check_image(self, content: bytes) -> None:
        """Refuse an image by its header, without decoding it.

        Args:
            content: bytes of the file.

        Raises:
            Problem: it is no image, or its header claims more than `max_pixels`.
        """
        if not content:
            raise Problem(422, "empty", "The image is empty: no byte of it has arrived.")
        try:
            height, width = claimed_size(content)
        except ImageError as error:
            raise image_problem(error) from None
        if height * width > self.max_pixels:
            raise Problem(
                413,
                "too_many_pixels",
                f"This image has {width} x {height} pixels; {self.max_pixels:,} are read here at "
                f"most.",
            )

    def check_count(self, count: int) -> None:
        """Refuse more than `max_images`.

        Args:
            count: images that have arrived in one request.

        Raises:
            Problem: there are more.
        """
        if count > self.max_images:
            raise Problem(
                422,
                "too_many_images",
                f"More than {self.max_images} images in one request; send them in several.",
            )


class ByteBudget:
    """The bytes of all bodies in memory, and their limit.

    Args:
        max_bytes: the limit.

    Attributes:
        used: bytes in memory now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used = 0

    @contextmanager
    def reserve(self) -> Iterator[Callable[[int], None]]:
        """Give a function that reserves bytes; the end of the block frees all of them.

        Yields:
            A function of a number of bytes. It raises `Problem` if they are too many.
        """
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            if self.used + size > self._max_bytes:
                raise busy("Too many uploads are under way; try again in a moment.")
            mine += size
            self.used += size

        try:
            yield take
        finally:
            self.used -= mine
