"""The result of an export -> the lines that say what was written, and how far it can be trusted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bestiary.exporting.formats import Card
from bestiary.exporting.prune import PruneChoice
from bestiary.numbers import counted
from bestiary.printable import printable_name
from bestiary.recipe.choices import LowPrecision


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of `bestiary.export`; prints as a few lines.

    Attributes:
        files: the file to open, and OpenVINO's file of weights next to it; of a folder, all files.
        card: classes, input, outputs, thresholds, versions and agreement, as in the file.
        choice: the members that stay, where some were pruned.
        folder: the folder, for the formats that are one.
    """

    files: list[Path]
    card: Card
    choice: PruneChoice | None = None
    folder: Path | None = None

    def __str__(self) -> str:
        card = self.card
        made = [self.folder] if self.folder else self.files
        names = ", ".join(map(printable_name, made))
        megabytes = sum(file.stat().st_size for file in self.files) / 1e6
        n_members = len(card["members"])
        members = counted(n_members, "member")
        lines = [
            f"{names}: {members}, {counted(len(card['classes']), 'class', 'classes')}, "
            f"{card['input']['size']} px, {card['precision']}, {megabytes:.1f} MB"
        ]
        if self.choice:
            lines.append(self.choice.line)
        for precision, agreement in card["agreement"].items():
            lines.append(
                f"{precision} against the network on {agreement['images']} {card['compared_on']}: "
                f"labels equal {agreement['labels_equal']}, probabilities within "
                f"{agreement['probability_difference']:.2g}"
            )
        for precision in get_args(LowPrecision):
            if precision in card:
                lines += _drop_lines(precision, card[precision])
        if "note" in card:
            lines.append(f"{card['note']}.")
        return "\n".join(lines)


def _drop_lines(precision: str, drop: dict[str, Any]) -> list[str]:
    difference = drop["difference"]
    ensemble = drop["ensemble"]
    return [
        f"{precision} changes accuracy by {100 * difference['value']:+.2f} points (95 % interval "
        f"{100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}) on "
        f"{counted(drop['images'], 'image')}, each judged by the member that held it out",
        f"{precision} ensemble against float32 on the same, which it was trained on: "
        f"labels equal {ensemble['labels_equal']} of {ensemble['images']}",
    ]
