"""torchvision's classification references, as PyTorch's transfer-learning tutorial uses them.

The views of the references' presets (random resized crop of 224 and mirror images; short side 256,
center crop of 224), and the tutorial's training of the whole network: SGD, rate 0.001, momentum
0.9, batches of 4 there and 32 here, a tenth of the rate after 7 of 25 epochs, here after the same
share; the epoch that validates best is kept. torchvision has no EfficientNet-Lite0, and its own
weights come from a server, so the network is timm's.
"""

import time

import torch
from job import SIZE, Job
from torch import nn
from torch.utils.data import DataLoader
from torch_parts import (
    MEAN,
    STD,
    parts,
    pretrained,
    probabilities,
    seconds_of_epoch,
    train_within,
)
from torchvision import transforms

RATE = 0.001
SHARE_BEFORE_DROP = 7 / 25


def main() -> None:
    job = Job.read()
    torch.manual_seed(job.seed)
    normalize = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    train_view = transforms.Compose(
        [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), *normalize]
    )
    eval_view = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(SIZE), *normalize]
    )
    train, val, test = parts(job, train_view, eval_view)
    loader = DataLoader(train, 32, shuffle=True, num_workers=1, persistent_workers=True)

    def begin() -> tuple:
        network = pretrained(job)
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9)

        def step(views: torch.Tensor, targets: torch.Tensor) -> None:
            network.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(views), targets).backward()
            optimizer.step()

        return network, optimizer, step

    network, _, step = begin()
    epoch_seconds = seconds_of_epoch(loader, step, val, network)
    network, optimizer, step = begin()
    epochs = job.epochs_that_fit(epoch_seconds)
    drop = max(1, round(epochs * SHARE_BEFORE_DROP))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, drop, 0.1)
    best, done = train_within(
        job, loader, step, network, val, epochs, epoch_seconds, lambda _: schedule.step()
    )
    trained = time.time()
    job.answer(probabilities(network, test), trained, claim=best, epochs=done)


if __name__ == "__main__":
    main()
