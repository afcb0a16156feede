"""An ensemble and a folder -> a table of predictions, one row a picture, read or not."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from bestiary.atomic import atomic_path
from bestiary.data.listing import Listing, list_pictures
from bestiary.display import Display
from bestiary.ensemble.averaging import Average, agreement
from bestiary.ensemble.calibration import COVERAGES, RISKS, Sets, set_names
from bestiary.ensemble.ensemble import Ensemble, Scored
from bestiary.errors import ArgumentError
from bestiary.run import write_table

Format = Literal["full", "submission"]
TOP = 5
FULL = {
    "path": pl.String,
    "label": pl.String,
    "confidence": pl.Float64,
    **{
        f"{name}_{n}": kind
        for n in range(2, TOP + 1)
        for name, kind in (("label", pl.String), ("confidence", pl.Float64))
    },
    "agreement": pl.Float64,
    "set": pl.String,
    "sure": pl.Boolean,
    "unknown": pl.Boolean,
    "error": pl.String,
}


@dataclass(frozen=True, slots=True)
class Caution:
    """How careful answers are to be.

    Attributes:
        coverage: share of the pictures whose set holds the true class, one of `COVERAGES`.
        sets: all: over all pictures; class: within each class.
        risk: share of errors among sure answers, at most; one of `RISKS`.
    """

    coverage: float = 0.9
    sets: Sets = "all"
    risk: float = 0.05

    def __post_init__(self) -> None:
        for name, known in (("coverage", COVERAGES), ("risk", RISKS)):
            if getattr(self, name) not in known:
                raise ArgumentError(f"--{name} {getattr(self, name)}: choose {', '.join(map(str, known))}")


@dataclass(frozen=True, slots=True)
class Predictions:
    """What `predict` has written.

    Attributes:
        files: the files, table first.
        table: one row a picture: path, label, confidence, the next four with theirs, agreement, set, sure, unknown,
            error.
    """

    files: list[Path]
    table: pl.DataFrame

    @property
    def unread(self) -> pl.DataFrame:
        """The rows of pictures that could not be read."""
        return self.table.filter(pl.col("error").is_not_null())

    @property
    def exit_code(self) -> int:
        """1 when some pictures could not be read."""
        return int(not self.unread.is_empty())

    def __str__(self) -> str:
        read = self.table.height - self.unread.height
        lines = [f"{read:,} pictures predicted: {', '.join(map(str, self.files))}"]
        if self.exit_code:
            path, reason = self.unread.select("path", "error").row(0)
            lines.append(f"{self.unread.height:,} could not be read and have no label; first {path}: {reason}")
        return "\n".join(lines)


def predict_folder(
    ensemble: Ensemble,
    pictures: Path,
    out: Path,
    rule: Average | None,
    layout: Format,
    display: Display,
    caution: Caution | None = None,
) -> Predictions:
    """Predict every picture at `pictures` and write the table.

    Raises:
        ArgumentError: `out` is not named as a table, or a submission's names would clash.
        DataError: no picture is there.
    """
    if out.suffix.lower() not in (".csv", ".parquet") or (layout == "submission" and out.suffix.lower() != ".csv"):
        kinds = ".csv" if layout == "submission" else ".csv or .parquet"
        raise ArgumentError(f"--out {out}: must be the name of a {kinds} file")
    listing = list_pictures(pictures)
    if layout == "submission":
        _check_names(listing)
    table = predict_listing(ensemble, listing, rule or ensemble.average, display, caution or Caution())
    if layout == "full":
        write_table(out, table)
        return Predictions([out], table)
    stem = pl.col("path").str.split("/").list.last().str.replace(r"\.[^.]*$", "")
    write_table(out, table.select(stem.alias("image_name"), pl.col("label").alias("pred_label")))
    archive = out.with_name("solution.zip")
    with atomic_path(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as solution:
        solution.write(out, "prediction.csv")
    return Predictions([out, archive], table)


def predict_listing(
    ensemble: Ensemble, listing: Listing, rule: Average, display: Display, caution: Caution
) -> pl.DataFrame:
    """The full table for the pictures of `listing`, sorted by path."""
    paths = listing.table["path"].to_list()
    rows: list[dict[str, Any]] = [{"path": path, "error": reason} for path, reason in listing.unusable]
    with display.counter("Predicting") as tick:
        for scored in ensemble.score([listing.root / path for path in paths], tick):
            answers = _answers(ensemble, scored, rule, caution)
            for row, answer in zip(scored.rows, answers, strict=True):
                reason = scored.reasons.get(int(row))
                rows.append({"path": paths[row], **(answer if reason is None else {"error": reason})})
    return pl.DataFrame(rows, schema=FULL).sort("path")


def _answers(ensemble: Ensemble, scored: Scored, rule: Average, caution: Caution) -> list[dict[str, Any]]:
    """The columns of each picture of a batch, but for its path and error."""
    probabilities, known = ensemble.probabilities(scored.logits, rule), ensemble.calibration
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    agreeing = agreement(scored.logits, best[:, 0])
    answers: list[dict[str, Any]] = []
    for place, ranked in enumerate(best):
        answer: dict[str, Any] = {"agreement": float(agreeing[place])}
        for rank, label in enumerate(ranked, 1):
            suffix = "" if rank == 1 else f"_{rank}"
            answer[f"label{suffix}"] = str(ensemble.classes_[label])
            answer[f"confidence{suffix}"] = float(probabilities[place, label])
        answers.append(answer)
    if known and ensemble.known:
        held = known.set_of(probabilities, caution.coverage, caution.sets)
        names = set_names(held, probabilities, ensemble.classes_.tolist())
        unknown = ensemble.known.is_unknown(scored.logits)
        for place, answer in enumerate(answers):
            sure = answer["confidence"] >= known.sure[caution.risk] and not unknown[place]
            answer |= {"set": "|".join(names[place]), "sure": bool(sure), "unknown": bool(unknown[place])}
    return answers


def _check_names(listing: Listing) -> None:
    names: dict[str, str] = {}
    for path in listing.table["path"]:
        name = Path(path).stem
        if name in names:
            raise ArgumentError(
                f"--format submission: {names[name]} and {path} would both be {name!r}; "
                "rename one, or use --format full"
            )
        names[name] = path
