"""timm's training script, rebuilt from the package's parts: the script itself is not in it.

Its defaults for views (random resized crop from 0.08 of the area, mirror images, color jitter 0.4,
crop of 0.875), label smoothing 0.1, cosine schedule with 5 warm-up epochs or a tenth of all, and
`--pretrained --num-classes N --opt adamw --lr 5e-4 --model-ema --weight-decay 0.05`, usual words
for fine-tuning; `--epochs` fills the minutes. `--amp --amp-dtype bfloat16 --channels-last` make it
faster. The average that validates best is kept.
"""

import itertools
import time

import torch
from job import SIZE, Job
from timm.data import create_transform
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader
from torch_parts import MEAN, STD, parts, pretrained, probabilities, seconds_of_epoch, train_within

RATE = 5e-4


def main() -> None:
    job = Job.read()
    torch.manual_seed(job.seed)
    shared = {"input_size": (3, SIZE, SIZE), "mean": MEAN, "std": STD}
    train_view = create_transform(
        **shared, is_training=True, color_jitter=0.4, interpolation="random"
    )
    eval_view = create_transform(**shared, interpolation="bicubic", crop_pct=0.875)
    train, val, test = parts(job, train_view, eval_view)
    loader = DataLoader(
        train, 32, shuffle=True, num_workers=1, drop_last=True, persistent_workers=True
    )
    loss_of = LabelSmoothingCrossEntropy(0.1)

    def begin() -> tuple:
        network = pretrained(job).to(memory_format=torch.channels_last)
        optimizer = create_optimizer_v2(network, opt="adamw", lr=RATE, weight_decay=0.05)
        average = ModelEmaV3(network, decay=0.9998, use_warmup=True)
        steps = itertools.count(1)

        def step(views: torch.Tensor, targets: torch.Tensor) -> None:
            network.train()
            optimizer.zero_grad()
            views = views.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(network(views), targets)
            loss.backward()
            optimizer.step()
            average.update(network, step=next(steps))

        return network, optimizer, average, step

    network, _, _, step = begin()
    epoch_seconds = seconds_of_epoch(loader, step, val, network)
    network, optimizer, average, step = begin()
    epochs = job.epochs_that_fit(epoch_seconds)
    schedule, _ = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=epochs, warmup_epochs=min(5, epochs // 10)
    )
    best, done = train_within(
        job, loader, step, average.module, val, epochs, epoch_seconds, schedule.step
    )
    trained = time.time()
    job.answer(probabilities(average.module, test), trained, claim=best, epochs=done)


if __name__ == "__main__":
    main()
