"""Frame of a camera trap + species -> its image as JPEG, and the boxes of its animals.

All frames of a site show one landscape, under another light each time. At night they are gray. The
file says when and where it was taken. Knows nothing of when and where animals are.
"""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from bestiary.beasts.anatomy import pose_beast
from bestiary.beasts.camera_plan import Frame, Site
from bestiary.beasts.coat import lay_tile, paint_tile
from bestiary.beasts.drawing import cast_shadow, photograph, turn_figure, vary_coat
from bestiary.beasts.raster import Bytes, Floats, blur, clouds, floats
from bestiary.beasts.scenery import Scene, paint_scene
from bestiary.beasts.shading import paint_figure
from bestiary.beasts.species import Species

Box = tuple[float, float, float, float]
"""x and y of the upper left corner, width and height, as shares of the image."""

MIN_SIDE, MAX_SIDE = 0.1, 0.34  # long side of an animal, as a share of the image's height
VISIBLE = 0.3  # cover from which a pixel belongs to the animal
MAKER, MODEL = "Bestiary", "Trap 1"


@dataclass(frozen=True, slots=True)
class DrawnFrame:
    """A drawn frame.

    Attributes:
        jpeg: the file's bytes.
        boxes: of its animals, in the order of drawing.
    """

    jpeg: bytes
    boxes: list[Box]


def draw_frame(
    frame: Frame, site: Site, species: Species | None, size: int, seed: int
) -> DrawnFrame:
    """Draw a frame.

    Args:
        frame: what the camera sees.
        site: where it stands.
        species: of the animals; None: there is none.
        size: pixels of the long side; the image is 4:3.
        seed: seed of the dataset.

    Returns:
        The file and the boxes.
    """
    width = size
    height = round(size * 0.75)
    rng = np.random.default_rng([seed, 14, frame.event, frame.place])
    scene = _landscape(seed, site.number, height, width)
    image = _lit_scene(scene.image, np.random.default_rng([seed, 18, frame.event]))
    boxes: list[Box] = []
    if species is not None:
        for animal in range(frame.animals):
            image, box = _with_animal(image, scene, species, frame, animal, seed)
            if box is not None:
                boxes.append(box)
    if frame.night:
        image = _at_night(image, rng)
    pixels = photograph(image, rng)
    return DrawnFrame(_encode(pixels, frame, site, int(rng.integers(82, 94))), boxes)


@lru_cache(maxsize=8)
def _landscape(seed: int, site: int, height: int, width: int) -> Scene:
    """The landscape of a site."""
    return paint_scene(np.random.default_rng([seed, 13, site]), height, width)


def _lit_scene(image: Floats, rng: np.random.Generator) -> Floats:
    """The landscape in the light of one event: brightness, color, and the shadows of clouds."""
    height, width = image.shape[:2]
    brightness = float(rng.uniform(0.7, 1.15))
    tint = 1 + rng.normal(0, 0.04, 3)
    shade = 1 + clouds(rng, height, width, 3, 3) * np.float32(rng.uniform(0.0, 0.18))
    return floats(image * shade[..., None] * floats(brightness * tint))


def _with_animal(
    image: Floats, scene: Scene, species: Species, frame: Frame, animal: int, seed: int
) -> tuple[Floats, Box | None]:
    """Paint one animal; the frames of an event show it from near its first place."""
    same = np.random.default_rng([seed, 15, frame.event, animal])  # for the whole event
    coat = vary_coat(species.coat, same)
    side = float(same.uniform(MIN_SIDE, MAX_SIDE))
    across, down = same.random(2)
    step = float(same.normal(0, 0.05))
    rng = np.random.default_rng([seed, 16, frame.event, animal, frame.place])

    # The animal on a canvas of its own, which holds it with a margin of two pixels
    height, width = image.shape[:2]
    figure = pose_beast(species, rng)
    turn, low, extent = turn_figure(figure, rng)
    scale = side * height * float(rng.uniform(0.92, 1.08)) / float(extent.max())
    canvas_width, canvas_height = (int(np.ceil(length * scale)) + 4 for length in extent)
    finer = 4 if max(canvas_width, canvas_height) <= 96 else 2
    matrix = np.column_stack([turn * scale, 2 - low * scale]).astype(np.float32) * finer
    marks = lay_tile(paint_tile(coat, rng), matrix, canvas_height * finer, canvas_width * finer)
    beast = paint_figure(figure, coat, marks, matrix, scene.light, finer)

    # Its place in the frame, on the ground where it stands
    free_x = width - canvas_width
    free_y = height - canvas_height
    lowest = max(0.0, (scene.horizon + 0.08) * height - canvas_height * 0.8)
    x = round(float(np.clip(across + step * frame.place, 0, 1)) * free_x)
    y = round(lowest + float(down) * max(0.0, free_y - lowest))
    y = min(y, free_y)
    layer = np.zeros((height, width, 4), np.float32)
    layer[y : y + canvas_height, x : x + canvas_width] = beast
    layer = blur(layer, float(rng.uniform(0, 0.5)) * width / 320)
    cover = layer[..., 3]
    lit = Scene(image, scene.horizon, scene.light, scene.shadow, scene.land)
    image = cast_shadow(lit, figure.stance, cover, y + canvas_height - 2.0, rng)
    return floats(image * (1 - layer[..., 3:]) + layer[..., :3]), _box_of(cover)


def _box_of(cover: Floats) -> Box | None:
    """The box around the visible pixels; None if there are none."""
    rows = np.flatnonzero((cover > VISIBLE).any(axis=1))
    columns = np.flatnonzero((cover > VISIBLE).any(axis=0))
    if not len(rows):
        return None
    height, width = cover.shape
    return (
        round(float(columns[0]) / width, 4),
        round(float(rows[0]) / height, 4),
        round(float(columns[-1] - columns[0] + 1) / width, 4),
        round(float(rows[-1] - rows[0] + 1) / height, 4),
    )


def _at_night(image: Floats, rng: np.random.Generator) -> Floats:
    """The scene by the camera's infrared flash: gray, bright in the middle, noisy."""
    height, width = image.shape[:2]
    gray = image @ floats([0.5, 0.35, 0.15])
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    flash = np.float32(rng.uniform(1.0, 1.3)) * np.exp(-(rows**2 + columns**2) * np.float32(0.9))
    noise = rng.standard_normal(gray.shape, dtype=np.float32) * np.float32(0.02)
    return np.repeat((gray * flash + noise)[..., None], 3, axis=2)


def _encode(pixels: Bytes, frame: Frame, site: Site, quality: int) -> bytes:
    """Encode as JPEG with the time, camera and position in EXIF."""
    tags = Image.Exif()
    tags[Base.Make] = MAKER
    tags[Base.Model] = MODEL
    details = tags.get_ifd(IFD.Exif)
    details[Base.DateTimeOriginal] = frame.time.strftime("%Y:%m:%d %H:%M:%S")
    details[Base.BodySerialNumber] = site.name
    position = tags.get_ifd(IFD.GPSInfo)
    position[GPS.GPSLatitudeRef] = "N" if site.latitude >= 0 else "S"
    position[GPS.GPSLatitude] = _degrees(site.latitude)
    position[GPS.GPSLongitudeRef] = "E" if site.longitude >= 0 else "W"
    position[GPS.GPSLongitude] = _degrees(site.longitude)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, exif=tags)
    return file.getvalue()


def _degrees(angle: float) -> tuple[TiffImagePlugin.IFDRational, ...]:
    """Degrees, minutes and seconds, as EXIF stores an angle."""
    total = round(abs(angle) * 3_600_000)
    minutes, milliseconds = divmod(total, 60_000)
    degrees, minutes = divmod(minutes, 60)
    rational = TiffImagePlugin.IFDRational
    return rational(degrees, 1), rational(minutes, 1), rational(milliseconds, 1000)
