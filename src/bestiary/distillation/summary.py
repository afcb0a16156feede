"""The findings of a distillation, as in distill.json -> the lines that summarize them.

Knows nothing of networks or images.
"""

from typing import Any

from bestiary.errors import DamagedError
from bestiary.numbers import counted, percent, percent_range, points, points_range
from bestiary.run.layout import METRICS
from bestiary.run.run import Run


def summary_lines(
    findings: dict[str, Any], teacher: Run, student: Run, n_members: int
) -> list[str]:
    """Say which candidate was kept, and how its accuracy compares with the teacher's.

    Args:
        findings: content of distill.json.
        teacher: the finished run.
        student: run of the student.
        n_members: number of the teacher's members.

    Returns:
        One sentence per line.
    """
    lines = [_kept_line(findings), _accuracy_line(findings, n_members)]
    if not findings["new_images"]:
        lines.append(_ensemble_line(teacher))
    if not student.read_recipe().train.epochs:
        lines.append(
            "The recipe trains no epoch: the student's head was fitted to labels, not to the "
            "members"
        )
    return lines


def _kept_line(findings: dict[str, Any]) -> str:
    candidates = findings["candidates"]
    if len(candidates) > 1:
        is_average = findings["kept"] == "average"
        kept = "the mean of the members' weights" if is_average else "the student"
        scores = ", ".join(
            f"{name} {percent(score['value'])}" for name, score in candidates.items()
        )
        return (
            f"Kept: {kept} ({scores}; below, each half of the images is judged by what the other "
            f"half prefers)"
        )
    if findings["new_images"]:
        return (
            "Kept: the student; it is another kind of network, so the members' mean was not tried"
        )
    return (
        "Kept: the student; the members' mean can be judged by images that are new to the run "
        "alone (--test-data)"
    )


def _accuracy_line(findings: dict[str, Any], n_members: int) -> str:
    before = findings["before"]
    after = findings["after"]
    difference = findings["difference"]
    if findings["new_images"]:
        origin = "new to all"
        teacher = f"the ensemble of {n_members}"
    else:
        origin = "of the run"
        teacher = "the members that held them out too"
    return (
        f"On {counted(after['n'], 'image')} {origin}: {teacher} {percent(before['value'])}, this "
        f"{percent(after['value'])}: difference {points(difference['value'], 2)} points, 95 % "
        f"interval {points_range(difference['low'], difference['high'], 2)} (paired, "
        f"{difference['wins']} won, {difference['losses']} lost)"
    )


def _ensemble_line(teacher: Run) -> str:
    estimate = (teacher.read_scores() or {}).get("ensemble")
    if estimate is None:
        raise DamagedError.foreign(
            teacher.file(METRICS), "no estimate of the ensemble", "write it again with --resume"
        )
    interval = percent_range(estimate["low"], estimate["high"])
    return (
        f"The ensemble itself is estimated at {percent(estimate['value'])} ({interval}); its "
        f"members, save one each, were trained on these images, and a student may inherit a little "
        f"of that"
    )
