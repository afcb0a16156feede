"""Ensembles of several runs -> one, whose members are weighted sums of the runs' members.

Each run sees an image at its own size. The views of one image travel as one row of bytes, so that
the rest of the ensemble knows of one view and one network. Does not know how weights are fitted
(`bestiary.stats.blending`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import DecodingNotes, Pixels
from bestiary.data.eval_view import EvalView
from bestiary.ensemble.card import EnsembleCard
from bestiary.ensemble.inputs import ImagePart
from bestiary.errors import DamagedError, ImageError
from bestiary.model.engine import Network
from bestiary.run.layout import blend_folder
from bestiary.run.run import Run

if TYPE_CHECKING:
    from bestiary.ensemble.ensemble import Ensemble

CHANNELS = 3


class PartViews:
    """Row -> the views of an image for all runs, and what was noted while it was decoded.

    Args:
        part: the images.
        views: of each run; for one, its array is the view itself.

    Attributes:
        reasons: row -> why the image cannot be read.
        deep: largest value of each image of more than 8 bits, as a share of white.
    """

    def __init__(self, part: ImagePart, views: Sequence[EvalView]) -> None:
        self.part = part
        self.views = views
        self.reasons: dict[int, str] = {}
        self.deep: list[float] = []

    def __call__(self, row: int) -> Pixels:
        """Make the views of an image; black ones if it cannot be read, to keep a batch in shape."""
        notes = DecodingNotes()
        try:
            made = [view(self.part.pixels(row, view, notes)) for view in self.views]
        except ImageError as error:
            self.reasons[row] = error.reason
            made = [np.zeros((view.size, view.size, CHANNELS), np.uint8) for view in self.views]
        finally:
            if notes.sample_kind:
                self.deep.append(notes.max_value / self.views[0].white.of(notes.sample_kind))
        return made[0] if len(made) == 1 else np.concatenate([view.ravel() for view in made])

    def take(self) -> tuple[dict[int, str], list[float]] | None:
        """Take what was noted, where another process made the views; None if nothing was."""
        noted = self.reasons, self.deep
        self.reasons, self.deep = {}, []
        return noted if any(noted) else None

    def add(self, noted: tuple[dict[int, str], list[float]]) -> None:
        """Add what another process has noted."""
        reasons, deep = noted
        self.reasons |= reasons
        self.deep += deep


class BlendedNetwork:
    """Computes the members of several runs, and sums their logits by weights.

    Args:
        runs: of each run its network, views -> logits (n, members, classes), and the side of its
            views in pixels.
        weights: (members, runs).
    """

    def __init__(self, runs: Sequence[tuple[Network, int]], weights: NDArray[np.floating]) -> None:
        self._runs = runs
        self._weights = np.asarray(weights, np.float32)

    def __call__(self, rows: torch.Tensor) -> NDArray[np.float32]:
        """Compute logits (n, members, classes) of rows of bytes uint8 (n, bytes)."""
        weighted = []
        start = 0
        for (network, side), weights in zip(self._runs, self._weights.T, strict=True):
            stop = start + side * side * CHANNELS
            views = rows[:, start:stop].reshape(-1, side, side, CHANNELS).contiguous()
            weighted.append(network(views) * weights[:, None])
            start = stop
        return np.asarray(np.sum(weighted, axis=0), np.float32)


def load_blended(
    run: Run, card: EnsembleCard, load: "Callable[[Run], Ensemble]"
) -> "list[Ensemble]":
    """Load the further runs of a joined one.

    Args:
        run: the joined run.
        card: of its ensemble.
        load: loads the ensemble of a run.

    Returns:
        An ensemble for each run but the first.

    Raises:
        RunError: a run is missing or damaged, or does not fit the first.
    """
    blended = []
    for number in range(1, card.n_runs):
        place = run.path / blend_folder(number)
        ensemble = load(Run(place, run.address, run.data))
        same = ensemble.classes_.tolist() == card.classes and ensemble.folds == card.folds
        if ensemble.blended or not same:
            raise DamagedError.foreign(place, "it does not fit the run that it is blended into")
        blended.append(ensemble)
    return blended


def backbone_names(ensemble: "Ensemble") -> str:
    """Name the backbones of an ensemble's runs.

    Args:
        ensemble: of one run, or of a joined one.
    """
    return " + ".join(one.members[0].name for one in (ensemble, *ensemble.blended))
