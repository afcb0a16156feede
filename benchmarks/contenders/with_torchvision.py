"""torchvision's reference training for classification: its transforms and loop, from public parts.

documented: the defaults (Pillow, 16 workers, reduced to the number of cores; SGD). fastest:
``--backend tensor --use-v2``, as many workers as cores, AdamW as the others. Its ``--amp``, in
fp16, is for CUDA and is not used; it has no flag for the layout.
"""

from itertools import islice

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from contenders.device import best_device
from harness.paired import Worker

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def views(size: int, fast: bool):
    if fast:
        return v2.Compose(
            [
                v2.PILToTensor(),
                v2.RandomResizedCrop(size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float, scale=True),
                v2.Normalize(MEAN, STD),
                v2.ToPureTensor(),
            ]
        )
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(MEAN, STD),
        ]
    )


def main() -> None:
    worker = Worker()
    job = worker.job
    fast = worker.job["variant"] == "fastest"
    device = best_device()
    torch.manual_seed(0)
    data = torchvision.datasets.ImageFolder(f"{job['data']}/train", views(job["size"], fast))
    loader = DataLoader(
        data,
        job["batch"],
        shuffle=True,
        num_workers=job["workers"],
        pin_memory=device.type == "cuda",
    )
    network = torchvision.models.get_model(job["network"], num_classes=job["classes"])
    network.to(device).train()
    loss_of = nn.CrossEntropyLoss()
    optimizer = (
        torch.optim.AdamW(network.parameters(), lr=1e-4)
        if fast
        else torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    )

    def epoch(limit: int | None) -> int:
        done = 0
        for images, targets in islice(loader, limit):
            images, targets = images.to(device), targets.to(device)
            outputs = network(images)
            loss = loss_of(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            outputs.topk(5)  # its loop prints top-1 and top-5 accuracy
            loss.item()
            done += len(images)
        return done

    worker.serve(epoch)


if __name__ == "__main__":
    main()
