"""bestiary's prediction of a folder by all members of a loaded run, as its verb does it.

A job with `members` keeps that many of them; one with `cascade` stops early at that risk.
"""

import os
import time
from itertools import count, cycle
from pathlib import Path

import bestiary
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.predictions import PredictJob, predict_folder
from bestiary.evaluation.cascading import apply_cascade, learn_cascade
from bestiary.run.run import Run
from harness.paired import Worker


def first_members(ensemble: Ensemble, count: int) -> Ensemble:
    """The first members of an ensemble, with the same views, precision and engine."""
    return Ensemble(
        ensemble.members[:count],
        ensemble.classes_.tolist(),
        ensemble.view,
        average=ensemble.average,
        tta=ensemble.tta,
        precision=ensemble.precision,
        device=ensemble.device,
    )


def main() -> None:
    worker = Worker()
    job = worker.job
    started = time.perf_counter()
    ensemble = bestiary.load(job["run"])
    if "members" in job:
        ensemble = first_members(ensemble, job["members"])
    if "cascade" in job:
        run = Run.open(job["run"])
        apply_cascade(run, ensemble, learn_cascade(run, ensemble, job["cascade"]), "auto")
    loaded = time.perf_counter() - started

    def predict(folder: str) -> int:
        # Another contender, or a repeated turn, may predict the same folder.
        out = Path(job["scratch"]) / f"{Path(folder).name}-{os.getpid()}-{next(numbers)}.csv"
        return predict_folder(
            ensemble, PredictJob((Path(folder),), out, "logits"), Display(quiet=True)
        ).counts.rows

    numbers = count()
    warm, *folders = job["folders"]
    # A disturbed turn is repeated with the next folder, so there may be more turns than folders.
    turns = cycle(folders)
    worker.serve(
        lambda limit: predict(warm if limit else next(turns)),
        load=round(loaded, 2),
        engine=ensemble.engine,
    )


if __name__ == "__main__":
    main()
