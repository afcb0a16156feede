"""Numbers of a fold -> TensorBoard's event files, in the fold's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from bestiary.training.tracking.tracker import Parameters


class TensorBoard:
    """A writer of event files.

    Args:
        folder: for the files.
        parameters: shown as a table, under Text.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, parameters: Parameters) -> None:
        self._writer = SummaryWriter(str(folder))
        rows = [f"| {name} | {value} |" for name, value in parameters.items()]
        self._writer.add_text("parameters", "\n".join(["| option | value |", "|---|---|", *rows]))

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Write scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def log_files(self, files: Sequence[Path]) -> None:
        """Do nothing: the files are next to the events."""

    def finish(self, ended: bool) -> None:
        """Close the file."""
        self._writer.close()
