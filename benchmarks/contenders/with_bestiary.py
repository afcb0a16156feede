"""bestiary's training by its public verb: recipe `paper` with another network, or `best`.

Only its display is replaced, to wait at the end of an epoch. The speed is that of the run's
history: training images a second, including loading. Scoring and checkpoints are not in it, as the
others do neither. The first epoch, which fills the store, is the warm-up.
"""

import json
import os
from pathlib import Path

import bestiary
from bestiary.data import loader
from bestiary.display import TrainingDisplay
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    end_epoch = TrainingDisplay.end_epoch

    def end_epoch_and_wait(display, epoch, loss, accuracy, best, speed):
        end_epoch(display, epoch, loss, accuracy, best, speed)
        if epoch == 1:
            (chosen,) = json.loads((scratch / "run" / "compute.json").read_text()).values()
            worker.ready(
                **{
                    key: chosen[key]
                    for key in (
                        "precision",
                        "channels_last",
                        "compiled",
                        "threads",
                        "folded_norms",
                        "fast_depthwise",
                    )
                }
            )
        else:
            worker.answer(speed)
        worker.wait()

    TrainingDisplay.end_epoch = end_epoch_and_wait
    if job.get("threads"):  # as where no process can be forked
        loader.can_fork = lambda: False
    data = Path(job["data"])
    scratch = Path(job["scratch"])
    os.environ["BESTIARY_CACHE"] = job.get("cache") or str(scratch / "cache")
    val_rows = [f"{file.relative_to(data)},0" for file in sorted(data.glob("val/*/*"))]
    train_rows = [f"{file.relative_to(data)},1" for file in sorted(data.glob("train/*/*"))]
    (scratch / "folds.csv").write_text("\n".join(["path,fold", *val_rows, *train_rows]) + "\n")
    values = {
        "view.size": job["size"],
        "train.batch_size": job["batch"],
        "train.keep_best": "false",
        "train.save_every": 0,
    }
    if job["recipe"] == "paper":
        values |= {"model.backbone": f"torchvision/{job['network']}", "model.weights": "none"}
    else:
        values |= {"model.backbone": job["network"], "train.epochs": 1000}
    overrides = [*(f"{key}={value}" for key, value in values.items()), *job["set"]]
    bestiary.train(
        data,
        scratch / "run",
        recipe=job["recipe"],
        overrides=overrides,
        folds=scratch / "folds.csv",
        only_fold=[0],
        quiet=True,
    )


if __name__ == "__main__":
    main()
