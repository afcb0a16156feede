"""timm's network, loader, task and optimizer in the order of its training script.

The script is not in its package. documented: the script's defaults (4 workers, SGD, color jitter
0.4, label smoothing 0.1). fastest: ``--amp --amp-dtype bfloat16 --channels-last``, as many workers
as cores, AdamW as the others, no color jitter, no smoothing. fastest-pure: the same with
``--model-dtype bfloat16`` instead of ``--amp``: weights in bf16 too.
"""

from contextlib import nullcontext
from functools import partial
from itertools import islice

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.task import ClassificationTask

from contenders.device import best_device
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    fast = worker.job["variant"] != "documented"
    pure = job["variant"] == "fastest-pure"
    torch.manual_seed(0)
    device = best_device()
    dtype = torch.bfloat16 if pure else torch.float32
    layout = torch.channels_last if fast else torch.contiguous_format
    network = (
        timm.create_model(job.get("timm") or job["network"], num_classes=job["classes"])
        .to(device, dtype=dtype)
        .to(memory_format=layout)
    )
    if job.get("compiled"):
        network = torch.compile(network)
    opt = {"opt": "adamw", "lr": 1e-4} if fast else {"opt": "sgd", "lr": 0.01, "momentum": 0.9}
    optimizer = create_optimizer_v2(network, weight_decay=2e-5, **opt)
    loader = create_loader(
        create_dataset("", root=job["data"], split="train", is_training=True),
        input_size=(3, job["size"], job["size"]),
        batch_size=job["batch"],
        is_training=True,
        color_jitter=0.0 if fast else 0.4,
        interpolation="bilinear" if fast else "random",
        num_workers=job["workers"] if fast else 4,
        img_dtype=dtype,
        pin_memory=device.type == "cuda",
        device=device,
    )
    smoothing = {} if fast else {"smoothing": 0.1}
    task = ClassificationTask(network, criterion_kwargs=smoothing, device=device, verbose=False)
    autocast = (
        partial(torch.autocast, device.type, dtype=torch.bfloat16)
        if fast and not pure
        else nullcontext
    )
    task.get_trainable_module().train()

    def epoch(limit: int | None) -> int:
        done = 0
        optimizer.zero_grad()
        for images, targets in islice(loader, limit):
            if fast:
                images = images.contiguous(memory_format=layout)
            with autocast():
                loss = task(images, targets)["loss"]
            loss.backward()
            optimizer.step()
            loss.item()
            optimizer.zero_grad()
            done += len(images)
        return done

    worker.serve(epoch, timm=timm.__version__)


if __name__ == "__main__":
    main()
