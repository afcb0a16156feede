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
from bestiary.printable import printable_name
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.renamed import RUN_FILES
from bestiary.run.layout import (
    CHECKSUMS,
    ENSEMBLE,
    FOLDS,
    MANIFEST,
    METRICS,
    RECIPE,
    STARTING_FILES,
    TRAIN_ONLY,
    FoldFiles,
    fold_folder,
    lock_folder,
)
from bestiary.run.tables import SCHEMAS, read_table, write_table
from bestiary.storage.files import Root
from bestiary.storage.roots import open_root
from bestiary.tables import TableError, read_metadata


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that exists or is about to.

    Attributes:
        path: folder that contains its files.
        address: for a run in an object store, of which `path` is a working copy: its address,
            without a slash at the end. Empty for a run in a local folder.

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

    @classmethod
    def open(cls, path: str | Path, address: str = "") -> Self:
        """Open an existing run.

        Args:
            path: its folder.
            address: its address in an object store, where `path` is a working copy.

        Raises:
            RunError: there is no run, or an earlier version of bestiary wrote it.
        """
        run = cls(Path(path), address)
        if not run.path.is_dir():
            raise RunError(
                f"{path}: no such run; check the path, or make one with bestiary train DATA {path}"
            )
        if not run.exists:
            raise RunError(
                f"{path}: is not a run (it has no {RECIPE}); make one with bestiary train DATA RUN"
            )
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

    @property
    def name(self) -> str:
        """The last part of `place`."""
        return self.address.rsplit("/", 1)[-1] or self.path.resolve().name

    @property
    def exists(self) -> bool:
        """Whether a run has begun here. Its recipe is the last of the starting files."""
        return self.file(RECIPE).is_file()

    @property
    def is_vacant(self) -> bool:
        """Whether a run may begin here: the folder is empty, or an interrupted start left it."""
        leftovers = {*STARTING_FILES, CHECKSUMS}
        return self.path.is_dir() and all(
            file.name in leftovers or file.name.startswith(".") for file in self.path.iterdir()
        )

    @property
    def score_line(self) -> str | None:
        """The out-of-fold accuracy in words; None until all folds have ended."""
        if not self.file(METRICS).exists():
            return None
        scores = self.read_json(METRICS)
        try:
            return _accuracy_line(scores["oof"]["accuracy"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError.foreign(
                self.file(METRICS), f"{error!r:.80}", "write it again with --resume"
            ) from None

    def __str__(self) -> str:
        """Describe the run after training: its score and the commands to use next."""
        score_line = self.score_line
        place = printable_name(self.place)
        if score_line is None:
            folds = self.fold_numbers()
            ended = [fold for fold in folds if self.fold(fold).ended]
            return (
                f"{place}: {len(ended)} of {len(folds)} folds have ended; see bestiary show {place}"
            )
        return (
            f"{score_line}\n"
            f"What next: bestiary predict {place} IMAGES --out prediction.csv\n"
            f"           bestiary evaluate {place} LABELED_IMAGES"
        )

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
        return RunSnapshot(
            run=self,
            manifest=self.read_table(MANIFEST),
            fold_table=self.read_table(FOLDS),
            recipe=self.read_recipe(),
        )

    def read_recipe(self) -> Recipe:
        """Read recipe.toml.

        Raises:
            RunError: it is missing, changed or of another version.
        """
        self._verify(RECIPE)
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
        self._verify(name)
        return read_table(self.file(name), SCHEMAS[name])

    def read_root(self) -> Root:
        """Read the folder that the manifest's paths start from.

        Raises:
            RunError: the manifest cannot be read.
        """
        file = self.file(MANIFEST)
        try:
            return open_root(read_metadata(file)["root"])
        except (OSError, KeyError, TableError) as error:
            raise RunError(f"{file}: cannot be read ({one_line(error)})") from None

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
        return list(self.read_json(ENSEMBLE)["classes"])

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file.

        Args:
            name: such as `ENSEMBLE` or `METRICS`.

        Raises:
            RunError: it does not exist yet, or is damaged.
        """
        file = self.file(name)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{self.place}: has no {name} yet; finish a fold with bestiary train DATA "
                f"{self.place} --resume"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{file}: cannot be read ({one_line(error)})") from None
        if not isinstance(content, dict):
            raise DamagedError.foreign(file)
        return content

    def begin_like(self, other: "Run", recipe: Recipe) -> None:
        """Begin a run with the images, labels and folds of another one.

        Args:
            other: the run to copy from.
            recipe: of the new run.
        """
        for name in STARTING_FILES:
            if other.file(name).exists():
                write_bytes(self.file(name), other.file(name).read_bytes())
        self.write_recipe(recipe)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write SHA256SUMS, then recipe.toml. With that, the run has begun."""
        text = recipe.to_toml()
        checksums = {}
        for name in STARTING_FILES:
            if self.file(name).exists():
                checksums[name] = _sha256(self.file(name).read_bytes())
        checksums[RECIPE] = _sha256(text.encode())
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

    def _verify(self, name: str) -> None:
        """Refuse a starting file that has changed. A file without a line in SHA256SUMS passes."""
        try:
            expected = self._read_checksums()
            actual = _sha256(self.file(name).read_bytes())
        except FileNotFoundError:
            return  # an older run without SHA256SUMS, or a file that its reader reports as missing
        except (OSError, ValueError) as error:
            raise DamagedError(
                f"{self.file(CHECKSUMS)}: cannot be read ({one_line(error)})"
            ) from None
        if expected.get(name, actual) != actual:
            raise DamagedError(
                f"{self.file(name)}: has changed since the run was begun ({CHECKSUMS}); "
                f"put it back, or remove its line there if the change was meant"
            )

    def _read_checksums(self) -> dict[str, str]:
        """File name -> SHA-256."""
        lines = self.file(CHECKSUMS).read_text("utf-8").splitlines()
        return dict(line.split("  ", 1)[::-1] for line in lines)


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
                f"go on with bestiary train {self.root} {self.run.place} --resume"
            )


def fold_numbers_of(fold_table: pl.DataFrame) -> list[int]:
    """List the numbers of the folds in folds.parquet, in order and without `TRAIN_ONLY`."""
    folds = fold_table.filter(pl.col("fold") != TRAIN_ONLY)["fold"]
    return sorted(folds.unique().to_list())


def _accuracy_line(score: dict[str, Any]) -> str:
    """Put an accuracy of metrics.json into words: value, interval, numbers of images and groups."""
    groups = "" if score["groups"] == score["n"] else f", {score['groups']:,} groups"
    return (
        f"Out-of-fold accuracy {score['value']:.4f}, "
        f"95 % interval {score['low']:.4f} to {score['high']:.4f} "
        f"({score['n']:,} images{groups})"
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
