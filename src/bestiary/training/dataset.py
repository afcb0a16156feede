"""Dataset of a run: its samples, labels and folds, and loaders of training and evaluation views.

A `TrainingSet` is read from the manifest, the folds and the recipe of a run. Samples are numbered
by their row in the manifest. Does not know networks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bestiary.atomic import write_errors
from bestiary.caches import not_cached
from bestiary.data.decode import CHANGED, Pixels, read_unchanged
from bestiary.data.device_views import PaddedBatch, load_padded_batches
from bestiary.data.eval_view import EvalView, white_of
from bestiary.data.loader import (
    Batch,
    LoaderThreads,
    RankBatch,
    Rows,
    load_batches,
    loader_threads,
    rank_batch,
    train_views,
)
from bestiary.data.manifest import natural_classes
from bestiary.data.pixel_formats import pixel_format
from bestiary.data.store import ImageStore, default_folder, load_shrunk
from bestiary.data.views import TrainView
from bestiary.display import Display
from bestiary.errors import BestiaryError, DamagedError, DataError, ImageError
from bestiary.model.transfer import send
from bestiary.printable import place_name
from bestiary.recipe.choices import StoreFormat
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.run.layout import TRAIN_ONLY
from bestiary.run.run import Run
from bestiary.run.targets import read_targets
from bestiary.storage.files import Readable, Root, StoredFolder
from bestiary.storage.roots import reading_order
from bestiary.training.distributed import SINGLE_PROCESS, World


@dataclass(frozen=True)
class TrainingSet:
    """The samples of a run, one for each row of its manifest.

    Attributes:
        recipe: of the run.
        paths: path of every image below `root`, text (images,).
        root: folder that the paths start from.
        digests: SHA-256 of every image, text (images,).
        sizes: height and width of every image (images, 2).
        labels: class numbers (images,).
        folds: fold of every image (images,).
        label_conflict: whether an image has near duplicates with another label (images,). Such
            images are not scored.
        classes: class names in the order of the logits.
        targets: soft targets of a student, float32 (images, classes); None: the labels.
        store: decoded images; None: images are decoded again in each epoch.
        world: ranks that work on the dataset together.
    """

    recipe: Recipe
    paths: pl.Series  # a third of the memory of a list of strings, which matters from 10^6 rows on
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
        cls,
        recipe: Recipe,
        table: pl.DataFrame,
        root: Root,
        folds: pl.DataFrame,
    ) -> "TrainingSet":
        """Create the dataset from the tables of a run.

        Args:
            recipe: of the run.
            table: its manifest.
            root: folder that the manifest's paths start from.
            folds: columns path and fold.

        Returns:
            The dataset, without targets and store.

        Raises:
            DamagedError: an image has no fold or several.
        """
        fold_numbers = _match_folds(table, folds, root)
        classes = natural_classes(table["label"])
        class_number = {name: index for index, name in enumerate(classes)}
        labels = table["label"].replace_strict(class_number, return_dtype=pl.Int64)
        sizes = table.select(pl.col("height", "width").cast(pl.Int32))
        return cls(
            recipe=recipe,
            paths=table["path"],
            root=root,
            digests=table["sha256"],
            sizes=sizes.to_numpy(),
            labels=labels.to_numpy(),
            folds=fold_numbers,
            label_conflict=table["label_conflict"].to_numpy(),
            classes=classes,
        )

    def soft_targets(self, rows: Rows, device: torch.device) -> torch.Tensor:
        """Soft targets (rows, classes) on `device`, not waited for: the student's, or one-hot."""
        rows = rows % len(self.paths)
        if self.targets is not None:
            return send(torch.from_numpy(self.targets[rows]), device)
        labels = send(torch.from_numpy(self.labels[rows]), device)
        classes = torch.arange(len(self.classes), device=device)
        return (labels[:, None] == classes).float()

    def reading_order(self, rows: Rows) -> Rows:
        """Positions (rows,) in the order that reads `rows` fastest, for work in any order."""
        return reading_order(self.root, self.paths[rows])

    @property
    def fold_numbers(self) -> list[int]:
        """The numbers of the folds, in order and without `TRAIN_ONLY`."""
        return [fold for fold in np.unique(self.folds).tolist() if fold != TRAIN_ONLY]

    def rows(self, fold: int) -> tuple[Rows, Rows]:
        """Split the samples into the training part and the held-out part of a fold."""
        is_val = self.folds == fold
        train_rows = np.flatnonzero(~is_val)
        val_rows = np.flatnonzero(is_val)
        return train_rows, val_rows

    def frequencies(self, rows: Rows) -> torch.Tensor:
        """Share of each class among some samples, float (classes,)."""
        labels = torch.from_numpy(self.labels[rows])
        counts = torch.bincount(labels, minlength=len(self.classes))
        return counts / len(rows)

    def scorable(self, rows: Rows) -> Rows:
        """Select the samples without a label conflict: only these are scored."""
        has_conflict = self.label_conflict[rows]
        return rows[~has_conflict]

    def pixels_of(self, row: int) -> Pixels:
        """Load the image that training views are cropped from, its short side shrunk.

        Raises:
            DataError: the image cannot be read.
        """
        row = int(row) % len(self.paths)
        if self.store:
            digest = self.digests[row]
            stored = self.store.get(digest)
            if stored is not None:
                return stored

        side = store_side(self.recipe)
        white = white_of(self.recipe.view)
        digest = self.digests[row]
        pixels = self._load(row, lambda path: load_shrunk(path, digest, side, white))
        # The views of a training must not depend on what fits on the disk.
        return pixel_format(_storing(self.recipe)).as_stored(pixels)

    def training_batches(
        self,
        batches: Sequence[Rows],
        fold: int,
        epoch: int,
        device: torch.device,
    ) -> Iterator[tuple[Batch | PaddedBatch, RankBatch]]:
        """Load the training batches of an epoch, or those that are left of it.

        Args:
            batches: rows of each batch, of all ranks.
            fold: number of the fold that is held out.
            epoch: epochs done.
            device: where the network is trained.

        Returns:
            An iterator over the random views of this rank's part of each batch, and that part.

        Raises:
            DataError: an image cannot be read.
        """
        part_of = partial(
            rank_batch,
            rank=self.world.rank,
            size=self.world.size,
            mixed=self.recipe.mix.probability > 0,
        )
        parts = [part_of(rows) for rows in batches]
        part_rows = [part.rows for part in parts]
        views = self._load_views(part_rows, fold, epoch, device)
        return zip(views, parts, strict=True)

    def _load_views(
        self,
        batches: Sequence[Rows],
        fold: int,
        epoch: int,
        device: torch.device,
    ) -> Iterator[Batch | PaddedBatch]:
        seed = self.recipe.train.seed
        view = TrainView.of(self.recipe.view)
        threads = self.loader_threads(device)
        pin = device.type == "cuda"
        if self.recipe.view.device == "model":
            rng_of = partial(keyed_rng, seed, "view", fold, epoch)
            return load_padded_batches(
                batches,
                self.pixels_of,
                view,
                rng_of,
                threads.workers,
                pin=pin,
            )
        view_of = train_views(self.pixels_of, view, seed, fold, epoch)
        return load_batches(batches, view_of, threads, pin=pin)

    def loader_threads(self, device: torch.device) -> LoaderThreads:
        """Choose what makes views: processes can, of the files of a folder on this machine."""
        is_local = isinstance(self.root, Path)
        return loader_threads(device.type, self.world.local_size, can_inherit=is_local)

    def eval_view_of(self, view: EvalView) -> Callable[[int], Pixels]:
        """Create the function row -> evaluation view, taken from the original as in prediction."""

        def load_view(row: int) -> Pixels:
            digest = self.digests[int(row)]
            return self._load(row, lambda path: view(view.decode(read_unchanged(path, digest))))

        return load_view

    def _load(self, row: int, load: Callable[[Readable], Pixels]) -> Pixels:
        path = self.root / self.paths[int(row)]
        try:
            return load(path)
        except ImageError as error:
            since = "since" if error.reason == CHANGED else "but it was readable when"
            raise DataError(
                f"{place_name(path)}: {error.reason}, {since} the run began; put it back, then "
                "--resume"
            ) from None


def _match_folds(
    table: pl.DataFrame,
    folds: pl.DataFrame,
    root: Root,
) -> NDArray[np.int64]:
    """Match the folds to the lines of the manifest by path; the fold of each image (images,)."""
    if not table["path"].equals(folds["path"]):  # a join takes as much memory again
        folds = table.select("path").join(
            folds,
            on="path",
            how="left",
            maintain_order="left",
        )
    if folds.height != table.height or folds["fold"].null_count():
        raise DamagedError(
            f"{root}: folds.parquet does not give each image of manifest.parquet one fold"
        )
    return folds["fold"].to_numpy().astype(np.int64)


def store_side(recipe: Recipe) -> int:
    """Short side in pixels of the images that training views are cropped from."""
    default = round(1.5 * recipe.view.size)
    return recipe.data.store_side or default


def read_training_set(run: Run) -> TrainingSet:
    """Read the dataset of a run from its tables.

    Args:
        run: with its recipe, manifest and folds.

    Returns:
        The dataset, without a store.

    Raises:
        DamagedError: the tables are damaged or do not fit each other.
    """
    snapshot = run.load()
    data = TrainingSet.of(
        snapshot.recipe,
        snapshot.manifest,
        snapshot.root,
        snapshot.fold_table,
    )
    targets = read_targets(run, data.paths, data.folds, len(data.classes))
    return replace(data, targets=targets)


def check_images_exist(data: TrainingSet) -> None:
    """Check that every image of a run still exists, before hours are spent on training.

    Args:
        data: the dataset.

    Raises:
        DataError: the folder or an image is gone.
    """
    if not data.root.is_dir():
        raise DataError(
            f"{place_name(data.root)}: the run's images are gone; put the folder back, then "
            "--resume"
        )
    missing = _missing_images(data)
    if missing:
        raise DataError(
            f"{place_name(data.root)}: {len(missing)} of the run's images are gone, first "
            f"{missing[0]}; put them back, then --resume"
        )


def _missing_images(data: TrainingSet) -> list[str]:
    """List the paths of the images that are gone."""
    root = data.root
    if isinstance(root, StoredFolder):  # one listing instead of a request for each image
        existing = root.list_files()
        return [path for path in data.paths if path not in existing]
    return [path for path in data.paths if not (root / path).is_file()]


def open_store(data: TrainingSet, display: Display) -> ImageStore | None:
    """Open the store of decoded images of this machine, and fill it with the run's images.

    The first rank of each machine fills it.

    Args:
        data: the dataset.
        display: shows the progress, or why there is no store.

    Returns:
        The store; None if the disk has too little space.
    """
    reason = None
    if data.world.local_rank == 0:
        store, reason = _fill_store(data, display)
    data.world.all_reduce_max(0)
    if data.world.local_rank > 0:
        store = _open_store(data)
    if reason is None:
        return store
    display.notice(f"Images are decoded again in every epoch: {reason}")
    store.close()
    return None


def _open_store(data: TrainingSet) -> ImageStore:
    recipe = data.recipe
    folder = default_folder()
    return ImageStore(folder, store_side(recipe), white_of(recipe.view), _storing(recipe))


def _storing(recipe: Recipe) -> StoreFormat:
    """How images are stored; without a store they are as raw pixels are."""
    return recipe.data.store_format if recipe.data.store else "raw"


def _fill_store(data: TrainingSet, display: Display) -> tuple[ImageStore, str | None]:
    """Decode the run's images into the store; return it, and the reason if it stays empty."""
    store = _open_store(data)

    # List the images in the order that reads them fastest.
    every_row = np.arange(len(data.paths))
    order = data.reading_order(every_row)
    digests = data.digests[order]
    paths = [data.root / path for path in data.paths[order]]
    images = list(zip(digests, paths, strict=True))
    sizes = data.sizes[order].tolist()

    limit_bytes = int(data.recipe.data.store_limit_gb * 1e9)
    with display.counter("Decoding images") as tick:
        try:
            with write_errors(store.folder):
                reason = store.fill(images, sizes, limit_bytes, tick)
        except BestiaryError as error:  # the folder is full or read-only
            return store, not_cached(error)
    is_raw = data.recipe.data.store_format == "raw"
    hint = "; data.store_format=jpeg takes about a tenth of that" if is_raw else ""
    return store, reason and f"{reason}{hint}"
