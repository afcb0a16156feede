"""The course report's loop: Pillow, torchvision's transforms, DataLoader, float32, NCHW.

It uses MixUp or CutMix, and AdamW.
"""

from itertools import islice

import torch
import torchvision
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from contenders.device import best_device
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    device = best_device()
    torch.manual_seed(0)
    view = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.RandomResizedCrop(job["size"]),
            transforms.ToTensor(),
        ]
    )
    data = torchvision.datasets.ImageFolder(f"{job['data']}/train", view)
    loader = DataLoader(data, job["batch"], shuffle=True, num_workers=job["workers"])
    mix = v2.RandomChoice(
        [v2.MixUp(num_classes=job["classes"]), v2.CutMix(num_classes=job["classes"])]
    )
    network = torchvision.models.get_model(job["network"], num_classes=job["classes"])
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def epoch(limit: int | None) -> int:
        done = 0
        for batch, labels in islice(loader, limit):
            images, targets = mix(batch.to(device), labels.to(device))
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images), targets)
            loss.backward()
            optimizer.step()
            loss.item()
            done += len(images)
        return done

    worker.serve(epoch)


if __name__ == "__main__":
    main()
