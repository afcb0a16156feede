"""What the contenders that are plain PyTorch loops share: data sets, network, prediction."""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import timm
import torch
from job import Job
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

MEAN = STD = (0.5, 0.5, 0.5)  # of timm's tf_efficientnet_lite0
TIMED_BATCHES = 12
WARM_BATCHES = 3


class Images(Dataset):
    """Some images of a folder, as a transform makes them."""

    def __init__(self, files: Sequence[Any], labels: np.ndarray, transform: Callable) -> None:
        self.files, self.labels, self.transform = list(files), labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[index])


def parts(job: Job, train_view: Callable, eval_view: Callable) -> tuple[Images, Images, Images]:
    """Data sets to train on, to validate by (a random fifth of the former), and to predict."""
    files, labels = job.files(job.train)
    is_val = job.random_fifth()
    train = [file for file, val in zip(files, is_val, strict=True) if not val]
    held = [file for file, val in zip(files, is_val, strict=True) if val]
    test, test_labels = job.files(job.test)
    return (
        Images(train, labels[~is_val], train_view),
        Images(held, labels[is_val], eval_view),
        Images(test, test_labels, eval_view),
    )


def pretrained(job: Job, **options: Any) -> nn.Module:
    """EfficientNet-Lite0 with ImageNet's weights and a new head, by timm's own means."""
    return timm.create_model(
        "tf_efficientnet_lite0",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(job.weights)},
        num_classes=len(job.classes),
        **options,
    )


@torch.inference_mode()
def probabilities(network: nn.Module, images: Images) -> np.ndarray:
    """Predict a data set, (images, classes)."""
    network.eval()
    answers = [network(views).softmax(1) for views, _ in DataLoader(images, 64)]
    return torch.cat(answers).numpy()


def accuracy(network: nn.Module, images: Images) -> float:
    """Accuracy on a data set, in percent as references print it, as a share."""
    return float((probabilities(network, images).argmax(1) == images.labels).mean())


def seconds_of_epoch(loader: DataLoader, step: Callable, val: Images, network: nn.Module) -> float:
    """Time some batches, and from them an epoch with its validation."""
    started = time.perf_counter()
    for count, (views, targets) in enumerate(loader):
        if count == WARM_BATCHES:
            started = time.perf_counter()
        step(views, targets)
        if count == WARM_BATCHES + TIMED_BATCHES - 1:
            break
    batch = (time.perf_counter() - started) / (count + 1 - WARM_BATCHES)
    sample = Images(val.files[:64], val.labels[:64], val.transform)
    started = time.perf_counter()
    probabilities(network, sample)
    return batch * len(loader) + (time.perf_counter() - started) / len(sample) * len(val)


def train_within(
    job: Job,
    loader: DataLoader,
    step: Callable,
    judged: nn.Module,
    val: Images,
    epochs: int,
    epoch_seconds: float,
    end_epoch: Callable[[int], object],
) -> tuple[float, int]:
    """Train while epochs fit; leave the weights of the one that validates best in `judged`.

    Args:
        job: whose minutes count.
        loader: of the training images.
        step: trains on one batch.
        judged: the network that validation judges.
        val: images to validate by.
        epochs: most epochs.
        epoch_seconds: of one epoch with its validation.
        end_epoch: called with the number of epochs done, as schedules are.

    Returns:
        The best accuracy on `val`, and the number of epochs.
    """
    best, kept, done = -1.0, judged.state_dict(), 0
    while done < epochs and (not done or job.seconds_left > epoch_seconds):
        for views, targets in loader:
            step(views, targets)
        done += 1
        end_epoch(done)
        score = accuracy(judged, val)
        if score > best:
            best, kept = score, copy.deepcopy(judged.state_dict())
    judged.load_state_dict(kept)
    return best, done
