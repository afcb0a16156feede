"""bestiary's own training through its public verb, recipe `paper` with another network; only its display is held up.

The speed is what the run's history keeps: pictures of the training part a second, loading included; scoring and
checkpoints, which the others do not do either, are not in it. The first epoch, which fills the store, is the warm-up.
"""

import os
from pathlib import Path

import bestiary
from bestiary.display import TrainingDisplay
from bestiary.train import loop
from paired import Worker


def main() -> None:
    worker = Worker()
    job, facts = worker.job, {}
    start_session, end_epoch = loop.start_session, TrainingDisplay.end_epoch

    def noticed(*arguments):  # which arithmetic has been chosen, for those that are to use the same
        session = start_session(*arguments)
        facts.update(precision=session.precision, memory_format=str(session.memory_format).removeprefix("torch."))
        return session

    def held_up(display, epoch, loss, accuracy, best, speed):
        end_epoch(display, epoch, loss, accuracy, best, speed)
        worker.ready(**facts) if epoch == 1 else worker.answer(speed)
        worker.wait()

    loop.start_session = noticed
    TrainingDisplay.end_epoch = held_up
    data, scratch = Path(job["data"]), Path(job["scratch"])
    os.environ["BESTIARY_CACHE"] = str(scratch / "cache")
    held = [f"{file.relative_to(data)},0" for file in sorted(data.glob("val/*/*"))]
    trained = [f"{file.relative_to(data)},1" for file in sorted(data.glob("train/*/*"))]
    (scratch / "folds.csv").write_text("\n".join(["path,fold", *held, *trained]) + "\n")
    values = {
        "model.backbone": f"torchvision/{job['network']}",
        "model.weights": "none",
        "view.size": job["size"],
        "train.batch_size": job["batch"],
        "train.epochs": 10_000,
        "train.keep_best": "false",
        "train.checkpoint_every": 0,
        **job.get("options", {}),
    }
    overrides = [f"{key}={value}" for key, value in values.items()]
    bestiary.train(
        data, scratch / "run", recipe="paper", overrides=overrides, folds=scratch / "folds.csv", fold=[0], quiet=True
    )


if __name__ == "__main__":
    main()
