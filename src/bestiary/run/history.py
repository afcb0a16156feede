"""Read history.csv: the losses and scores of a fold, one row an epoch, as far as they fit the run.

No checksum covers the file, and the folder may come from a stranger: the history of another run
must not be shown as this one's where its epochs give it away.
"""

import polars as pl

from bestiary.errors import DamagedError
from bestiary.numbers import counted
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import read_table

HISTORY_COLUMNS = {
    "epoch": pl.Int64,
    "train_loss": pl.Float64,
    "val_accuracy": pl.Float64,
    "images_per_second": pl.Float64,
    "seconds": pl.Float64,
}
"""The columns of history.csv that reports show."""


def read_history(files: FoldFiles, epochs: int) -> pl.DataFrame:
    """Read the history of a fold, ended or not.

    Args:
        files: of the fold.
        epochs: that the run's recipe trains.

    Returns:
        `HISTORY_COLUMNS`, one row an epoch; none where only a head was fitted, or no epoch has
        ended.

    Raises:
        DamagedError: the file is damaged, or its epochs are not those of the fold.
    """
    has_ended = files.ended  # before the file is read: a process may be training the fold
    if not files.history.exists():
        return pl.DataFrame(schema=HISTORY_COLUMNS)
    history = read_table(files.history, HISTORY_COLUMNS).select(HISTORY_COLUMNS.keys())
    remedy = "it is another run's or cut short: copy the run again, or remove the file"
    if history["epoch"].to_list() != list(range(1, history.height + 1)):
        raise DamagedError.foreign(files.history, "its epochs are not 1, 2 and so on", remedy)
    if history.height > epochs or (has_ended and history.height < epochs):
        reason = f"it has {counted(history.height, 'epoch')}, and the recipe trains {epochs}"
        raise DamagedError.foreign(files.history, reason, remedy)
    return history
