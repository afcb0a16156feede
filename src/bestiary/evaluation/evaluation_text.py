"""Scores on held-out images -> the table and the lines that `evaluate` prints.

Computes nothing.
"""

from dataclasses import dataclass
from typing import Any

from bestiary.data.folder_layout import quote_names
from bestiary.evaluation.class_map import map_option
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.numbers import count, counted, percent, percent_range
from bestiary.printable import printable_name
from bestiary.screen_table import ScreenTable

LEFT_OUT = {
    "seen_in_training": "images left out: the run was trained on them",
    "same_pixels": "images left out: the run was trained on the same pixels in another file",
    "near_duplicate": "images left out: near duplicates of images that the run was trained on",
    "unknown_class": "images left out: the run has no such class",
    "unreadable": "images left out: they could not be read",
}
"""Reason -> words, in the order in which they are printed."""
GONE = (
    "images of the run are gone from its data folder: near duplicates of them could not be "
    "recognized"
)
MAX_CLASSES = 5  # classes that a printed line names
MAX_EXAMPLES = 2  # near duplicates that a printed line names


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on held-out images; prints as a table.

    Attributes:
        scores: the accuracies ``ensemble`` (rule -> accuracy with interval), ``members`` and
            ``mean_member``; how many images were left out for which reason; ``recognized``, each
            image that the run was trained on or a near duplicate of one, with the kind and the
            run's image; ``suggestions``, for classes that the run lacks, the class that
            each may be; ``with_seen``, the same accuracies on all images, with ``n`` and
            ``n_seen``, or None if the run has seen none; ``reliability`` of confidence, prediction
            sets and the unknown flag; and ``estimate``, the accuracy that was expected from
            out-of-fold scores. With a cascade, ``cascade`` too, see `score_cascade`.
        results: the scored images, for a page.
    """

    scores: dict[str, Any]
    results: HeldOutResults

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md: the content of scores.json."""
        return self.scores

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(bool(self.scores["unreadable"]))

    def left_out_lines(self) -> list[str]:
        """Say what was left out, and why; a line each."""
        return [line.strip() for line in _left_out_lines(self.scores)]

    def __str__(self) -> str:
        lines = [
            f"{counted(self.scores['n'], 'image')} of "
            f"{counted(self.scores['classes'], 'class', 'classes')}, none seen in training",
            "",
            str(_accuracy_table(self.scores)),
            "",
            *_seen_lines(self.scores),
            *_cascade_lines(self.scores.get("cascade")),
            *_estimate_lines(self.scores["estimate"]),
            *_reliability_lines(self.scores["reliability"]),
            *_left_out_lines(self.scores),
        ]
        return "\n".join(lines)


def _accuracy_table(scores: dict[str, Any]) -> ScreenTable:
    """The accuracies on new images, and a column of those with seen images where there are any."""
    with_seen = scores["with_seen"]
    more = [] if with_seen is None else ["with seen images"]
    table = ScreenTable("predictor", "accuracy", "95 % interval", *more)
    rows_with_seen = {} if with_seen is None else _rows(with_seen)
    for name, row in _rows(scores).items():
        interval = percent_range(row["low"], row["high"]) if "low" in row else ""
        cells = [percent(rows_with_seen[name]["value"])] if rows_with_seen else []
        table.add_row(name, percent(row["value"]), interval, *cells)
    return table


def _rows(scores: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Name of a predictor -> its accuracy; the mean member has no interval."""
    rows = {f"ensemble, {rule}": row for rule, row in scores["ensemble"].items()}
    rows |= {f"member of fold {row['fold']}": row for row in scores["members"]}
    return rows | {"mean member": {"value": scores["mean_member"]}}


def _seen_lines(scores: dict[str, Any]) -> list[str]:
    with_seen = scores["with_seen"]
    if with_seen is None:
        return []
    return [
        f"With seen images: on all {with_seen['n']:,}, of which the run has seen "
        f"{with_seen['n_seen']:,} or near duplicates of them; it flatters.",
    ]


def _cascade_lines(cascade: dict[str, Any] | None) -> list[str]:
    if cascade is None:
        return []
    after = "one view of one member" if cascade["first_view"] else "one member"
    return [
        f"Cascade at risk {cascade['risk']:g}: {percent(cascade['stopped'])} of the images stop "
        f"after {after}, {cascade['wrong']:,} of them wrong:",
        f"  accuracy {percent(cascade['accuracy'])}, of all members "
        f"{percent(cascade['all_members'])}",
    ]


def _estimate_lines(estimate: dict[str, Any] | None) -> list[str]:
    if estimate is None:
        return []
    interval = percent_range(estimate["low"], estimate["high"])
    if estimate["holds"]:
        verdict = "it holds"
    else:
        verdict = "it does not hold: by chance (1 in 20), or these are images of another kind"
    return [
        "Expected accuracy of the ensemble, from out-of-fold scores:",
        f"  {percent(estimate['value'])}, on as many images {interval}; {verdict}",
    ]


def _reliability_lines(reliability: dict[str, Any] | None) -> list[str]:
    if reliability is None:
        return []
    ece = reliability["scores"]["ece"]["value"]
    unknown = percent(reliability["unknown"]["decided"])
    coverages = []
    for requested, measured in reliability["empirical_coverage"].items():
        coverages.append(f"{percent(float(requested), 0)}: {percent(measured)}")
    return [
        f"Calibration error {percent(ece)}; called unknown {unknown}",
        "Coverage of the prediction sets, requested and measured:",
        f"  {', '.join(coverages)}",
    ]


def _left_out_lines(scores: dict[str, Any]) -> list[str]:
    lines = []
    for reason, words in LEFT_OUT.items():
        if scores[reason]:
            examples = _examples(scores, reason)
            lines.append(f"{scores[reason]:,} {words}{examples}")
        if reason == "unknown_class":
            lines += _suggestion_lines(scores["suggestions"])
    absent = scores["classes_without_images"]
    if absent:
        lines.append(
            f"Not scored: {counted(len(absent), 'class has', 'classes have')} no image: "
            f"{quote_names(absent)}"
        )
    if scores["gone"]:
        lines.append(f"{scores['gone']:,} {GONE}")
    return lines


def _suggestion_lines(suggestions: dict[str, dict[str, Any]]) -> list[str]:
    """Say which class of the run a foreign class may be, and how to say so; the surest first."""
    lines = []
    surest = sorted(suggestions.items(), key=lambda item: -item[1]["duplicates"])
    for name, suggestion in surest[:MAX_CLASSES]:
        own = suggestion["name"]
        why = "the names are alike"
        if suggestion["duplicates"]:
            n_images = count(suggestion["duplicates"], "image is", "images are")
            why = f"{n_images} duplicates of that class's"
        lines.append(f"  perhaps {printable_name(own)} ({why}): {map_option(name, own)}")
    more = len(suggestions) - MAX_CLASSES
    return [*lines, f"  and {more:,} more in the scores"] if more > 0 else lines


def _examples(scores: dict[str, Any], reason: str) -> str:
    """Name a few of the images that were recognized, with the run's image."""
    if reason == "unknown_class":
        counts = [f"{count:,} {label!r}" for label, count in scores["unknown_classes"].items()]
        return f" ({', '.join(counts[:MAX_CLASSES])}{' ...' if len(counts) > MAX_CLASSES else ''})"
    if reason == "seen_in_training":
        return ""
    rows = [row for row in scores["recognized"] if row["kind"] == reason]
    if not rows:
        return ""
    names = [printable_name(f"{row['path']} of {row['original']}") for row in rows[:MAX_EXAMPLES]]
    more = " ..." if len(rows) > MAX_EXAMPLES else ""
    return f" ({', '.join(names)}{more})"
