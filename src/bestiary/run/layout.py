"""The names of the files in a run directory: the only module that has them.

::

    RUN/recipe.toml        every option of the run, with its value
        manifest.parquet   path, label, group, digests, size, split of every image to train on
        folds.parquet      path -> fold
        quarantine.csv     files left out, each with the reason
        warnings.csv       quality warnings: odd images, each with the reason
        near_duplicates.csv  images that are near duplicates of each other
        fixes.csv          labels that a person has decided
        not_duplicates.csv  near duplicates that a person has denied
        taxonomy.csv       the taxa above each class, if they are known
        targets.parquet    of a student: the target probabilities of each image
        unlabeled.parquet  frozen features of the unlabeled images that heads learn from
        budget.json        of `train --budget`: what was tried, what was chosen, and on which fold
        tracking.json      of a tracked run: the identifier by which trackers know it again
        SHA256SUMS         checksums of the files above, as `sha256sum -c` reads them
        compute.json       precision, memory layout, compilation, threads; one entry a device type
        ensemble.json      classes, preprocessing, members, averaging rule, calibration, versions
        ood.safetensors    the out-of-distribution detector
        unknown.json       which score tells unknown images, and how well, by classes left out
        metrics.json       out-of-fold scores with intervals
        field.json         how events, places, months and higher ranks change an answer
        distill.json       of a student: how it compares with its teacher
        labels/            suspect labels: fixes.csv, class_quality.csv, class_overlap.csv,
                           labels.html
        figures/           charts as SVG and CSV, and summary.png, written when the run ends
        report.html        and report.md, report.pdf, README.md (the model card)
        blend-1/           of `join`: the members of the second run, ensemble.json, recipe.toml
        trials/            of `train --budget`: a run for each way that was tried
        fold-0/            weights.safetensors, initial.safetensors, start.parquet,
                           epoch-020.safetensors,
                           student.safetensors, last/state.safetensors, last/previous.safetensors,
                           history.csv, costs.csv, head.json, oof.parquet, tensorboard/

A finished decision is a file. Recipe, manifest, folds and out-of-fold logits are written once and
read by everything after. The names of an ablation's folder and of a scan's stand here too, and
those of `evaluate --out` (evaluation.html, scores.json, images.csv, classes.csv, confusion.csv) and
of `predict --review` (review.html).
Knows nothing of what the files contain.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bestiary.display import Display
from bestiary.errors import RunError, one_line

RECIPE = "recipe.toml"
MANIFEST = "manifest.parquet"
FOLDS = "folds.parquet"
QUARANTINE = "quarantine.csv"
WARNINGS = "warnings.csv"
NEAR_DUPLICATES = "near_duplicates.csv"
FIXES = "fixes.csv"
TARGETS = "targets.parquet"
UNLABELED = "unlabeled.parquet"
BUDGET = "budget.json"
TRACKING = "tracking.json"
CHECKSUMS = "SHA256SUMS"
COMPUTE = "compute.json"
ENSEMBLE = "ensemble.json"
OOD = "ood.safetensors"
UNKNOWN = "unknown.json"
METRICS = "metrics.json"
FIELD = "field.json"
DISTILL = "distill.json"

NOT_DUPLICATES = "not_duplicates.csv"

TAXONOMY = "taxonomy.csv"

CLASSES = "classes.csv"  # of `scan --out`, like the next ones
SAME_SCENES = "same_scenes.csv"
SCAN_PAGE = "scan.html"

LABELS = "labels"
CLASS_QUALITY = "class_quality.csv"
CLASS_OVERLAP = "class_overlap.csv"
LABELS_PAGE = "labels.html"

REPORTS = {
    "html": "report.html",
    "md": "report.md",
    "pdf": "report.pdf",
    "card": "README.md",
}
INDEX_PAGE = "index.html"  # of a folder of runs
FIGURES = "figures"
SUMMARY_IMAGE = "summary.png"  # in figures/: the finding, four numbers and two charts

HELD_OUT_SCORES = "scores.json"  # of `evaluate --out`, like the next ones and CLASSES
EVALUATED_IMAGES = "images.csv"
CONFUSION = "confusion.csv"
EVALUATION_PAGE = "evaluation.html"
REVIEW_PAGE = "review.html"  # of `predict --review`

TRIALS = "trials"

ABLATION_TABLE = "ablation.csv"
ABLATION_TEXT = "ablation.md"

STARTING_FILES = (
    MANIFEST,
    FOLDS,
    QUARANTINE,
    WARNINGS,
    NEAR_DUPLICATES,
    NOT_DUPLICATES,
    TAXONOMY,
    FIXES,
    TARGETS,
    UNLABELED,
    BUDGET,
    TRACKING,
)
"""The files that a run starts with, besides its recipe."""
TRAIN_ONLY = -1
"""Fold of the images that every member of a student trains on."""
RUN_FORMAT = 2
"""Version of the run directory. It is raised when a reader of an earlier one could misread it."""
JOINED_FORMAT = 3
"""Version of the ensemble.json of a joined run, which earlier readers would take for its first."""
MAX_RUNS = 8  # that one run may join


@dataclass(frozen=True, slots=True)
class FoldFiles:
    """The files in one fold's folder.

    Attributes:
        folder: the fold's folder, such as RUN/fold-0.
    """

    folder: Path

    @property
    def weights(self) -> Path:
        """The member: the best epoch's weights, or the last epoch's if the recipe says so."""
        return self.folder / "weights.safetensors"

    @property
    def student(self) -> Path:
        """A student's own weights, where the mean of its teachers' scored higher."""
        return self.folder / "student.safetensors"

    @property
    def initial(self) -> Path:
        """The weights before training, where WiSE-FT averages them with the trained ones."""
        return self.folder / "initial.safetensors"

    @property
    def start(self) -> Path:
        """Answers before training to the held-out part, where the head is a discriminant."""
        return self.folder / "start.parquet"

    @property
    def state(self) -> Path:
        """The checkpoint: everything that resuming needs."""
        return self.folder / "last" / "state.safetensors"

    @property
    def previous_state(self) -> Path:
        """The checkpoint before `state`, for when that one is damaged."""
        return self.folder / "last" / "previous.safetensors"

    @property
    def history(self) -> Path:
        """Losses and scores, one row an epoch."""
        return self.folder / "history.csv"

    @property
    def costs(self) -> Path:
        """Seconds, device, peak memory and energy, one row for each training session."""
        return self.folder / "costs.csv"

    @property
    def head(self) -> Path:
        """The head that was chosen on frozen features, where the recipe leaves the choice."""
        return self.folder / "head.json"

    @property
    def oof(self) -> Path:
        """Logits of the held-out part. It exists once the fold has ended."""
        return self.folder / "oof.parquet"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.folder / "tensorboard"

    def epoch(self, number: int) -> Path:
        """The weights after `number` epochs, where the recipe saves them."""
        return self.folder / f"epoch-{number:03d}.safetensors"

    @property
    def ended(self) -> bool:
        """Whether the fold is trained and its held-out part predicted."""
        return self.oof.exists() and self.weights.exists()

    def lock(self, timeout: float = 0.0) -> FileLock:
        """Lock the fold while this process trains it. A crash releases the lock.

        Args:
            timeout: seconds to wait for another process that may be about to end.

        Raises:
            RunError: another process trains the fold.
        """
        return lock_folder(
            self.folder,
            "is training it; wait for it or choose other folds",
            timeout,
        )


_FOLD_FILES = FoldFiles(Path())
SHARED_OF_FOLD = tuple(
    file.name
    for file in (
        _FOLD_FILES.weights,
        _FOLD_FILES.oof,
        _FOLD_FILES.history,
        _FOLD_FILES.costs,
        _FOLD_FILES.head,
    )
)
SHARED_OF_RUN = (
    RECIPE,
    CHECKSUMS,
    ENSEMBLE,
    OOD,
    UNKNOWN,
    METRICS,
    FIELD,
    DISTILL,
    *(name for name in STARTING_FILES if name != UNLABELED),  # whose features only training reads
)
_PLACE_IN_RUN = re.compile(r"(?:blend-\d{1,2}/)?(fold-\d{1,2}/)?([^/]+)")


def is_shared(path: str) -> bool:
    """Tell whether others need a file to use and judge the run. None of these shows an image.

    Args:
        path: of the file, relative to the run, with slashes.

    Example:
        >>> is_shared("fold-0/weights.safetensors"), is_shared("manifest.parquet")
        (True, True)
        >>> is_shared("report.html"), is_shared("fold-0/last/state.safetensors")
        (False, False)
    """
    match = _PLACE_IN_RUN.fullmatch(path)
    if match is None:
        return False
    return match[2] in (SHARED_OF_FOLD if match[1] else SHARED_OF_RUN)


def fold_folder(number: int) -> str:
    """Return the name of a fold's folder in the run."""
    return f"fold-{number}"


def blend_folder(number: int) -> str:
    """Return the name of the folder of a joined run that has the members of a further run.

    Args:
        number: of the further run, from 1.
    """
    return f"blend-{number}"


def is_at_top(path: str) -> bool:
    """Tell whether a file, by its path relative to the run, lies in no subfolder."""
    return "/" not in path


def needed_for_prediction(path: str) -> bool:
    """Tell whether prediction needs a file; checkpoints, epoch weights and logs it does not.

    Args:
        path: of the file, relative to the run, with slashes.

    Example:
        >>> needed_for_prediction("fold-0/weights.safetensors")
        True
        >>> needed_for_prediction("fold-0/last/state.safetensors")
        False
    """
    *folders, name = path.split("/")
    if {"last", "tensorboard", TRIALS} & set(folders):
        return False
    return not name.startswith(("epoch-", "initial.", "start."))


def lock_folder(folder: Path, activity: str, timeout: float = 0.0) -> FileLock:
    """Lock a folder until this process releases it or ends.

    Args:
        folder: created if needed.
        activity: what the other process does, for the error.
        timeout: seconds to wait for the lock.

    Raises:
        RunError: another process has the lock, or the folder cannot be locked.
    """
    file = folder / ".lock"
    lock = FileLock(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            raise RunError(f"{file}: is a link, which is never followed; remove it")
        with warnings.catch_warnings(record=True) as fallbacks:
            warnings.simplefilter("always")
            lock.acquire(timeout=timeout)
    except Timeout:
        raise RunError(f"{folder}: another process {activity}") from None
    except (OSError, NotImplementedError) as error:  # the latter: a network disk without locks
        reason = getattr(error, "strerror", None) or one_line(error)
        raise RunError(
            f"{folder}: cannot be locked ({reason}); choose a folder that can be written"
        ) from None
    if fallbacks:
        Display().notice(
            f"{folder}: its file system has no locks, so {file.name} only marks that it is in use; "
            f"after a crash, remove that file"
        )
    return lock
