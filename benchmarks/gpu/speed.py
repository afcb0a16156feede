"""Stages that ask how fast training is: one resident batch, recipe `paper`, and other programs."""

import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bestiary.run.layout import COMPUTE
from bestiary.run.run import Run
from gpu.images import fifth_held_out, large_set
from gpu.kit import Kit, device, history, n_cores, wait
from harness.paired import Contender, compare, spread

ROUNDS = 2
SMALL_NETWORK = "offline/efficientnet_lite0"
SMALL_BATCH = 32
EPOCHS = 5  # whole ones; the first fills the store


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
    """A small network: its training, then its step with kernels one by one and as CUDA graphs."""
    from bestiary.model.compute import ComputeConfig, best_precision
    from bestiary.model.device import best_device
    from bestiary.recipe.load import load_recipe
    from bestiary.training.step_timing import time_training_step

    where = best_device()
    size = 64 if kit.tiny else 224
    recipe = load_recipe("best", ["train.batch_size=32", f"view.size={size}"])
    plain = ComputeConfig(best_precision(where), threads=n_cores())
    with kit.noting_failure("small"):
        _compare_small(kit, plain)
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


def _compare_small(kit: Kit, eager: Any) -> None:
    """Train by recipe `best` from the store, against the same step on a resident batch, eager."""
    job = {
        **_job(kit),
        "recipe": "best",
        "network": SMALL_NETWORK,
        "batch": 8 if kit.tiny else SMALL_BATCH,
    }
    contenders = [
        _ours(kit, "small, store", job=job),
        Contender(
            "resident batch, eager",
            "contenders.compute_only",
            {**job, "arithmetic": asdict(eager)},
        ),
    ]
    _compare(kit, contenders, 1 if kit.tiny else ROUNDS)


def batches(kit: Kit) -> None:
    """Steps of recipe `best-gpu` by batch size, whose kernels are launched as CUDA graphs."""
    from bestiary.model.compute import ComputeConfig, best_precision
    from bestiary.model.device import best_device
    from bestiary.recipe.load import load_recipe
    from bestiary.training.step_timing import time_training_step

    where = best_device()
    config = ComputeConfig(best_precision(where), cuda_graphs=where.type == "cuda")
    overrides = ["model.weights=none", "model.head=random"]
    if kit.tiny:
        overrides += ["model.backbone=torchvision/resnet18", "view.size=64"]
    for batch in (8, 16) if kit.tiny else (32, 64, 128, 256):
        with kit.noting_failure("batches"):
            recipe = load_recipe("best-gpu", [*overrides, f"train.batch_size={batch}"])
            timing = time_training_step(recipe, kit.classes, config, where)
            if timing is None:
                kit.say("batches", batch=batch, failed=True)
                continue
            kit.say("batches", batch=batch, images_per_second=round(1 / timing.seconds, 1))


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
) -> float:
    """Time training steps on one batch that stays on the device; give its images a second."""
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
    speed = batch * kit.steps / (time.perf_counter() - started)
    kit.say(
        "synthetic",
        batch=batch,
        channels_last=channels_last,
        cudnn_benchmark=benchmark,
        compiled=is_compiled,
        dtype=dtype,
        images_per_second=round(speed, 1),
        step_ms=round(1e3 * batch / speed, 2),
        launch_ms=round(1e3 * launched / kit.steps, 2),
        starting_seconds=round(starting, 1),
    )
    torch.backends.cudnn.benchmark = False
    return speed


def paper(kit: Kit) -> None:
    """Recipe `paper` against a resident batch: from the store; then, once, from JPEG."""
    _compare(kit, [_ours(kit, "store"), _resident(kit)], 1 if kit.tiny else ROUNDS)
    if not kit.tiny:
        _compare(kit, [_ours(kit, "jpeg", "data.store=false"), _resident(kit)], 1)


def processes(kit: Kit) -> None:
    """Recipe `paper` with views made by forked processes, and by threads of the training one."""
    by_threads = _ours(kit, "store, threads", job={**_job(kit), "threads": True})
    _compare(kit, [_ours(kit, "store"), by_threads], 1 if kit.tiny else ROUNDS)


def device_views(kit: Kit) -> None:
    """Recipe `paper` with views made by the processor, and on the GPU."""
    contenders = [_ours(kit, "store"), _ours(kit, "views on the GPU", "view.device=model")]
    _compare(kit, contenders, 1 if kit.tiny else ROUNDS)


def epochs(kit: Kit) -> None:
    """Whole epochs of recipe `paper`, with scoring and checkpoints, against a resident batch."""
    data = large_set(kit)
    run = kit.work / "epochs"
    shutil.rmtree(run, ignore_errors=True)
    overrides = [
        f"model.backbone=torchvision/{kit.network}",
        "model.weights=none",
        f"view.size={kit.size}",
        f"train.batch_size={kit.batch}",
        f"train.epochs={2 if kit.tiny else EPOCHS}",
    ]
    command = ("train", data, run, "--recipe", "paper", "--folds", fifth_held_out(kit))
    trained = round(0.8 * kit.n_images)
    with _saying_epochs(kit, run, trained) as ends:
        done = kit.cli(*command, "--only-fold", 0, "--set", *overrides, name="train")
    if not done.ok:
        return
    seconds = statistics.median(end - start for start, end in pairwise(ends))
    (config,) = Run(run).read_json(COMPUTE).values()
    resident = _time_resident_batch(
        kit,
        kit.batch,
        channels_last=config["channels_last"],
        benchmark=config["cudnn_benchmark"],
        is_compiled=config["compiled"],
        dtype=config["precision"],
    )
    kit.say(
        "whole_epoch",
        images_per_second=round(trained / seconds, 1),
        of_resident=round(trained / seconds / resident, 3),
        epochs=len(ends) - 1,
        compute=config,
    )


@contextmanager
def _saying_epochs(kit: Kit, run: Path, trained: int) -> Iterator[list[float]]:
    """Say each epoch of `trained` images when a run's history has it, while the block runs.

    Gives the times. The history follows the checkpoint, which its own seconds leave out.
    """
    ends: list[float] = []
    is_over = threading.Event()
    table = run / "fold-0" / "history.csv"

    def watch() -> None:
        is_last = False
        while not is_last:
            is_last = is_over.wait(0.05)
            for row in history(run)[len(ends) :] if table.exists() else ():
                ends.append(time.time())
                kit.say("epoch", images=trained, **row)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield ends
    finally:
        is_over.set()
        thread.join()


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
    _compare(kit, contenders, 1 if kit.tiny else ROUNDS, start_together=True)


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


def _ours(kit: Kit, name: str, *overrides: str, job: Mapping[str, Any] | None = None) -> Contender:
    """bestiary's training, with a run of its own and the cache of all stages."""
    scratch = kit.work / "turns" / f"{kit.stage}-{name.replace(' ', '-')}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    whole = {**(job or _job(kit)), "scratch": str(scratch), "set": list(overrides)}
    whole["cache"] = os.environ["BESTIARY_CACHE"]
    return Contender(f"bestiary, {name}", "contenders.with_bestiary", whole)


def _resident(kit: Kit) -> Contender:
    """The arithmetic alone, as the first contender computes."""
    return Contender("resident batch", "contenders.compute_only", _job(kit))


def _compare(
    kit: Kit, contenders: Sequence[Contender], rounds: int, *, start_together: bool = False
) -> None:
    """Let contenders take turns; after each round, say their speeds and the ratios to the first.

    A comparison that is cut off has said its whole rounds.
    """

    def say(speeds: dict[str, list[float]]) -> None:
        first, *_ = speeds.values()
        for name, theirs in speeds.items():
            ratios = [ours / other for ours, other in zip(first, theirs, strict=True)]
            kit.say(
                "speed",
                contender=name,
                beside=contenders[0].name,
                images_per_second=spread(theirs),
                first_is_times_as_fast=spread(ratios),
                speeds=[float(f"{speed:.5g}") for speed in theirs],
            )

    log = Path(kit.out, f"{kit.stage}.log")
    compare(contenders, rounds, log, start_together=start_together, after_round=say)
