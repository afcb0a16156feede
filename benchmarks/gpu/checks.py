"""Stages that ask whether it works: machine, whole job, switches, resuming, memory, advice."""

import csv
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from bestiary.run.layout import COMPUTE
from bestiary.run.run import Run
from gpu.images import ShortTraining, beasts, large_set, small_set
from gpu.kit import Kit, device, fingerprint, history, median_seconds, n_cores
from harness.surroundings import processor

SWITCHES = {
    "plain": [],
    "ema": ["train.ema=0.9"],
    "views_on_model": ["view.device=model"],
    "float32_contiguous": ["train.precision=float32", "train.layout=contiguous"],
    "focal_randaugment": ["loss.kind=focal", "view.augment=randaugment", "mix.probability=0"],
    "no_store": ["data.store=false"],
    "parts_of_best": [
        "train.wise_ft=0.5",
        "train.keep_best=false",
        "model.freeze=2",
        "model.freeze_norms=true",
        "predict.tta=5",
    ],
    "deterministic": ["train.deterministic=true"],
    "compiled": ["train.compile=always"],
}
NEIGHBOR_LEAVES = 7 << 30  # bytes of the GPU's memory


def env(kit: Kit) -> None:
    """Versions, cores, and how fast the card multiplies and copies."""
    import torch

    names = ("torch", "torchvision", "timm", "accelerate", "numpy", "polars")
    kit.say("versions", python=sys.version.split()[0], **{name: version(name) for name in names})
    kit.say(
        "machine",
        cores=n_cores(),
        processor=processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
    )
    where = device()
    if where.type != "cuda":
        return
    card = torch.cuda.get_device_properties(where)
    kit.say(
        "gpu",
        gpu=card.name,
        memory_gb=round(card.total_memory / 1e9, 1),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        bf16=torch.cuda.is_bf16_supported(including_emulation=False),
    )
    factors = torch.randn(2, 8192, 8192, device=where, dtype=torch.bfloat16)
    seconds = median_seconds(lambda: factors[0] @ factors[1], 10)
    kit.say("matmul", tflops=round(2 * 8192**3 / seconds / 1e12, 1))
    for pinned in (True, False):
        views = torch.empty((64, 224, 224, 3), dtype=torch.uint8, pin_memory=pinned)
        seconds = median_seconds(lambda views=views: views.to(where, non_blocking=True), 30)
        kit.say("to_device", pinned=pinned, milliseconds=round(1e3 * seconds, 3))


def images(kit: Kit) -> None:
    """Draw the images of all other stages."""
    started = time.perf_counter()
    place = large_set(kit)
    small_set(kit)
    files = list((place / "train").rglob("*.jpg"))[:500]
    kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1e3
    seconds = time.perf_counter() - started
    kit.say("images", count=kit.n_images, seconds=round(seconds, 1), mean_kb=round(kilobytes, 1))


def trained_run(kit: Kit) -> Path:
    """The run of five members that predict and serve."""
    run = kit.work / "run"
    if Run(run).score_line is None:
        shutil.rmtree(run, ignore_errors=True)
        data, _ = beasts(kit)
        tiny = ["--set", "view.size=64", "train.epochs=1", "folds.n=2"] if kit.tiny else []
        kit.cli("train", data, run, "--recipe", "fast", *tiny, name="train_fast", needed=True)
    return run


def demo(kit: Kit) -> None:
    """The whole job, verb by verb."""
    data, new = beasts(kit)
    probe = kit.work / "probe"
    shutil.rmtree(probe, ignore_errors=True)
    kit.cli("probe", data, probe, *(["--set", "view.size=64", "folds.n=2"] if kit.tiny else []))
    run = trained_run(kit)
    table = kit.work / "predictions.csv"
    onnx = kit.work / "run.onnx"
    program = kit.work / "run.pt2"
    for file in (table, onnx, program):
        file.unlink(missing_ok=True)
    kit.cli("show", run)
    kit.cli("predict", run, new, "--out", table)
    kit.cli("evaluate", run, new)
    kit.cli("report", run)
    kit.cli("export", run, onnx, name="export_onnx")
    kit.cli("export", run, program, "--format", "torch", name="export_torch")


def switches(kit: Kit) -> None:
    """Each switch that computes otherwise on a GPU: does it end, and with a finite loss?"""
    data = small_set(kit)
    low = "fp16" if device().type == "cuda" else "bf16"
    for name, overrides in {**SWITCHES, low: [f"train.precision={low}"]}.items():
        short = ShortTraining(data, kit.work / f"switch-{name}")
        if kit.cli(*short.words(*overrides), name=name).ok:
            kit.say(f"{name}_history", rows=history(short.run))


def resume(kit: Kit) -> None:
    """The same bits twice, and after SIGKILL inside an epoch; with and without determinism."""
    data = small_set(kit) if kit.tiny else large_set(kit)
    for deterministic in (True, False):
        sizes = ["view.size=32"] if kit.tiny else ["view.size=128", "train.batch_size=64"]
        overrides = [*sizes, "train.epochs=3", f"train.deterministic={str(deterministic).lower()}"]
        first = ShortTraining(data, kit.work / "resume-first")
        second = ShortTraining(data, kit.work / "resume-second")
        ended = [kit.cli(*one.words(*overrides), name="whole").ok for one in (first, second)]
        if not all(ended):
            continue
        same = fingerprint(first.run) == fingerprint(second.run)
        kit.say("twice", deterministic=deterministic, same_bits=same)

        killed = ShortTraining(data, kit.work / "resume-killed")
        seconds = _kill_inside_an_epoch(killed, overrides)
        command = ("train", data, killed.run, "--only-fold", 0, "--resume")
        if kit.cli(*command, name="resume").ok:
            same = fingerprint(first.run) == fingerprint(killed.run)
            kit.say("resumed", deterministic=deterministic, same_bits=same, killed_after=seconds)


def _kill_inside_an_epoch(short: ShortTraining, overrides: list[str]) -> float:
    """Kill a training some time after its first checkpoint; give the seconds that it ran."""
    words = short.words(*overrides, options=("--checkpoint-every", "100ms"))
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bestiary", *map(str, words)])
    state = Run(short.run).fold(0).state
    while process.poll() is None and not state.exists():
        time.sleep(0.02)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return round(time.perf_counter() - started, 1)


def memory(kit: Kit) -> None:
    """A neighbor leaves too little memory for the batch: halved, said, and trained to the end."""
    import torch

    if device().type != "cuda":
        kit.say("memory", skipped="there is no GPU")
        return
    free, _ = torch.cuda.mem_get_info()
    blocks = (free - NEIGHBOR_LEAVES) >> 30
    neighbor = [torch.empty(1 << 30, dtype=torch.uint8, device="cuda") for _ in range(blocks)]
    kit.say("neighbor", gigabytes=len(neighbor))
    short = ShortTraining(large_set(kit), kit.work / "memory")
    # ResNet-50 at 224 pixels in bf16 takes about 45 MB an image.
    done = kit.cli(
        *short.words(
            "model.backbone=torchvision/resnet50",
            "view.size=224",
            "train.batch_size=512",
            "train.epochs=1",
        ),
        name="halving",
    )
    if not done.ok:
        return
    said = [line for line in done.text.splitlines() if "out of memory" in line]
    with (short.run / "fold-0" / "costs.csv").open() as file:
        kit.say("halving_said", lines=said, costs=list(csv.DictReader(file))[-1:])


def advise(kit: Kit) -> None:
    """Advice and the default recipe, offline."""
    backbones = ["offline/efficientnet_lite0@64" if kit.tiny else "offline/efficientnet_lite0@224"]
    if not kit.tiny:
        backbones.append("torchvision/resnext101_64x4d@224")
    data = small_set(kit)
    done = kit.cli("advise", data, "--backbones", *backbones, "--recipe", "fast")
    kit.say("advice", lines=done.text.splitlines()[-30:])
    run = kit.work / "default"
    shutil.rmtree(run, ignore_errors=True)
    tiny = ["view.size=64", "train.epochs=1"] if kit.tiny else ["train.epochs=1"]
    done = kit.cli("train", data, run, "--folds", 2, "--set", *tiny, name="default_recipe")
    if done.ok:
        kit.say(
            "default",
            said=[line for line in done.text.splitlines() if line.startswith("Recipe")],
            compute=Run(run).read_json(COMPUTE),
        )
