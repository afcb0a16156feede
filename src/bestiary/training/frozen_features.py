"""Images -> what the frozen pretrained network makes of them, computed once and kept in the user's
cache.

The pretrained network has seen no label of a run, so its features leak nothing from fold to fold:
all folds, and all runs with the same network and view, share them. They are kept by the images'
digests. Knows nothing of heads.
"""

import hashlib
import json
import uuid
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import atomic_path
from bestiary.caches import cache_root, make_room
from bestiary.data.views import EvalView
from bestiary.display import Display
from bestiary.errors import BestiaryError
from bestiary.model.classifier import Classifier, build_classifier, memory_format
from bestiary.model.compute import best_device, resolve_precision
from bestiary.model.tensor_file import checksum
from bestiary.tables import TableError, read_frame
from bestiary.training.dataset import TrainingSet
from bestiary.training.prediction import predict_rows

Features = NDArray[np.float32]  # (images, features)
KEPT_BYTES = 4_000_000_000  # of features in the cache folder; those used longest ago go first


def frozen_features(data: TrainingSet, display: Display) -> Features:
    """Features (images, features) of every image of `data`, from the cache where it has them.

    Of several processes each computes a part of them, and the main one has them all in the end; the
    others have none.

    Raises:
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not to be had.
    """
    recipe, device = data.recipe, best_device()
    model = recipe.model
    classifier = build_classifier(
        model.backbone, 1, model.weights, model.normalize, model.power_norm
    )
    precision = resolve_precision(recipe.train.precision, device)
    view = EvalView.of(recipe.view, classifier.interpolation)
    key = [
        network_digest(classifier),
        asdict(view),
        recipe.predict.tta,
        precision,
        device.type,
        model.power_norm,
    ]
    kept = _FeatureCache(hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32])
    known = kept.read(set(data.digests))
    # The main process's cache counts, and it alone needs them all: it fits the head.
    missing = [row for row, digest in enumerate(data.digests) if digest not in known]
    rows = np.array(data.world.broadcast_object(missing), np.int64)
    if len(rows):
        classifier.to(device).to(memory_format=memory_format(True)).eval()
        with display.counter("Features of the frozen network") as tick:
            fresh = predict_rows(
                data, classifier, rows, device, precision, output="features", tick=tick
            )
        new = dict(zip(data.digests[rows], fresh, strict=True))
        if data.world.is_main:
            kept.add(new)
        known |= new
    if not data.world.is_main:
        return np.empty((len(data.digests), 0), np.float32)
    return np.stack([known[digest] for digest in data.digests])


def network_digest(classifier: Classifier) -> str:
    """SHA-256 of everything in `classifier` but its last layer, whose start is random."""
    head = f"network.{classifier.head}."
    body = {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if not name.startswith(head)
    }
    return checksum(body, {"backbone": classifier.name})


class _FeatureCache:
    """Features of one network and view, by the digests of images; a table for each time that
    some were added.
    """

    def __init__(self, key: str) -> None:
        self.folder = cache_root() / "frozen-features" / key

    def read(self, wanted: set[str]) -> dict[str, Features]:
        """What is kept of `wanted`; a damaged table is as good as none."""
        found: dict[str, Features] = {}
        for file in sorted(self.folder.glob("*.parquet")):
            with suppress(OSError, TableError):
                table = read_frame(file)
                table = table.filter(pl.col("sha256").is_in(list(wanted)))
                if table.height:
                    found |= dict(zip(table["sha256"], table["features"].to_numpy(), strict=True))
                    file.touch()  # marks it as used, see `make_room`
        return found

    def add(self, features: dict[str, Features]) -> None:
        """Keep `features`; a cache that cannot be written costs the next run a pass, no more."""
        width = len(next(iter(features.values())))
        table = pl.DataFrame(
            {
                "sha256": list(features),
                "features": pl.Series(
                    np.stack(list(features.values())), dtype=pl.Array(pl.Float32, width)
                ),
            }
        )
        make_room(
            [(file,) for file in self.folder.parent.glob("*/*.parquet")],
            KEPT_BYTES - int(table.estimated_size()),
        )
        with (
            suppress(BestiaryError),
            atomic_path(self.folder / f"{uuid.uuid4().hex}.parquet") as temporary,
        ):
            table.write_parquet(temporary)
