"""The arithmetic alone: forward, loss, backward and AdamW on one batch in memory.

The network is torchvision's. For a recipe other than `paper`, whose steps have shortcuts
(`bestiary.training.shortcuts`), it is the step that bestiary times, with what the first contender
reported: the loop is compared with its own arithmetic.

Precision, layout, compilation and threads are the job's, or those that the first contender
reported. Freed memory is kept as in bestiary unless the job says otherwise.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torchvision
from torch.nn import functional

from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.step_timing import build_step
from contenders.device import best_device, wait_for
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    first = job.get("arithmetic") or job["first"]
    device = best_device()
    torch.manual_seed(0)
    torch.set_num_threads(first["threads"])
    if job.get("recipe", "paper") != "paper":
        serve_steps(worker, own_step(job, first, device), device)
        return
    layout = torch.channels_last if first["channels_last"] else torch.contiguous_format
    network = (
        torchvision.models.get_model(job["network"], num_classes=job["classes"])
        .to(device)
        .to(memory_format=layout)
        .train()
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    shape = (job["batch"], 3, job["size"], job["size"])
    images = torch.rand(shape, device=device).contiguous(memory_format=layout)
    targets = torch.rand(job["batch"], job["classes"], device=device).softmax(dim=1)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(first["precision"])

    if first["compiled"]:
        network = torch.compile(network)

    def step() -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            loss = functional.cross_entropy(network(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    serve_steps(worker, step, device)


def own_step(
    job: dict[str, Any], first: dict[str, Any], device: torch.device
) -> Callable[[], None]:
    """The step that bestiary times when it chooses how to compute a recipe."""
    options = [f"model.backbone={job['network']}", f"view.size={job['size']}"]
    recipe = load_recipe(job["recipe"], options)
    return build_step(recipe, job["classes"], ComputeConfig(**first), device, job["batch"])


def serve_steps(worker: Worker, step: Callable[[], None], device: torch.device) -> None:
    """Take turns with epochs of such steps."""
    job = worker.job

    def epoch(limit: int | None) -> int:
        steps = limit or job["images"] // job["batch"]
        for _ in range(steps):
            step()
        wait_for(device)
        return steps * job["batch"]

    with keep_freed_memory(device) if job.get("kept", True) else nullcontext():
        worker.serve(epoch)


if __name__ == "__main__":
    main()
