"""A run directory: its names, and what may be in it. The only module that knows them.

::

    RUN/recipe.toml  manifest.parquet  folds.parquet  quarantine.csv  warnings.csv  near_duplicates.csv
    RUN/fixes.csv    SHA256SUMS  compute.json  ensemble.json  ood.safetensors  metrics.json  labels/
    RUN/targets.parquet  distill.json  (of a student)
    RUN/report.html  report.md  report.pdf  figures/
    RUN/fold-0/      weights.safetensors  initial.safetensors  epoch-020.safetensors  last/state.safetensors  history.csv
                     costs.csv  oof.parquet  tensorboard/

A finished decision is a file: manifest, folds, recipe and out-of-fold logits are written once and
read by everything after. SHA256SUMS (as `sha256sum -c` reads it) says how those were that the run
was begun with. Knows nothing of networks or images.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from bestiary.atomic import write_bytes, write_text
from bestiary.errors import DamagedError, RecipeError, RunError, one_line
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.renamed import RUN_FILES
from bestiary.run.layout import (
    BEGUN,
    ENSEMBLE,
    FOLDS,
    MANIFEST,
    METRICS,
    RECIPE,
    SUMS,
    TRAIN_ONLY,
    FoldFiles,
    lock_folder,
)
from bestiary.run.tables import TABLES, read_table, write_table
from bestiary.storage.files import Root
from bestiary.storage.places import root_at
from bestiary.tables import TableError, read_note


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that exists, or is about to.

    Attributes:
        path: folder that holds its files.
        address: in a store, of what the folder is a working copy of, without a slash at its end;
            empty where the folder is the run itself.
    """

    path: Path
    address: str = ""

    @classmethod
    def open(cls, path: str | Path, address: str = "") -> "Run":
        """The run at `path`.

        Raises:
            RunError: there is none.
        """
        run = cls(Path(path), address)
        if not run.path.is_dir():
            raise RunError(
                f"{path}: no such run; check the path, or make one with bestiary train DATA {path}"
            )
        if not run.exists:
            raise RunError(
                f"{path}: is not a run (it has no recipe.toml); make one with bestiary train DATA "
                f"RUN"
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
        """The path or the address that its user knows it by."""
        return self.address or str(self.path)

    @property
    def name(self) -> str:
        """The last part of its place."""
        return self.address.rsplit("/", 1)[-1] or self.path.resolve().name

    @property
    def exists(self) -> bool:
        """Whether a run has been begun here; its recipe is the last file that beginning writes."""
        return self.file(RECIPE).is_file()

    @property
    def is_vacant(self) -> bool:
        """Whether a run may be begun here: nothing is there but what an interrupted beginning
        left.
        """
        begun = {*BEGUN, SUMS}
        return self.path.is_dir() and all(
            p.name in begun or p.name.startswith(".") for p in self.path.iterdir()
        )

    @property
    def score_line(self) -> str | None:
        """The out-of-fold accuracy in words; None until all folds have ended."""
        if not self.file(METRICS).exists():
            return None
        scores = self.read_json(METRICS)
        try:
            score = scores["oof"]["accuracy"]
            groups = "" if score["groups"] == score["n"] else f", {score['groups']:,} groups"
            return (
                f"Out-of-fold accuracy {score['value']:.4f}, 95 % interval {score['low']:.4f} to "
                f"{score['high']:.4f} "
                f"({score['n']:,} images{groups})"
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"{self.file('metrics.json')}: is not of bestiary's making ({error!r:.80}); make "
                f"it anew with --resume"
            ) from None

    def __str__(self) -> str:
        if self.score_line is None:
            ended = [fold for fold in self.fold_numbers() if self.fold(fold).ended]
            return f"{self.place}: {len(ended)} of {len(self.fold_numbers())} folds have ended; see bestiary show {self.place}"
        return (
            f"{self.score_line}\n"
            f"What next: bestiary predict {self.place} IMAGES --out prediction.csv\n"
            f"           bestiary evaluate {self.place} LABELED_IMAGES"
        )

    def lock(self) -> FileLock:
        """A lock that one process holds while it begins the run; a crash leaves none behind.

        Raises:
            RunError: another process holds it.
        """
        return lock_folder(self.path, "is beginning it; wait for it or choose another folder")

    def file(self, name: str) -> Path:
        """The path of one of the names in the module's docstring."""
        return self.path / name

    def check_ended(self) -> None:
        """Refuse a run that is not finished.

        Raises:
            RunError: a fold has not ended.
        """
        waiting = [number for number in self.fold_numbers() if not self.fold(number).ended]
        if waiting:
            raise RunError(
                f"{self.place}: fold {waiting[0]} has not ended; "
                f"go on with bestiary train {self.read_root()} {self.place} --resume"
            )

    def fold(self, number: int) -> FoldFiles:
        """The files of fold `number`."""
        return FoldFiles(self.path / f"fold-{number}")

    def read_recipe(self) -> Recipe:
        """What was asked, every value resolved."""
        self._check_sum(RECIPE)
        try:
            return load_recipe(self.file(RECIPE))
        except RecipeError as error:
            raise RunError(f"{self.path} is damaged or of another version: {error}") from None

    def read_table(self, name: str) -> pl.DataFrame:
        """`manifest.parquet` or `folds.parquet`."""
        self._check_sum(name)
        return read_table(self.file(name), TABLES[name])

    def read_root(self) -> Root:
        """The folder that the manifest's paths start from."""
        try:
            return root_at(read_note(self.file(MANIFEST))["root"])
        except (OSError, KeyError, TableError) as error:
            raise RunError(
                f"{self.file('manifest.parquet')}: cannot be read ({one_line(error)})"
            ) from None

    def fold_numbers(self) -> list[int]:
        """The numbers of the folds, once they are dealt."""
        table = self.read_table(FOLDS).filter(pl.col("fold") != TRAIN_ONLY)
        return sorted(table["fold"].unique().to_list())

    def read_classes(self) -> list[str]:
        """Class names in the order of the logits.

        Raises:
            RunError: the run has no ensemble.json yet.
        """
        return list(self.read_json(ENSEMBLE)["classes"])

    def read_json(self, name: str) -> dict[str, Any]:
        """`ensemble.json` or `metrics.json`."""
        try:
            content = json.loads(self.file(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{self.place}: has no {name} yet; finish a fold with bestiary train DATA "
                f"{self.place} --resume"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.file(name)}: cannot be read ({one_line(error)})") from None
        if not isinstance(content, dict):
            raise RunError(f"{self.file(name)}: is not of bestiary's making")
        return content

    def write_recipe(self, recipe: Recipe) -> None:
        """Write SHA256SUMS, then recipe.toml; from then on the folder is a run."""
        text = recipe.to_toml()
        sums = {
            name: hashlib.sha256(self.file(name).read_bytes())
            for name in BEGUN
            if self.file(name).exists()
        }
        sums[RECIPE] = hashlib.sha256(text.encode())
        write_text(
            self.file(SUMS),
            "".join(f"{digest.hexdigest()}  {name}\n" for name, digest in sums.items()),
        )
        write_text(self.file(RECIPE), text)

    def begin_like(self, other: "Run", recipe: Recipe) -> None:
        """Begin a run with the images, labels and folds of `other`: from then on the folder is a
        run.
        """
        for name in BEGUN:
            if other.file(name).exists():
                write_bytes(self.file(name), other.file(name).read_bytes())
        self.write_recipe(recipe)

    def _check_sum(self, name: str) -> None:
        """Refuse a file that is not as the run was begun with; files without a line in
        SHA256SUMS pass.
        """
        try:
            sums = dict(
                line.split("  ", 1)[::-1]
                for line in self.file(SUMS).read_text("utf-8").splitlines()
            )
            found = hashlib.sha256(self.file(name).read_bytes()).hexdigest()
        except FileNotFoundError:
            return  # a run of before, or a file whose reader says what it misses
        except (OSError, ValueError) as error:
            raise DamagedError(f"{self.file(SUMS)}: cannot be read ({one_line(error)})") from None
        if sums.get(name, found) != found:
            raise DamagedError(
                f"{self.file(name)}: is not as the run was begun with (SHA256SUMS); put it back, "
                f"or remove its line "
                "there if the change was meant"
            )

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write `ensemble.json` or `metrics.json`."""
        write_text(self.file(name), json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write_table(
        self, name: str, table: pl.DataFrame, metadata: dict[str, str] | None = None
    ) -> None:
        """Write a table: CSV or Parquet by its name, Parquet with `metadata`."""
        write_table(self.file(name), table, metadata)
