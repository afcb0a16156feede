"""Stages that ask how fast training is: one resident batch, recipe `paper`, and other programs."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu.images import large_set
from gpu.kit import Kit, device, n_cores, wait
from harness.paired import Contender, compare, spread

ROUNDS = 3


def synthetic(kit: Kit) -> None:
    """Steps on a resident batch, in the ways that bestiary and others compute them."""
    for batch in (kit.batch,) if kit.tiny else (kit.batch, 4 * kit.batch):
        for benchmark in (False, True):
            with kit.noting_failure("synthetic"):
                _time_resident_batch(kit, batch, benchmark=benchmark)
    with kit.noting_failure("synthetic"):
        _time_resident_batch(kit, kit.batch, channels_last=False)
    with kit.noting_failure("synthetic"):
        _time_resident_batch(kit, kit.batch, channels_last=False, dtype="float32")


def small(kit: Kit) -> None:
    """A small network's training step, whose kernels are launched one by one or as CUDA graphs."""
    from bestiary.model.compute import ComputeConfig, best_precision
    from bestiary.model.device import best_device
    from bestiary.recipe.load import load_recipe
    from bestiary.training.step_timing import time_training_step

    where = best_device()
    size = 64 if kit.tiny else 224
    recipe = load_recipe("best", ["train.batch_size=32", f"view.size={size}"])
    plain = ComputeConfig(best_precision(where), threads=n_cores())
    configs = {"one by one": plain}
    if where.type == "cuda":
        configs["CUDA graphs"] = replace(plain, cuda_graphs=True)
        configs["compiled"] = replace(plain, compiled=True)
    speeds: dict[str, float] = {}
    for name, config in configs.items():
        with kit.noting_failure("small"):
            timing = time_training_step(recipe, kit.classes, config, where)
            if timing is None:
                kit.say("small", way=name, failed=True)
                continue
            speeds[name] = 1 / timing.seconds
            kit.say(
                "small",
                way=name,
                batch=recipe.train.batch_size,
                images_per_second=round(speeds[name], 1),
                ratio=round(speeds[name] / speeds["one by one"], 2),
                starting_seconds=round(timing.starting, 1),
            )


def compiled(kit: Kit) -> None:
    """What compiling costs and gives: a resident batch, then recipe `paper`."""
    with kit.noting_failure("synthetic"):
        _time_resident_batch(kit, kit.batch, is_compiled=True)
    _compare(kit, [_ours(kit, "compiled", "train.compile=always"), _resident(kit)], 1)


def _time_resident_batch(
    kit: Kit,
    batch: int,
    *,
    channels_last: bool = True,
    benchmark: bool = False,
    is_compiled: bool = False,
    dtype: str = "bf16",
) -> None:
    """Time training steps on one batch that stays on the device."""
    import torch
    import torchvision
    from accelerate.utils.memory import clear_device_cache
    from torch.nn import functional

    clear_device_cache(garbage_collection=True)  # of the batch before
    where = device()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = benchmark
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = torchvision.models.get_model(kit.network, num_classes=kit.classes)
    network.to(where).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    images = torch.rand(batch, 3, kit.size, kit.size, device=where).contiguous(memory_format=layout)
    targets = torch.rand(batch, kit.classes, device=where).softmax(dim=1)
    forward = torch.compile(network, dynamic=False) if is_compiled else network

    def step() -> None:
        with torch.autocast(where.type, dtype=torch.bfloat16, enabled=dtype == "bf16"):
            logits = forward(images)
        functional.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    # The first step, some to warm up, then those that count.
    started = time.perf_counter()
    step()
    wait()
    starting = time.perf_counter() - started
    for _ in range(1 if kit.tiny else 6):
        step()
    wait()
    started = time.perf_counter()
    for _ in range(kit.steps):
        step()
    launched = time.perf_counter() - started
    wait()
    seconds = time.perf_counter() - started
    kit.say(
        "synthetic",
        batch=batch,
        channels_last=channels_last,
        cudnn_benchmark=benchmark,
        compiled=is_compiled,
        dtype=dtype,
        images_per_second=round(batch * kit.steps / seconds, 1),
        step_ms=round(1e3 * seconds / kit.steps, 2),
        launch_ms=round(1e3 * launched / kit.steps, 2),
        starting_seconds=round(starting, 1),
    )
    torch.backends.cudnn.benchmark = False


def paper(kit: Kit) -> None:
    """Recipe `paper` against a resident batch: from the store, from JPEG, with views on the GPU."""
    contenders = [_ours(kit, "store"), _resident(kit)]
    if not kit.tiny:
        contenders += [
            _ours(kit, "jpeg", "data.store=false"),
            _ours(kit, "views on the GPU", "view.device=model"),
        ]
    _compare(kit, contenders, 1 if kit.tiny else ROUNDS)


def peers(kit: Kit) -> None:
    """Recipe `paper` against the report's loop and timm's, each with some numbers of workers."""
    job = _job(kit)
    fast = {**job, "variant": "fastest", "workers": 1 if kit.tiny else n_cores()}
    counts = (1,) if kit.tiny else (4, 16)
    contenders = [
        _ours(kit, "store"),
        *(
            Contender(f"described, {n} workers", "contenders.described", {**job, "workers": n})
            for n in counts
        ),
        Contender("timm", "contenders.with_timm", fast),
    ]
    if not kit.tiny:
        contenders.append(
            Contender("timm, compiled", "contenders.with_timm", {**fast, "compiled": True})
        )
    _compare(kit, contenders, 1 if kit.tiny else ROUNDS)


def _job(kit: Kit) -> dict[str, Any]:
    return {
        "recipe": "paper",
        "network": kit.network,
        "size": kit.size,
        "batch": kit.batch,
        "images": kit.n_images,
        "classes": kit.classes,
        "data": str(large_set(kit)),
    }


def _ours(kit: Kit, name: str, *overrides: str) -> Contender:
    """bestiary's training, with a run and a cache of its own."""
    scratch = kit.work / "turns" / name.replace(" ", "-")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    job = {**_job(kit), "scratch": str(scratch), "set": list(overrides)}
    return Contender(f"bestiary, {name}", "contenders.with_bestiary", job)


def _resident(kit: Kit) -> Contender:
    """The arithmetic alone, as the first contender computes."""
    return Contender("resident batch", "contenders.compute_only", _job(kit))


def _compare(kit: Kit, contenders: Sequence[Contender], rounds: int) -> None:
    """Let contenders take turns; say their speeds, and how many times as fast the first is."""
    log = Path(kit.out, f"{kit.stage}.log")
    speeds = compare(contenders, rounds, log)
    first, *_ = speeds.values()
    for name, theirs in speeds.items():
        ratios = [ours / other for ours, other in zip(first, theirs, strict=True)]
        kit.say(
            "speed",
            contender=name,
            images_per_second=spread(theirs),
            first_is_times_as_fast=spread(ratios),
            rounds=rounds,
        )
