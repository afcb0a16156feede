"""Frozen features: images -> features of the frozen pretrained backbone, cached by SHA-256.

The pretrained network has seen no label of a run, so its features leak nothing between folds. All
folds, and all runs with the same network and view, share one cache. Features are means over the
test-time views; the cache also has those of the first view. Knows nothing of heads.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bestiary.atomic import atomic_path, write_text
from bestiary.caches import cache_root, evict_least_recently_used, mark_used
from bestiary.data.eval_view import EvalView
from bestiary.data.loader import Rows
from bestiary.details import detail
from bestiary.display import Display
from bestiary.errors import BestiaryError
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.compute import memory_format, resolve_precision
from bestiary.model.device import best_device
from bestiary.model.tensor_file import checksum
from bestiary.numbers import counted
from bestiary.recipe.choices import Precision
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import ModelOptions
from bestiary.tables import TableError, read_frame
from bestiary.training.dataset import TrainingSet
from bestiary.training.prediction import predict_rows

Features = NDArray[np.float32]  # (images, features)
FOLDER = "frozen-features"  # in the cache
FEATURES = "features"  # column of a table: means over the views
FIRST_VIEW = "first_view"  # column: of the first of several views
DESCRIPTION = "recipe.json"  # of each network and view in it
MAX_CACHE_BYTES = 4_000_000_000  # of all tables; the least recently used are removed first


@dataclass(frozen=True)
class FrozenFeatures:
    """The features of a dataset's images.

    Attributes:
        mean: mean over the views (images, features) on the main rank; (images, 0) on the others.
        digests: SHA-256 of the images.
        cache: where the features of the first view are.
    """

    mean: Features
    digests: pl.Series
    cache: "_FeatureCache"

    def of_first_view(self, rows: Rows) -> Features | None:
        """Read the features of some images' first view, (n, features).

        Returns:
            None where images have one view only, or the cache could not be written.
        """
        digests = self.digests[rows].to_list()
        cached = self.cache.read(set(digests), FIRST_VIEW)
        if not all(digest in cached for digest in digests):
            return None
        return np.stack([cached[digest] for digest in digests])


def frozen_features(data: TrainingSet, display: Display) -> Features:
    """Compute the features of every image, or read them from the cache.

    Args:
        data: the dataset; its recipe sets the backbone and the view.
        display: shows progress.

    Returns:
        The means over the views, as `FrozenFeatures` has them.

    Raises:
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not available.
    """
    return open_features(data, display).mean


def open_features(data: TrainingSet, display: Display) -> FrozenFeatures:
    """Compute the features of every image, or read them from the cache.

    The ranks share the work, and the main one gathers the features.

    Args:
        data: the dataset; its recipe sets the backbone and the view.
        display: shows progress.

    Returns:
        The features.

    Raises:
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not available.
    """
    device = best_device()
    classifier = _build_frozen(data.recipe.model)
    precision = resolve_precision(data.recipe.train.precision, device)

    # Only the cache of the main rank counts: it fits the head.
    key = _cache_key(data, classifier, device, precision)
    cache = _FeatureCache(key)
    features = cache.read(set(data.digests))
    if data.world.is_main:
        cache.describe(_description(data.recipe))

    # Every rank computes a share of what is missing.
    rows = _missing_rows(data, features)
    total = counted(len(data.digests), "image")
    detail(f"features to compute: {len(rows):,} of {total}; cache: {cache.folder}")
    if len(rows):
        computed = _compute_features(data, classifier, rows, device, precision, display)
        if data.world.is_main:
            cache.add(data.digests[rows], computed)
        features |= dict(zip(data.digests[rows], computed[FEATURES], strict=True))

    mean = np.empty((len(data.digests), 0), np.float32)
    if data.world.is_main:
        mean = np.stack([features[digest] for digest in data.digests])
    return FrozenFeatures(mean, data.digests, cache)


def cached_features(recipe: Recipe, digests: Sequence[str]) -> Features | None:
    """Read features that an earlier training has left in the cache, without the network.

    Nothing is built, opened or fetched that the recipe names: it may be a stranger's.

    Args:
        recipe: of a run.
        digests: SHA-256 of its images.

    Returns:
        (images, features); None where the cache lacks one of them.
    """
    wanted = _description(recipe)
    for file in sorted((cache_root() / FOLDER).glob(f"*/{DESCRIPTION}")):
        with suppress(OSError, ValueError):
            if json.loads(file.read_text(encoding="utf-8")) != wanted:
                continue
            features = _FeatureCache(file.parent.name).read(set(digests))
            if all(digest in features for digest in digests):
                return np.stack([features[digest] for digest in digests])
    return None


def _description(recipe: Recipe) -> dict[str, Any]:
    """What features depend on, as far as a recipe says it."""
    return {
        "model": {
            name: getattr(recipe.model, name)
            for name in ("backbone", "weights", "normalize", "power_norm")
        },
        "view": recipe.view.model_dump(mode="json"),
        "tta": recipe.predict.tta,
        "precision": recipe.train.precision,
    }


def _missing_rows(data: TrainingSet, features: dict[str, Features]) -> Rows:
    """List the samples without features on the main rank; the same list on every rank."""
    missing = [row for row, digest in enumerate(data.digests) if digest not in features]
    missing = data.world.broadcast_object(missing)
    return np.array(missing, np.int64)


def _build_frozen(options: ModelOptions) -> Classifier:
    return build_classifier(
        options.backbone,
        1,
        options.weights,
        options.normalize,
        options.power_norm,
    )


def _compute_features(
    data: TrainingSet,
    classifier: Classifier,
    rows: Rows,
    device: torch.device,
    precision: Precision,
    display: Display,
) -> dict[str, Features]:
    """Compute the columns of a table of the cache, (rows, features) each."""
    keeps_first = data.recipe.predict.tta > 1
    classifier.to(device)
    classifier.to(memory_format=memory_format(True))
    classifier.eval()
    with display.counter("Features of the frozen network") as tick:
        features = predict_rows(
            data,
            classifier,
            rows,
            device,
            precision,
            output="features",
            keeps_first=keeps_first,
            tick=tick,
        )
    if not keeps_first:
        return {FEATURES: features}
    # Copies: a slice would keep both in memory.
    return {FEATURES: features[:, 0].copy(), FIRST_VIEW: features[:, 1].copy()}


def _cache_key(
    data: TrainingSet, classifier: Classifier, device: torch.device, precision: Precision
) -> str:
    """Hash everything that features depend on besides the image."""
    recipe = data.recipe
    view = EvalView.of(recipe.view, classifier.interpolation)
    key = [
        network_digest(classifier),
        asdict(view),
        recipe.predict.tta,
        precision,
        device.type,
        recipe.model.power_norm,
        FIRST_VIEW,  # earlier tables had no such column
    ]
    text = json.dumps(key)
    digest = hashlib.sha256(text.encode())
    return digest.hexdigest()[:32]


def network_digest(classifier: Classifier) -> str:
    """Hash the weights of a classifier without its head, which is initialized at random.

    Returns:
        SHA-256, hexadecimal.
    """
    head = f"network.{classifier.head}."
    body = {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if not name.startswith(head)
    }
    return checksum(body, {"backbone": classifier.name})


class _FeatureCache:
    """Features of one network and view, by the SHA-256 of the images.

    Each call of `add` writes one Parquet table.
    """

    def __init__(self, key: str) -> None:
        self.folder = cache_root() / FOLDER / key

    def describe(self, description: dict[str, Any]) -> None:
        """Note which recipes the features are of, if the cache is writable."""
        with suppress(BestiaryError, OSError):
            write_text(self.folder / DESCRIPTION, json.dumps(description))

    def read(self, digests: set[str], column: str = FEATURES) -> dict[str, Features]:
        """Read the cached features among `digests`; a damaged table is ignored."""
        features: dict[str, Features] = {}
        for file in sorted(self.folder.glob("*.parquet")):
            with suppress(OSError, TableError):
                cached = _read_features(file, digests, column)
                features |= cached
                if cached:
                    mark_used(file)
        return features

    def add(self, digests: pl.Series, columns: dict[str, Features]) -> None:
        """Write features (n, features) of images to the cache, if it is writable."""
        series = {
            name: pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
            for name, vectors in columns.items()
        }
        table = pl.DataFrame({"sha256": digests, **series}).unique("sha256", maintain_order=True)

        # Make room for the table among those of all networks.
        cached_tables = [(file,) for file in self.folder.parent.glob("*/*.parquet")]
        max_bytes = MAX_CACHE_BYTES - int(table.estimated_size())
        evict_least_recently_used(cached_tables, max_bytes)

        # If the cache cannot be written, the next run computes the features once more.
        file = self.folder / f"{uuid.uuid4().hex}.parquet"
        with suppress(BestiaryError), atomic_path(file) as temporary:
            table.write_parquet(temporary)


def _read_features(file: Path, digests: set[str], column: str) -> dict[str, Features]:
    """Read a column of the images among `digests` from one table of the cache."""
    is_wanted = pl.col("sha256").is_in(list(digests))
    table = read_frame(file, columns=["sha256", column]).filter(is_wanted)
    vectors = table[column].to_numpy()
    return dict(zip(table["sha256"], vectors, strict=True))
