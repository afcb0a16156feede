"""A run and new images -> the images to label next, and what that gains on the run's own labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.drifting import World
from bestiary.evaluation.labeling_gain import SEEDS, WORTH_IT, LabelingGain, simulate_labeling
from bestiary.evaluation.new_images import read_new_images
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.numbers import counted, percent, plain_name
from bestiary.printable import printable_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.run import Run
from bestiary.stats.batch_choice import choose_batch, doubts

SHOWN = 8


@dataclass(frozen=True)
class NextImages:
    """What `next` has chosen.

    Attributes:
        images: path, label (the run's guess), confidence; the most wanted first.
        total: new images that could be read.
        gain: what the choice gained on the run's own labeled images; None: not known.
    """

    images: pl.DataFrame
    total: int
    gain: LabelingGain | None

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        gain = self.gain
        saved = gain and {"saved": gain.saved, "by_seed": gain.by_seed, "label_counts": gain.labels}
        return {"images": self.images, "total": self.total, "gain": saved}

    def __str__(self) -> str:
        lines = [
            *gain_lines(self.gain),
            f"{self.images.height:,} of {counted(self.total, 'new image')}:",
        ]
        shown = self.images.head(SHOWN)
        paths = [printable_name(path) for path in shown["path"]]
        width = max(map(len, paths), default=0)
        guesses = shown.select("label", "confidence").iter_rows()
        for path, (label, confidence) in zip(paths, guesses, strict=True):
            lines.append(f"  {path:<{width}}  {plain_name(label)}? {percent(confidence)}")
        if self.images.height > SHOWN:
            lines.append(f"  and {self.images.height - SHOWN:,} more; --out TABLE.csv has them all")
        lines.append("Next: label them, add them to your images and probe again.")
        return "\n".join(lines)


def gain_lines(gain: LabelingGain | None) -> list[str]:
    """Say what the choice gains, before anything is labeled.

    Args:
        gain: of a simulation; None: it was not possible.
    """
    if gain is None:
        return [
            "What this choice gains is not known: the run's features are not cached here,",
            "or it has too few images. bestiary probe on its images makes them.",
        ]
    low, high = min(gain.by_seed), max(gain.by_seed)
    labels = f"{gain.labels[0]:.0f} to {gain.labels[-1]:.0f} labels, {SEEDS} draws"
    if gain.saved < WORTH_IT:
        return [
            f"On your own labeled images this choice gains nothing worth the trouble ({labels}):",
            "label images at random, which also tells you the accuracy.",
        ]
    return [
        f"On your own labeled images this choice saved {percent(gain.saved, 0)} of the labels",
        f"against a random one ({percent(low, 0)} to {percent(high, 0)}; {labels}).",
    ]


def choose_next(
    run: Run,
    ensemble: Ensemble,
    images: Sequence[Path],
    count: int,
    display: Display,
    options: DataOptions,
) -> NextImages:
    """Choose the new images to label next, by doubt and novelty, spread out.

    Args:
        run: a run whose folds have ended.
        ensemble: of the run.
        images: folder, table or images.
        count: how many to choose.
        display: shows the progress.
        options: how the images are listed.

    Returns:
        The choice. Images that the run was trained on are left out.

    Raises:
        DataError: no new image can be read.
        RunError: the run is not finished, or damaged.
    """
    snapshot = run.load()
    out_of_fold = read_out_of_fold(snapshot)
    gain = simulate_labeling(snapshot.recipe, out_of_fold)
    world = World.of(out_of_fold.without_conflicts())
    new = read_new_images(run, ensemble, images, display, options)
    probabilities = ensemble.probabilities(new.logits)
    vectors = (new.logits / world.scales[:, None, None]).mean(axis=0)
    chosen = choose_batch(vectors, doubts(probabilities), world.logits, count)
    table = pl.DataFrame(
        {
            "path": new.paths[chosen],
            "label": ensemble.classes_[probabilities[chosen].argmax(axis=1)],
            "confidence": probabilities[chosen].max(axis=1),
        }
    )
    return NextImages(table, len(new.paths), gain)
