"""fastai's Learner on its ImageDataLoaders; a callback waits at the start of each epoch.

documented: as its vision tutorial trains (images resized to 460, then augmented in batches to the
size of the view, Adam, as many workers as cores). fastest: only its RandomResizedCrop and flip on
each image, and ``ChannelsLast``. Its mixed precision is for CUDA and has no effect on a CPU.
"""

import time
from pathlib import Path

import fastai
import timm
import torch
import torchvision
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.core import Callback, CancelValidException
from fastai.vision.all import (
    FlipItem,
    ImageDataLoaders,
    Learner,
    Normalize,
    RandomResizedCrop,
    Resize,
    aug_transforms,
    imagenet_stats,
)

from contenders.device import best_device
from harness.paired import Worker


class TakesTurns(Callback):
    """Waits before an epoch's first batch is loaded, answers after its last step; no validation."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.is_warm = False

    def before_train(self) -> None:
        if self.is_warm:
            self.worker.wait()
        self.started = time.perf_counter()

    def after_train(self) -> None:
        if self.is_warm:
            self.worker.answer(self.dls.train.n / (time.perf_counter() - self.started))
        else:
            self.worker.ready(fastai=fastai.__version__)
        self.is_warm = True

    def before_validate(self) -> None:
        raise CancelValidException


def main() -> None:
    worker = Worker()
    job = worker.job
    fast = worker.job["variant"] == "fastest"
    torch.manual_seed(0)
    normalize = Normalize.from_stats(*imagenet_stats)
    if fast:
        views = {
            "item_tfms": [RandomResizedCrop(job["size"]), FlipItem()],
            "batch_tfms": [normalize],
        }
    else:
        views = {
            "item_tfms": Resize(460),
            "batch_tfms": [*aug_transforms(size=job["size"]), normalize],
        }
    loaders = ImageDataLoaders.from_folder(
        Path(job["data"]),
        train="train",
        valid="val",
        bs=job["batch"],
        device=best_device(),
        **views,
    )
    if job["timm"]:
        network = timm.create_model(job["timm"], num_classes=job["classes"])
    else:
        network = torchvision.models.get_model(job["network"], num_classes=job["classes"])
    learner = Learner(
        loaders, network, cbs=[TakesTurns(worker), *([ChannelsLast()] if fast else [])]
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(10_000, 1e-4)


if __name__ == "__main__":
    main()
