"""Ultralytics: `YOLO("yolo11n-cls.pt").train(data=..., time=hours)`, as its documentation says.

It cannot start from EfficientNet-Lite0's weights, and its own checkpoints come from a server.
"""

import time

import numpy as np
from job import SIZE, Job
from ultralytics import YOLO


def main() -> None:
    job = Job.read()
    network = YOLO("yolo11n-cls.pt")
    data = job.scratch / "data"
    is_val = job.random_fifth()
    for file, val in zip(job.files(job.train)[0], is_val, strict=True):
        link = data / ("val" if val else "train") / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    results = network.train(
        data=str(data),
        imgsz=SIZE,
        time=job.seconds_left / 3600,
        device="cpu",
        workers=0,
        seed=job.seed,
        project=str(job.scratch),
    )
    trained = time.time()
    order = [list(network.names.values()).index(name) for name in job.classes]
    answers = [
        network(str(file), imgsz=SIZE, verbose=False)[0].probs.data.numpy()[order]
        for file in job.files(job.test)[0]
    ]
    job.answer(np.array(answers), trained, claim=float(results.top1))


if __name__ == "__main__":
    main()
