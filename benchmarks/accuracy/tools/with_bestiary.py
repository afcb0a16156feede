"""bestiary: `bestiary train DATA RUN` with a recipe or a budget; its claim is out of fold.

The budget is that of the job. A recipe that takes longer than its minutes says so by its minutes.
"""

import sys
import time

import numpy as np
from job import Job

import bestiary

WAYS = ("budget", "best", "probe")


def main() -> None:
    job = Job.read()
    way = sys.argv[2]
    options = ["train.threads=1", f"train.seed={job.seed}", f"folds.seed={job.seed}"]
    arguments = {"recipe": way}
    if way == "budget":
        arguments = {"budget": f"{job.seconds_left:.0f}s"}
    run = bestiary.train(job.train, job.scratch / "run", overrides=options, quiet=True, **arguments)
    trained = time.time()
    score = run.read_json("metrics.json")["oof"]["accuracy"]
    ensemble = bestiary.load(run)
    files, labels = job.files(job.test)
    order = [list(ensemble.classes_).index(name) for name in job.classes]
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(files)], axis=1)
    members = (logits[:, :, order].argmax(axis=2) == labels).mean(axis=1)
    job.answer(
        ensemble.predict_proba(files)[:, order],
        trained,
        claim=score["value"],
        claim_interval=[score["low"], score["high"]],
        members=members.tolist(),
        epochs=run.read_recipe().train.epochs,
    )


if __name__ == "__main__":
    main()
