"""A manifest, its folds and a recipe -> what one fold trains on: rows, labels, and functions
from row to view.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.device_views import PaddedBatch, load_padded_batches
from bestiary.data.loader import (
    Batch,
    Rows,
    Share,
    epoch_order,
    load_batches,
    loader_threads,
    share_batch,
    train_views,
    window_order,
)
from bestiary.data.manifest import natural_classes
from bestiary.data.store import ImageStore, default_folder, load_shrunk
from bestiary.data.views import EvalView, TrainView
from bestiary.display import Display
from bestiary.errors import DamagedError, DataError, ImageError
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.run.layout import FOLDS, MANIFEST
from bestiary.run.run import Run
from bestiary.run.targets import read_targets
from bestiary.storage.files import Readable, Root, StoredFolder
from bestiary.storage.places import reading_order
from bestiary.storage.shards import ShardFolder
from bestiary.training.distributed import SINGLE_PROCESS, World


@dataclass(frozen=True)
class TrainingSet:
    """The images of a run as rows of its manifest.

    Attributes:
        recipe: the run's.
        paths: of every image, as in the manifest, text (images,).
        root: folder that the paths start from.
        digests: of every image, text (images,).
        sizes: height and width of every image (images, 2).
        labels: class numbers (images,).
        folds: fold of each image (images,).
        conflict: whether each image has copies with another label (images,); these are not scored.
        classes: class names in the order of the logits.
        targets: float32 (images, classes), what a student is to answer; None: the labels.
        store: decoded images, or None to decode each time.
        world: the processes that work on it together.
    """

    recipe: Recipe
    # a column takes a third of what a list of Python's strings does, which counts from 10^6 rows on
    paths: pl.Series
    root: Root
    digests: pl.Series
    sizes: NDArray[np.int32]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    label_conflict: NDArray[np.bool_]
    classes: list[str]
    targets: NDArray[np.float32] | None = field(default=None, compare=False)
    store: ImageStore | None = field(default=None, compare=False)
    world: World = SINGLE_PROCESS

    @classmethod
    def of(
        cls, recipe: Recipe, table: pl.DataFrame, root: Root, folds: pl.DataFrame
    ) -> "TrainingSet":
        """From the tables of a run, without a store."""
        if not table["path"].equals(folds["path"]):  # joining takes as much memory again
            folds = table.select("path").join(folds, on="path", how="left", maintain_order="left")
        if folds.height != table.height or folds["fold"].null_count():
            raise DamagedError(
                f"{root}: folds.parquet does not give each image of manifest.parquet one fold"
            )
        classes = natural_classes(table["label"])
        number = {name: index for index, name in enumerate(classes)}
        labels = table["label"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
        sizes = table.select(pl.col("height", "width").cast(pl.Int32)).to_numpy()
        folds_of, label_conflict = (
            folds["fold"].to_numpy().astype(np.int64),
            table["label_conflict"].to_numpy(),
        )
        return cls(
            recipe,
            table["path"],
            root,
            table["sha256"],
            sizes,
            labels,
            folds_of,
            label_conflict,
            classes,
        )

    def soft_targets(self, rows: Rows) -> torch.Tensor:
        """What is to be answered for each of `rows`, float32 (rows, classes)."""
        if self.targets is not None:
            return torch.from_numpy(self.targets[rows])
        return functional.one_hot(torch.from_numpy(self.labels[rows]), len(self.classes)).float()

    def epoch_rows(self, rows: Rows, fold: int, epoch: int) -> Rows:
        """`rows` in the order in which an epoch visits them; of shards, few are read at a time."""
        seed = self.recipe.train.seed
        if not isinstance(self.root, ShardFolder):
            return rows[epoch_order(len(rows), seed, fold, epoch)]
        shards = self.root.shards_of(self.paths[rows])
        order = window_order(shards, self.recipe.data.shuffle_buffer, seed, fold, epoch)
        self.root.will_read(shards[order])
        return rows[order]

    def reading_order(self, rows: Rows) -> Rows:
        """The order (rows,) in which `rows` are best read, where any order will do."""
        return reading_order(self.root, self.paths[rows])

    def rows(self, fold: int) -> tuple[Rows, Rows]:
        """The rows that fold `fold` trains on, and those that it holds out."""
        return np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)

    def frequencies(self, rows: Rows) -> torch.Tensor:
        """Share of each class among `rows`, float (classes,)."""
        return torch.bincount(
            torch.from_numpy(self.labels[rows]), minlength=len(self.classes)
        ) / len(rows)

    def scored(self, rows: Rows) -> Rows:
        """Those of `rows` whose labels can be trusted enough to score by."""
        return rows[~self.label_conflict[rows]]

    def pixels_of(self, row: int) -> Pixels:
        """What training views are taken from: the image, its short side shrunk to the store's."""
        kept = self.store.get(self.digests[int(row)]) if self.store else None
        if kept is not None:
            return kept
        return self._named(row, lambda path: load_shrunk(path, store_side(self.recipe)))

    def training_batches(
        self, batches: Sequence[Rows], fold: int, epoch: int, device: torch.device
    ) -> Iterator[tuple[Batch | PaddedBatch, Share]]:
        """The batches of an epoch, or what is left of it, with the random views that are theirs for
        `device`.

        Of several processes each has its share of every batch.
        """
        mixed = self.recipe.mix.probability > 0
        shares = [
            share_batch(rows, self.world.rank, self.world.size, mixed=mixed) for rows in batches
        ]
        return zip(
            self._load([share.rows for share in shares], fold, epoch, device), shares, strict=True
        )

    def _load(
        self, batches: Sequence[Rows], fold: int, epoch: int, device: torch.device
    ) -> Iterator[Batch | PaddedBatch]:
        view, seed = TrainView.of(self.recipe.view), self.recipe.train.seed
        threads, pin = loader_threads(device.type, self.world.local_size), device.type == "cuda"
        if self.recipe.view.device == "model":
            rng_of = partial(keyed_rng, seed, "view", fold, epoch)
            return load_padded_batches(
                batches, self.pixels_of, view, rng_of, threads.number, pin=pin
            )
        return load_batches(
            batches, train_views(self.pixels_of, view, seed, fold, epoch), threads, pin=pin
        )

    def eval_view_of(self, view: EvalView) -> Callable[[int], Pixels]:
        """The function row -> evaluation view, taken from the original as prediction does."""
        return lambda row: self._named(
            row, lambda path: view(decode(read_image(path), min_side=view.min_side))
        )

    def _named(self, row: int, load: Callable[[Readable], Pixels]) -> Pixels:
        path = self.root / self.paths[int(row)]
        try:
            return load(path)
        except ImageError as error:
            raise DataError(
                f"{path}: {error.reason}, though it was whole when the run began; put it back, "
                f"then --resume"
            ) from None


def store_side(recipe: Recipe) -> int:
    """Short side in pixels of the images that training views are taken from."""
    return recipe.data.store_side or round(1.5 * recipe.view.size)


def read_training_set(run: Run) -> TrainingSet:
    """What a run trains on, as its tables say; without a store.

    Raises:
        DamagedError: the tables are damaged or do not fit each other.
    """
    tables = run.read_table(MANIFEST), run.read_root(), run.read_table(FOLDS)
    data = TrainingSet.of(run.read_recipe(), *tables)
    return replace(data, targets=read_targets(run, data.paths, data.folds, len(data.classes)))


def check_present(data: TrainingSet) -> None:
    """Look whether every image of the manifest is still there, before hours are spent on the
    others.
    """
    if not data.root.is_dir():
        raise DataError(
            f"{data.root}: the run's images are gone; put the folder back, then --resume"
        )
    if isinstance(data.root, StoredFolder):  # one list, not a question for each image
        there = data.root.list_files()
        missing = [path for path in data.paths if path not in there]
    else:
        missing = [path for path in data.paths if not (data.root / path).is_file()]
    if missing:
        raise DataError(
            f"{data.root}: {len(missing)} of the run's images are gone, first {missing[0]}; "
            "put them back, then --resume"
        )


def open_store(data: TrainingSet, display: Display) -> ImageStore | None:
    if not data.world.local_rank:
        store, reason = _fill_store(data, display)
    data.world.all_reduce_max(0)
    if data.world.local_rank:  # the first process of this machine has filled it
        store, reason = ImageStore(default_folder(), store_side(data.recipe)), None
    if reason is None:
        return store
    display.notice(f"Images are decoded anew in every epoch: {reason}")
    store.close()
    return None


def _fill_store(data: TrainingSet, display: Display) -> tuple[ImageStore, str | None]:
    store = ImageStore(default_folder(), store_side(data.recipe))
    order = data.reading_order(np.arange(len(data.paths)))
    images = [
        (digest, data.root / path)
        for digest, path in zip(data.digests[order], data.paths[order], strict=True)
    ]
    with display.counter("Decoding images") as tick:
        return store, store.fill(
            images, data.sizes[order].tolist(), int(data.recipe.data.store_limit_gb * 1e9), tick
        )
