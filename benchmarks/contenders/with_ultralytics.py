"""Ultralytics' own classification trainer; its callbacks wait at the start of each epoch.

The network is torchvision's in a model YAML, as Ultralytics ships one for resnet18. So its head is
Ultralytics' (a 1x1 convolution to 1,280 channels before the pool: 3 % more arithmetic for
resnext50). On a CPU it refuses bf16, leaves channels_last out, loads without workers and computes
with one thread less than there are cores. documented: its defaults (RandAugment, random erasing,
EMA of the weights). fastest: ``cache=ram``, no RandAugment, erasing or color jitter, AdamW as the
others and, although it has no flag for that, all cores.
"""

import os
import time
from pathlib import Path

import torch
import torchvision
import yaml

from contenders.device import best_device
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    fast = worker.job["variant"] == "fastest"
    place = Path(job["scratch"]) / f"ultralytics-{job['variant']}"
    place.mkdir()
    os.environ.update(YOLO_CONFIG_DIR=str(place), YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    from ultralytics import __version__, settings
    from ultralytics.models.yolo.classify import ClassificationTrainer

    settings.update({"sync": False, "tensorboard": False})
    width = torchvision.models.get_model(job["network"]).fc.in_features
    card = {
        "nc": job["classes"],
        "backbone": [[-1, 1, "TorchVision", [width, job["network"], "None", True, 2]]],
        "head": [[-1, 1, "Classify", ["nc"]]],
    }
    file = place / f"yolo11-cls-{job['network']}.yaml"
    file.write_text(yaml.safe_dump(card))
    plain = {
        "cache": "ram",
        "auto_augment": None,
        "erasing": 0.0,
        "optimizer": "AdamW",
        "lr0": 1e-4,
    }
    colors = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "scale": 0.92}
    trainer = ClassificationTrainer(
        overrides={
            "model": str(file),
            "data": job["data"],
            "imgsz": job["size"],
            "batch": job["batch"],
            "epochs": 10_000,
            "device": "cpu" if best_device().type == "cpu" else 0,
            "pretrained": False,
            "project": str(place),
            "val": False,
            "save": False,
            "plots": False,
            **({**plain, **colors} if fast else {}),
        }
    )
    started = 0.0
    epochs = 0

    def begin(_: ClassificationTrainer) -> None:
        nonlocal started
        if fast:
            torch.set_num_threads(os.cpu_count() or 1)
        if epochs:
            worker.wait()
        started = time.perf_counter()

    def end(trainer: ClassificationTrainer) -> None:
        nonlocal epochs
        if epochs:
            worker.answer(len(trainer.train_loader.dataset) / (time.perf_counter() - started))
        else:
            worker.ready(ultralytics=__version__, threads=torch.get_num_threads())
        epochs += 1

    trainer.add_callback("on_train_epoch_start", begin)
    trainer.add_callback("on_train_epoch_end", end)
    trainer.train()


if __name__ == "__main__":
    main()
