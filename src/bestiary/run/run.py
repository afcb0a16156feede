"""A run directory: open it, read and write its files, and check them against their checksums.

The files are read when they are needed; `Run.load` reads the starting files together. The names are
those of `bestiary.run.layout`. Knows nothing of networks, images or how scores are computed.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl
from filelock import FileLock

from bestiary.atomic import write_bytes, write_text
from bestiary.errors import DamagedError, RecipeError, RunError, one_line
from bestiary.numbers import counted
from bestiary.printable import printable_name, shell_name
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.renamed import RUN_FILES
from bestiary.run.checksums import file_digest, verify
from bestiary.run.contents import check_begun, check_contents
from bestiary.run.finished_files import finished_file
from bestiary.run.images import RunImages, UnknownRoot
from bestiary.run.json_files import read_json_file
from bestiary.run.layout import (
    BUDGET,
    CHECKSUMS,
    ENSEMBLE,
    FOLDS,
    MANIFEST,
    METRICS,
    RECIPE,
    STARTING_FILES,
    TRACKING,
    TRIALS,
    FoldFiles,
    fold_folder,
    lock_folder,
)
from bestiary.run.metrics_file import accuracy_line, check_scores
from bestiary.run.next_steps import next_steps
from bestiary.run.own_runs import recall_images, remember_images
from bestiary.run.tables import (
    SCHEMAS,
    check_unique_paths,
    fold_numbers_of,
    read_columns,
    read_table,
    write_table,
)
from bestiary.run.tracking_id import write_tracking_id
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import Root
from bestiary.storage.roots import open_root
from bestiary.tables import TableError, read_metadata

MAX_PLACE_LENGTH = 4096  # characters of the recorded folder of images


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that exists or is about to.

    Attributes:
        path: folder that contains its files.
        address: for a run in an object store, of which `path` is a working copy: its address,
            without a slash at the end. Empty for a local folder.
        data: folder or address that the paths of its images start from, as the user has named it.
            Empty: where the user has named it on this machine before; see `bestiary.run.own_runs`.

    Example:
        >>> import bestiary
        >>> run = bestiary.Run.open("run")
        >>> run.fold_numbers()
        [0, 1, 2]
        >>> run.read_classes()
        ['Corumorhinus cervinus', 'Corumorhinus maculatus', 'Istoreus squamatus']
        >>> run.read_recipe().view.size
        32
    """

    path: Path
    address: str = ""
    data: str = ""

    @classmethod
    def open(cls, path: str | Path, address: str = "", data: str = "") -> Self:
        """Open an existing run.

        Args:
            path: its folder.
            address: its address in an object store, where `path` is a working copy.
            data: where its images are, see the attribute.

        Raises:
            RunError: there is no run, an earlier version of bestiary wrote it, or it holds a link
                that leaves it, or a FIFO or device.
        """
        run = cls(Path(path), address, data)
        check_begun(run.path)
        check_contents(run.path)
        renamed = next((old for old in RUN_FILES if run.file(old).exists()), None)
        if renamed:
            raise RunError(
                f"{path}: was written by an earlier bestiary; its {renamed} is called "
                f"{RUN_FILES[renamed]} now; train it again, or use that version"
            )
        return run

    @property
    def place(self) -> str:
        """The path or address by which the user knows the run."""
        return self.address or str(self.path)

    def __fspath__(self) -> str:
        """Return `place`, so that a run can be given wherever its folder or its address can."""
        return self.place

    @property
    def name(self) -> str:
        """The last part of `place`."""
        return self.address.rsplit("/", 1)[-1] or self.path.resolve().name

    @property
    def exists(self) -> bool:
        """Whether a run has begun here: its recipe is the last of the starting files."""
        return self.file(RECIPE).is_file()

    @property
    def is_vacant(self) -> bool:
        """Whether a run may begin here: the folder is empty, or an interrupted start left it."""
        kept = {*STARTING_FILES, CHECKSUMS, TRIALS}
        files = self.path.iterdir() if self.path.is_dir() else None
        return files is not None and all(x.name in kept or x.name.startswith(".") for x in files)

    @property
    def score_line(self) -> str | None:
        """The out-of-fold accuracy in words; None until all folds have ended."""
        scores = self.read_scores()
        return None if scores is None else accuracy_line(scores["accuracy"])

    def __str__(self) -> str:
        """Describe the run after training: its score and the commands to use next."""
        place = printable_name(self.place)
        if not self.exists:
            return f"{place}: no run has begun here"
        if (score_line := self.score_line) is None:
            ended = [self.fold(fold).ended for fold in self.fold_numbers()]
            folds = counted(len(ended), "fold")
            show = f"bestiary show {shell_name(self.place)}"
            return f"{place}: {sum(ended)} of {folds} ended; see {show}"
        return "\n".join([score_line, "What next:", *next_steps(self.place)])

    def file(self, name: str) -> Path:
        """Return the path of a file.

        Args:
            name: one of the names in `bestiary.run.layout`.
        """
        return self.path / name

    def fold(self, number: int) -> FoldFiles:
        """Return the files of fold `number`."""
        return FoldFiles(self.path / fold_folder(number))

    def lock(self) -> FileLock:
        """Lock the run while this process begins it. A crash releases the lock.

        Raises:
            RunError: another process begins it.
        """
        return lock_folder(self.path, "is beginning it; wait for it or choose another folder")

    def load(self) -> "RunSnapshot":
        """Read the starting files once.

        Raises:
            RunError: one of them is missing or damaged.
        """
        manifest, folds = self.read_table(MANIFEST), self.read_table(FOLDS)
        return RunSnapshot(self, manifest, folds, self.read_recipe())

    def read_recipe(self) -> Recipe:
        """Read recipe.toml.

        Raises:
            RunError: it is missing, changed or of another version.
        """
        verify(self.path, RECIPE)
        try:
            return load_recipe(self.file(RECIPE))
        except RecipeError as error:
            raise RunError(f"{self.path} is damaged or of another version: {error}") from None

    def read_table(self, name: str) -> pl.DataFrame:
        """Read one of the tables with a schema in `bestiary.run.tables`.

        Args:
            name: `MANIFEST`, `FOLDS` or `TARGETS`.

        Raises:
            DamagedError: it is missing, changed or lacks a column.
        """
        verify(self.path, name)
        table = read_table(self.file(name), SCHEMAS[name])
        check_unique_paths(self.file(name), table)
        return table

    def read_root(self) -> Root:
        """Open the folder that the manifest's paths start from, if the user has named it.

        What the run itself records is never opened: it may come from a stranger.

        Returns:
            The folder; an `UnknownRoot` where the user has not named it.

        Raises:
            DamagedError: the manifest cannot be read.
            DataError: the folder is in a store that cannot be opened.
        """
        place = self.named_root()
        if not place:
            return UnknownRoot()
        has_boxes = "box" in read_columns(self.file(MANIFEST))
        return BoxFolder(open_root(place)) if has_boxes else open_root(place)

    def named_root(self) -> str:
        """Return the folder of the images as the user has named it; empty where not.

        Raises:
            DamagedError: the manifest cannot be read.
        """
        return self.data or recall_images(self._manifest_digest()) or ""

    def remember_root(self, place: str) -> bool:
        """Record for this user and machine where the images are; tell whether that worked.

        Args:
            place: absolute folder or address, which the user has named.

        Raises:
            DamagedError: the manifest cannot be read.
        """
        return remember_images(self._manifest_digest(), place)

    def read_recorded_root(self) -> str:
        """Read the folder that the run was begun with: a text to show and compare, not to open.

        Raises:
            RunError: the manifest cannot be read.
        """
        file = self.file(MANIFEST)
        try:
            return read_metadata(file)["root"][:MAX_PLACE_LENGTH]
        except (OSError, KeyError, TableError) as error:
            raise RunError(f"{file}: cannot be read ({one_line(error)})") from None

    def _manifest_digest(self) -> str:
        file = self.file(MANIFEST)
        try:
            return file_digest(file)
        except OSError as error:
            raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None

    def fold_numbers(self) -> list[int]:
        """Read the numbers of the folds, in order.

        Raises:
            DamagedError: folds.parquet is missing or changed.
        """
        return fold_numbers_of(self.read_table(FOLDS))

    def read_classes(self) -> list[str]:
        """Read the class names in the order of the logits.

        Raises:
            RunError: the run has no ensemble.json yet.
        """
        classes = self.read_json(ENSEMBLE).get("classes")
        if not isinstance(classes, list):
            raise DamagedError.foreign(self.file(ENSEMBLE), "no list of classes")
        return list(map(str, classes))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file.

        Args:
            name: such as `ENSEMBLE` or `METRICS`.

        Raises:
            RunError: it does not exist yet, or is damaged.
        """
        try:
            return read_json_file(self.file(name))
        except FileNotFoundError:
            raise RunError(
                f"{self.place}: has no {name} yet; finish a fold with bestiary train DATA "
                f"{shell_name(self.place)} --resume"
            ) from None

    def read_scores(self) -> dict[str, Any] | None:
        """Read the out-of-fold scores of metrics.json; None: not all folds have ended.

        Raises:
            RunError: the file is damaged, or a score in it cannot be one.
        """
        file = finished_file(self.path, METRICS)
        if not file.exists():
            return None
        return check_scores(file, self.read_json(METRICS))

    def begin_like(self, other: "Run", recipe: Recipe) -> None:
        """Begin a run with the images, labels and folds of another one.

        Args:
            other: the run to copy from.
            recipe: of the new run.
        """
        for name in STARTING_FILES:
            if name not in (BUDGET, TRACKING) and other.file(name).exists():
                write_bytes(self.file(name), other.file(name).read_bytes())
        self.write_recipe(recipe)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write SHA256SUMS, then recipe.toml. With that, the run has begun."""
        if recipe.track.to:
            write_tracking_id(self.path)
        text = recipe.to_toml()
        begun = [name for name in STARTING_FILES if self.file(name).exists()]
        checksums = {name: file_digest(self.file(name)) for name in begun}
        checksums[RECIPE] = hashlib.sha256(text.encode()).hexdigest()
        lines = [f"{checksum}  {name}\n" for name, checksum in checksums.items()]
        write_text(self.file(CHECKSUMS), "".join(lines))
        write_text(self.file(RECIPE), text)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file, such as `ENSEMBLE` or `METRICS`."""
        write_text(self.file(name), json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write_table(
        self, name: str, table: pl.DataFrame, metadata: dict[str, str] | None = None
    ) -> None:
        """Write a table, CSV or Parquet by its name; `metadata` is for Parquet."""
        write_table(self.file(name), table, metadata)


@dataclass(frozen=True)
class RunSnapshot:
    """The starting files of a run, read once.

    Attributes:
        run: the run.
        manifest: manifest.parquet, one row an image.
        fold_table: folds.parquet, path -> fold.
        recipe: every option of the run.
    """

    run: Run
    manifest: pl.DataFrame
    fold_table: pl.DataFrame
    recipe: Recipe

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds, in order."""
        return fold_numbers_of(self.fold_table)

    @property
    def ended(self) -> list[int]:
        """The folds that have ended so far."""
        return [fold for fold in self.folds if self.run.fold(fold).ended]

    @cached_property
    def root(self) -> Root:
        """The folder that the manifest's paths start from, opened when it is first asked for."""
        return self.run.read_root()

    @cached_property
    def images(self) -> RunImages:
        """The images, each compared with its digest before it is given: for all that shows them."""
        return RunImages(self.root, self.manifest)

    def check_ended(self) -> None:
        """Refuse a run that is not finished.

        Raises:
            RunError: a fold has not ended.
        """
        ended = self.ended
        waiting = [fold for fold in self.folds if fold not in ended]
        if waiting:
            raise RunError(
                f"{self.run.place}: fold {waiting[0]} has not ended; "
                f"go on with bestiary train DATA {shell_name(self.run.place)} --resume"
            )
