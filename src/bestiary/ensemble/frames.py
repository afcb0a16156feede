"""An ensemble and images -> a data frame of predictions, one row for each image.

Takes what `Ensemble.predict` takes, and also a folder. An image that cannot be read has a row with
the reason. Writes no file; `bestiary.ensemble.predictions` does.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.data.listing import list_images
from bestiary.display import Tick
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.inputs import ImageInputs, image_parts, place_of

FRAME_SCHEMA: dict[str, Any] = {
    "path": pl.String,
    "label": pl.String,
    "confidence": pl.Float64,
    "prediction_set": pl.List(pl.String),
    "accepted": pl.Boolean,
    "unknown": pl.Boolean,
    "error": pl.String,
}


def predict_frame(
    ensemble: Ensemble,
    images: ImageInputs,
    options: PredictionOptions,
    tick: Tick | None = None,
) -> pl.DataFrame:
    """Predict images as a frame, in their order.

    Args:
        ensemble: predicts.
        images: as for `Ensemble.predict`; or a folder, which is searched with its subfolders.
        options: coverage and risk of the answers.
        tick: called with the number of images done and of all.

    Returns:
        Columns as `FRAME_SCHEMA`. `path` is null for an image that is no path or address; the last
        columns are null where the run is not calibrated.

    Raises:
        ArgumentError: an input is of an unsupported type.
        DataError: a folder holds no image.
    """
    unusable: list[tuple[str, str]] = []
    paths: list[str] = []
    if isinstance(images, str | os.PathLike) and os.path.isdir(images):
        listing = list_images(Path(images))
        images = [listing.root / path for path in listing.table["path"]]
        unusable = [(str(listing.root / path), reason) for path, reason in listing.unusable]
    if isinstance(images, Iterator):
        images = _noting(images, paths)
    else:
        parts = list(image_parts(images, ensemble.view.white))
        images = [image for part in parts for image in part.images]
        paths = [place_of(image) for image in images]

    rows: list[dict[str, Any]] = []
    for batch in ensemble.iter_logits(images, tick):
        answers = answer_batch(ensemble, batch, ensemble.average, options)
        for index, answer in zip(batch.rows.tolist(), answers, strict=True):
            row: dict[str, Any] = {"path": _as_utf8(paths[index]) or None}
            if index in batch.reasons:
                rows.append(row | {"error": batch.reasons[index]})
                continue
            label, confidence = answer.top[0]
            flags = {name: getattr(answer, name) for name in ("accepted", "unknown")}
            sets = {"prediction_set": answer.prediction_set}
            rows.append(row | {"label": label, "confidence": confidence} | sets | flags)
    rows += [{"path": path, "error": reason} for path, reason in unusable]
    return pl.DataFrame(rows, schema=FRAME_SCHEMA)


def _as_utf8(path: str) -> str:
    """Write the bytes of a name that is no UTF-8 as escapes, since a frame's texts are UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _noting(images: Iterator[Any], paths: list[str]) -> Iterator[Any]:
    """Note the path of each image as it is taken."""
    for image in images:
        paths.append(place_of(image))
        yield image
