"""A run -> Trackio: a group with a run for each fold and one for all folds together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import trackio

from bestiary.training.tracking.tracker import Tracked


class Trackio:
    """A run of Trackio, new or continued.

    Args:
        tracked: what it is of.
    """

    def __init__(self, tracked: Tracked) -> None:
        self._id = tracked.id
        # Trackio finds a run that it is to go on with by its name.
        self._run = trackio.init(
            project=tracked.project,
            name=f"{tracked.name}-{tracked.id[:6]}",
            group=tracked.group,
            config=dict(tracked.parameters),
            resume="allow",
            embed=False,
        )

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log numbers."""
        self._run.log(dict(metrics), step=step)

    def log_files(self, files: Sequence[Path]) -> None:
        """Log an artefact that has the files."""
        artifact = trackio.Artifact(f"results-{self._id}", type="results")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def finish(self, ended: bool) -> None:
        """Send what is left, and end the run."""
        self._run.finish()
