"""fastai's `vision_learner` and `fine_tune`, as its vision tutorial trains.

`ImageDataLoaders` with a random fifth to validate by, images resized to 460, then augmented in
batches to 224 (`aug_transforms`), one epoch of the head, then the whole network with its one-cycle
schedule, rate 2e-3 as `fine_tune` has it; the epochs fill the minutes. timm's EfficientNet-Lite0.
"""

import time

import numpy as np
import torch
from fastai.callback.schedule import Learner  # noqa: F401 - adds fine_tune
from fastai.callback.training import ShortEpochCallback
from fastai.vision.all import (
    ImageDataLoaders,
    Resize,
    accuracy,
    aug_transforms,
    set_seed,
    vision_learner,
)
from job import SIZE, Job, seconds_of

TIMED_SHARE = 0.2
WARM_SHARE = 0.02


def main() -> None:
    job = Job.read()
    set_seed(job.seed)
    files, labels = job.files(job.train)
    loaders = ImageDataLoaders.from_lists(
        job.train,
        files,
        [job.classes[label] for label in labels],
        valid_pct=0.2,
        seed=job.seed,
        item_tfms=Resize(460),
        batch_tfms=aug_transforms(size=SIZE),
        bs=64,
        num_workers=0,
        device=torch.device("cpu"),
    )

    def learner():
        return vision_learner(
            loaders,
            "tf_efficientnet_lite0",
            metrics=accuracy,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(job.weights)},
        )

    trial = learner()
    trial.unfreeze()
    with trial.no_bar(), trial.no_logging():
        trial.fit(1, 1e-5, cbs=ShortEpochCallback(WARM_SHARE))
        short = seconds_of(lambda: trial.fit(1, 1e-5, cbs=ShortEpochCallback(TIMED_SHARE)))
    # A short epoch has that share of the steps and of the validation.
    epoch_seconds = short / TIMED_SHARE
    set_seed(job.seed)
    learn = learner()
    # One epoch more is that of the frozen network, about as slow here.
    epochs = job.epochs_that_fit(epoch_seconds, least=2) - 1
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(epochs)
    trained = time.time()
    claim = float(learn.recorder.values[-1][-1])
    test, _ = job.files(job.test)
    with learn.no_bar(), learn.no_logging():
        answers, _ = learn.get_preds(dl=loaders.test_dl(test))
    order = [list(loaders.vocab).index(name) for name in job.classes]
    job.answer(np.asarray(answers)[:, order], trained, claim=claim, epochs=epochs + 1)


if __name__ == "__main__":
    main()
