"""Groups of look-alikes -> the section that shows each with images and its mistakes."""

from typing import Any

from bestiary.evaluation.results import Results
from bestiary.numbers import count, plain_name
from bestiary.stats.look_alikes import LookAlikes

MAX_GROUPS = 11
BESIDE = 3  # groups that stand next to the weakest classes; the rest follows below
MAX_PAIRS = 3  # of a group, said in words
MATRIX_FIRST = 25  # classes: above, the matrix is folded behind the groups


def look_alike_section(results: Results, groups: list[LookAlikes], joining: int) -> dict[str, Any]:
    """Describe the groups.

    Args:
        results: the results of a run.
        groups: of look-alikes, most mistakes first.
        joining: number of mistakes that joins two classes.

    Returns:
        title, note, groups (title, classes, pairs), those below, how many more there are, and
        whether the matrix is folded.
    """
    wrong = int((~results.hits).sum())
    inside = sum(group.mistakes for group in groups)
    if groups:
        title = (
            f"{inside} of {count(wrong, 'mistake')} lie within "
            f"{count(len(groups), 'group')} of look-alikes"
        )
    else:
        title = "No two classes are taken for each other twice"
    note = (
        f"Classes are joined by {count(joining, 'mistake')} or more, in both directions together. "
        f"The image of each is one that it is confidently right on."
    )
    return {
        "title": title,
        "note": note if groups else "",
        "groups": [_group(results, group) for group in groups[:BESIDE]],
        "below": [_group(results, group) for group in groups[BESIDE:MAX_GROUPS]],
        "more": max(0, len(groups) - MAX_GROUPS),
        "folded": len(results.classes) > MATRIX_FIRST,
    }


def _group(results: Results, group: LookAlikes) -> dict[str, Any]:
    counts = results.confusion
    classes = []
    for index in group.classes:
        support = int(counts[index].sum())
        classes.append(
            {
                "index": index,
                "name": plain_name(results.classes[index]),
                "wrong": support - int(counts[index, index]),
                "support": support,
            }
        )
    pairs = [
        (int(counts[one, other]), one, other)
        for one in group.classes
        for other in group.classes
        if one != other and counts[one, other]
    ]
    pairs.sort(key=lambda pair: -pair[0])
    said = [
        f"{plain_name(results.classes[one])} \N{RIGHTWARDS ARROW} "
        f"{plain_name(results.classes[other])} {number}"
        for number, one, other in pairs[:MAX_PAIRS]
    ]
    return {
        "title": f"{count(group.mistakes, 'mistake')} among {len(classes)} classes",
        "classes": classes,
        "pairs": said,
        "members": group.classes,
    }
