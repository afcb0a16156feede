"""What a client may ask for, and how much of it is held at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bestiary.data.decode import claimed_size
from bestiary.errors import ArgumentError, ImageError
from bestiary.serving.problems import Problem, busy, of_image


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a service; what is beyond them is refused before work is spent on it.

    Attributes:
        body: bytes of a request's body.
        pixels: of an image, as its header claims.
        count: images in a request.
        seconds: that a body may take to arrive, and then an answer.
        waiting: images that wait for the engine.
        held: bytes of all bodies that are arriving or waiting.
    """

    body: int = 20_000_000
    pixels: int = 64_000_000
    count: int = 64
    seconds: float = 30.0
    waiting: int = 256
    held: int = 512_000_000

    def __post_init__(self) -> None:
        for name in ("body", "pixels", "count", "seconds", "waiting", "held"):
            if not getattr(self, name) > 0:
                raise ArgumentError(f"limit {name} = {getattr(self, name)}: must be above 0")

    def check_image(self, content: bytes) -> None:
        """Look at an image's header.

        Raises:
            Problem: it is none, or claims too much.
        """
        if not content:
            raise Problem(422, "empty", "The image is empty: no byte of it has arrived.")
        try:
            height, width = claimed_size(content)
        except ImageError as error:
            raise of_image(error) from None
        if height * width > self.pixels:
            raise Problem(
                413,
                "too_many_pixels",
                f"This image has {width} x {height} pixels; {self.pixels:,} are read here at most.",
            )

    def check_length(self, length: int) -> None:
        """Refuse a body of more than `body` bytes.

        Raises:
            Problem: it is.
        """
        if length > self.body:
            raise Problem(
                413,
                "too_many_bytes",
                f"The request is larger than the {self.body / 1e6:g} MB that are taken here.",
            )

    def check_count(self, count: int) -> None:
        """Refuse more than `count` images.

        Raises:
            Problem: they are more.
        """
        if count > self.count:
            raise Problem(
                422,
                "too_many_images",
                f"More than {self.count} images in one request; send them in several.",
            )


class ByteBudget:
    """Bytes of all bodies that are in memory.

    Args:
        most: that may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Give the function that takes room for so many bytes more; when the block ends, all of it
        is free again.

        The function raises `Problem` where there is none.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self.held + count > self._most:
                raise busy("Too many uploads are under way; try again in a moment.")
            mine += count
            self.held += count

        try:
            yield take
        finally:
            self.held -= mine
