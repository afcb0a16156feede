"""A folder with model.onnx and card.json -> a model that MLflow calls: images in, answers out.

`bestiary export --format mlflow` copies this file into the model. So it imports nothing of
bestiary: NumPy, pandas, ONNX Runtime and Pillow are all that it needs. An image is a file's bytes.
It is made upright, put over white and resized as the card says, by Pillow; so confidences differ
from those of `bestiary predict` in the third digit.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

CARD = "card.json"
MODEL = "model.onnx"
INPUT = "image"
COVERAGE = "0.9"  # of prediction sets, as in `bestiary predict`
RISK = "0.05"  # of accepted answers, likewise
ANSWERS = {
    "label": "string",
    "confidence": "double",
    "prediction_set": "string",
    "accepted": "boolean",
    "unknown": "boolean",
}
"""Column of every answer -> its type, as MLflow names it."""
MAX_PIXELS = 178_956_970  # of an image: more are refused, as Pillow does twice above its limit
BATCH_SIZE = 16

Values = npt.NDArray[Any]


class ImageModel:
    """The networks of a run, with its card.

    Args:
        folder: that has the two files.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self.card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        self._session = onnxruntime.InferenceSession(
            str(folder / MODEL), providers=["CPUExecutionProvider"]
        )

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Answer for each image.

        Args:
            model_input: encoded images: a frame of pandas with a column `image`, or a list.
            params: not used; MLflow passes it.

        Returns:
            A frame of pandas, columns as in `columns_of`; a prediction set joins its names by |.

        Raises:
            ValueError: there is no column `image`, or an image cannot be read.
        """
        import pandas

        images = _column(model_input)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(images), BATCH_SIZE):
            part = images[start : start + BATCH_SIZE]
            views = np.stack([view(content, self.card["input"]) for content in part])
            outputs = self._session.run(
                ["probabilities", "energy"], {self.card["input"]["name"]: views}
            )
            rows += [answer(self.card, *output) for output in zip(*outputs, strict=True)]
        return pandas.DataFrame(rows, columns=[*columns_of(self.card)])


def _load_pyfunc(path: str) -> ImageModel:
    """Load the model; MLflow calls this."""
    return ImageModel(Path(path))


def _column(model_input: Any) -> list[bytes]:
    """The encoded images of the input."""
    if hasattr(model_input, "columns"):
        if INPUT not in model_input.columns:
            raise ValueError(f"no column {INPUT!r}; it takes encoded images, as bytes")
        return [bytes(value) for value in model_input[INPUT]]
    return [bytes(value) for value in model_input]


def view(content: bytes, how: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Make the networks' input of an image.

    Args:
        content: bytes of an image file.
        how: `input` of the card.

    Returns:
        uint8 (size, size, 3).

    Raises:
        ValueError: the bytes are no image that Pillow reads.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels are too many")
            image = _over_white(_in_eight_bits(ImageOps.exif_transpose(opened), how["white"]))
    except OSError as error:
        raise ValueError(f"an image cannot be read ({error})") from error
    if how["resize"] == "crop":
        side = round(min(image.size) * how["crop"])
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    size = how["size"]
    kind = how["enlarge"] if min(image.size) < size else "bilinear"
    return np.asarray(image.resize((size, size), Image.Resampling[kind.upper()]))


def _in_eight_bits(image: Image.Image, white: list[float]) -> Image.Image:
    """Scale images of more than 8 bits a channel, which Pillow would cut off."""
    if image.mode == "F":
        scale = white[1]
    elif image.mode.startswith("I"):
        scale = white[0]
    else:
        return image
    values = np.asarray(image, np.float64) * (255 / scale)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    colors = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors).convert("RGB")


def columns_of(card: dict[str, Any]) -> dict[str, str]:
    """Column of an answer -> its type, as MLflow names it.

    Args:
        card: of the file.
    """
    decisions = card.get("decisions") or {}
    columns = dict(ANSWERS)
    if "promised" in decisions:
        columns["promised"] = "boolean"
    if "costs" in decisions:
        columns["decision"] = "string"
    return columns


def answer(card: dict[str, Any], probabilities: Values, energy: float) -> dict[str, Any]:
    """Turn the outputs for an image into its answer, as `bestiary predict` does.

    Args:
        card: of the file.
        probabilities: (classes,), calibrated.
        energy: above the card's threshold the image is unknown.

    Returns:
        The values of `columns_of`.

    Example:
        >>> card = {"classes": ["lynx", "wolf"], "thresholds": None, "decisions": None}
        >>> answer(card, np.array([0.1, 0.9]), 0.0)["label"]
        'wolf'
    """
    classes = card["classes"]
    first = int(probabilities.argmax())
    confidence = float(probabilities[first])
    limits = card["thresholds"]
    most = limits["prediction_sets"][COVERAGE] + 1e-12 if limits else -1.0
    inside = [
        classes[place]
        for place in np.argsort(-probabilities, kind="stable")
        if place == first or 1 - probabilities[place] <= most
    ]
    unknown = bool(limits and limits["unknown"] is not None and energy > limits["unknown"])
    row = {
        "label": classes[first],
        "confidence": confidence,
        "prediction_set": "|".join(inside),
        "accepted": bool(limits and not unknown and confidence >= limits["accepted"][RISK]),
        "unknown": unknown,
    }
    return row | _decided(card.get("decisions") or {}, classes, probabilities, unknown)


def _decided(
    decisions: dict[str, Any], classes: list[str], probabilities: Values, unknown: bool
) -> dict[str, Any]:
    """The columns of a promise and of costs, where the card has them."""
    first = int(probabilities.argmax())
    row: dict[str, Any] = {}
    if "promised" in decisions:
        least = decisions["promised"]["thresholds"][first]
        row["promised"] = not unknown and float(probabilities[first]) >= least
    if "costs" in decisions:
        expected = probabilities @ np.asarray(decisions["costs"]["matrix"])
        row["decision"] = classes[int(expected.argmin())]
    return row
