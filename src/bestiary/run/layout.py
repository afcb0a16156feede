"""The names inside a run directory: the only module that knows them.

::

    RUN/recipe.toml        what was asked, every value resolved
        manifest.parquet   path, label, group, digests, size, split; nothing is trained that is not in it
        folds.parquet      path -> fold
        quarantine.csv     files left out, each with the reason
        warnings.csv       images that are odd, and why
        near_duplicates.csv  images that show the same
        fixes.csv          labels that a person has decided
        SHA256SUMS         of the files above, as the run was begun with them; `sha256sum -c` reads it
        compute.json       precision, memory layout, compilation and threads, one entry a type of device
        ensemble.json      classes, preprocessing, members, averaging rule, calibration, versions
        ood.safetensors    the out-of-distribution detector
        metrics.json       out-of-fold scores with intervals
        targets.parquet    of a student: what each image is to be answered with
        distill.json       of a student: what it was judged to be worth
        labels/            labels that are probably wrong: fixes.csv, class_quality.csv, class_overlap.csv, labels.html
        report.html        and report.md, report.pdf, figures/
        fold-0/            weights.safetensors, initial.safetensors, epoch-020.safetensors, student.safetensors,
                           last/state.safetensors, last/previous.safetensors, history.csv, costs.csv, oof.parquet,
                           tensorboard/

A finished decision is a file. Manifest, folds, recipe and out-of-fold logits are written once and
read by everything after. Knows nothing of what the files hold.
"""

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bestiary.errors import RunError, one_line

RECIPE = "recipe.toml"
MANIFEST = "manifest.parquet"
FOLDS = "folds.parquet"
QUARANTINE = "quarantine.csv"
WARNINGS = "warnings.csv"
NEAR_DUPLICATES = "near_duplicates.csv"
FIXES = "fixes.csv"
COMPUTE = "compute.json"
ENSEMBLE = "ensemble.json"
OOD = "ood.safetensors"
METRICS = "metrics.json"
TARGETS = "targets.parquet"
DISTILL = "distill.json"
CLASS_QUALITY = "class_quality.csv"
CLASS_OVERLAP = "class_overlap.csv"
SUMS = "SHA256SUMS"
LABELS = "labels"
REPORT = "report"
FIGURES = "figures"

BEGUN = (MANIFEST, FOLDS, QUARANTINE, WARNINGS, NEAR_DUPLICATES, FIXES, TARGETS)
"""What a run is begun with, besides its recipe."""
TRAIN_ONLY = -1
"""Fold of a student's images that every member is trained on."""
FORMAT = 2
"""Of the run directory; raised when a reader of an earlier one could misread it."""


@dataclass(frozen=True, slots=True)
class FoldFiles:
    """The names inside one fold's folder."""

    folder: Path

    @property
    def weights(self) -> Path:
        """The member: the best epoch's weights, or the last's where the recipe says so."""
        return self.folder / "weights.safetensors"

    @property
    def student(self) -> Path:
        """A student's own weights, where the mean of its teachers' was better and is the member."""
        return self.folder / "student.safetensors"

    @property
    def initial(self) -> Path:
        """The weights that training began from, where the member keeps a share of them."""
        return self.folder / "initial.safetensors"

    @property
    def state(self) -> Path:
        """Everything that resuming needs."""
        return self.folder / "last" / "state.safetensors"

    @property
    def previous_state(self) -> Path:
        """The state before that, for when the last one is damaged."""
        return self.folder / "last" / "previous.safetensors"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.folder / "history.csv"

    @property
    def costs(self) -> Path:
        """One row for each time the fold was worked on: seconds, device, peak memory, energy."""
        return self.folder / "costs.csv"

    @property
    def oof(self) -> Path:
        """Logits of the held-out part; there once the fold has ended."""
        return self.folder / "oof.parquet"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.folder / "tensorboard"

    def epoch(self, number: int) -> Path:
        """The weights kept after `number` epochs."""
        return self.folder / f"epoch-{number:03d}.safetensors"

    @property
    def ended(self) -> bool:
        """Whether the fold is trained and its held-out part predicted."""
        return self.oof.exists() and self.weights.exists()

    def lock(self, patience: float = 0.0) -> FileLock:
        """A lock that one process holds while it trains the fold; a crash leaves none behind.

        Args:
            patience: seconds to wait for it, where the process that had it may be about to end.

        Raises:
            RunError: another process holds it.
        """
        return lock_folder(
            self.folder, "is training it; wait for it or choose other folds", patience
        )


def needed_to_use(path: str) -> bool:
    """Whether the file at `path` below a run is needed to predict with it: states, kept epochs
    and logs are not.
    """
    parts = path.split("/")
    return not {"last", "tensorboard"} & set(parts[:-1]) and not parts[-1].startswith(
        ("epoch-", "start.")
    )


def lock_folder(folder: Path, doing: str, patience: float = 0.0) -> FileLock:
    """A lock on `folder`, which the operating system takes back when the process ends, however
    it ends.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout:
        raise RunError(f"{folder}: another process {doing}") from None
    except (OSError, NotImplementedError) as error:  # the latter where a network disk has no locks
        reason = getattr(error, "strerror", None) or one_line(error)
        raise RunError(
            f"{folder}: cannot be locked ({reason}); choose a folder that can be written"
        ) from None
    return lock
