"""budget.json of a run -> the section of a report that says what was tried and chosen.

Knows no format.
"""

from bestiary.display import format_duration
from bestiary.evaluation.results import Results
from bestiary.numbers import percent
from bestiary.printable import printable_name
from bestiary.reporting.sections import Table, TableRows
from bestiary.run.budget_file import BudgetRecord, read_budget


def budget_record(results: Results) -> BudgetRecord | None:
    """Read what was tried within the budget; None if the run had none.

    Args:
        results: the results of a run.

    Raises:
        DamagedError: budget.json is damaged.
    """
    return read_budget(results.run)


def budget_text(record: BudgetRecord) -> str:
    """Say what was chosen, on which images, and what was not tried.

    Args:
        record: of the run.

    Returns:
        Some sentences.
    """
    sentences = [
        f"Of a budget of {format_duration(record.seconds)}, {format_duration(record.spent)} went "
        f"into trials. Chosen: {printable_name(record.chosen)}."
    ]
    if record.folds:
        folds = ", ".join(map(str, record.folds))
        sentences.append(
            f"The choice was made on the held-out images of fold {folds}. They are in no score, so "
            "the choice does not flatter it."
        )
    sentences += [f"{printable_name(note)}." for note in record.notes]
    return " ".join(sentences)


def budget_table(record: BudgetRecord) -> Table:
    """List the trials: accuracy, log loss and time.

    Args:
        record: of the run.

    Returns:
        One row a trial.
    """
    rows: TableRows = [
        (
            printable_name(trial.name),
            percent(trial.accuracy),
            f"{trial.log_loss:.3f}",
            f"{trial.images:,}",
            format_duration(trial.seconds),
        )
        for trial in record.trials
    ]
    head = ("tried", "accuracy", "log loss, best temperature", "images", "time")
    return Table(head, rows)
