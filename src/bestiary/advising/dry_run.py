"""A run that is only planned -> what would be trained, and how long it would take on this machine.

The run is begun in a temporary folder, so that what is said is what would happen.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.advising.advice import Candidate
from bestiary.advising.speeds import measure_reading, measure_speed
from bestiary.cores import Load, machine_load
from bestiary.data.eval_view import EvalView
from bestiary.model.device import best_device
from bestiary.numbers import count, duration
from bestiary.printable import printable_name
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run


@dataclass(frozen=True, slots=True)
class Plan:
    """What `train --dry-run` says.

    Attributes:
        place: folder of the run that is not there yet.
        recipe: with every value.
        images: to train on.
        classes: number of classes.
        seconds: that training would take, by the speed of one step and of reading.
        load: how busy the machine was just before.
    """

    place: str
    recipe: Recipe
    images: int
    classes: int
    seconds: float
    load: Load

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "images": self.images,
            "classes": self.classes,
            "folds": self.recipe.folds.n,
            "seconds": self.seconds,
            "busy_cores": self.load.busy_cores,
            "recipe": self.recipe,
        }

    def __str__(self) -> str:
        recipe = self.recipe
        epochs = recipe.train.epochs
        each = f"{count(epochs, 'epoch')}" if epochs else "the head only, on frozen features"
        lines = [
            f"Would train {printable_name(recipe.model.backbone)} at {recipe.view.size} pixels:",
            f"  {count(self.images, 'image')} of {count(self.classes, 'class', 'classes')}, "
            f"{count(recipe.folds.n, 'fold')}, each {each}, batches of {recipe.train.batch_size}",
            f"  about {duration(self.seconds)} on this machine ({best_device().type}), as measured "
            "just now",
        ]
        if busy := self.load.describe():
            lines.append(f"  {busy}: alone it would be faster")
        lines.append(f"Nothing was written. Without --dry-run it goes to {self.place}.")
        return "\n".join(lines)


def plan_run(begin: Callable[..., Run], run: Run) -> Plan:
    """Plan a run: read its images, assign the folds, and time its network.

    Args:
        begin: begins a run in the folder ``path``.
        run: that would be trained.

    Raises:
        BestiaryError: the run could not be begun.
    """
    load = machine_load()
    with tempfile.TemporaryDirectory(prefix="bestiary-dry-run-") as folder:
        begun = begin(path=Path(folder) / "run")
        snapshot = begun.load()
        recipe, table = snapshot.recipe, snapshot.manifest
        classes = table["label"].n_unique()
        root = Path(begun.read_recorded_root())
        speed = measure_speed(recipe, classes)
        reading = measure_reading(
            [root / path for path in table["path"]], EvalView.of(recipe.view, "bilinear")
        )
    seconds = Candidate(recipe, speed, reading, None).training_seconds(
        table.height, recipe.train.epochs
    )
    return Plan(run.place, recipe, table.height, classes, seconds, load)
