"""Claim: a training step with LoRA takes less memory and less time than one of the whole network.

The image tower that recipe `foundation` begins with (ViT-B/16 at 224 pixels) with random weights,
and the same recipe with `model.lora` 0 and 8. Each is trained in a process of its own, in turns, by
the steps of the training loop. Memory is the process's peak, or on a GPU the peak of its tensors;
seconds are those of the CPU, or on a GPU of the clock.

    python benchmarks/speed/lora.py [--batch 16] [--steps 3] [--rounds 3] [--backbone NAME]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from bestiary.model.compute import ComputeConfig, synchronize
from bestiary.model.device import best_device
from bestiary.recipe.load import load_recipe
from bestiary.training.step_timing import build_step

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, peak_megabytes
from harness.record import record, recording
from harness.steps import seconds_of

CLAIMS = {
    "lora-memory": {
        "statement": "LoRA needs less memory than training the whole transformer",
        "unit": "of the memory without it",
        "bar": ("most", 1.0, "else it would gain nothing"),
        "watches": ("src/bestiary/model/lora.py", "src/bestiary/training/step_timing.py"),
    },
    "lora-speed": {
        "statement": "LoRA takes less time than training the whole transformer",
        "unit": "of the time of a step without it",
        "bar": ("most", 1.0, "else it would gain nothing"),
        "watches": ("src/bestiary/model/lora.py", "src/bestiary/training/step_timing.py"),
    },
}
COMMANDS = ("",)
BACKBONE = "timm/vit_base_patch16_siglip_224"
CLASSES = 42
RANKS = (0, 8)


def measure_here(backbone: str, rank: int, batch: int, steps: int) -> None:
    """Train some steps in this process; print seconds of the fastest, and the peak of memory."""
    device = best_device()
    torch.set_num_threads(1)
    options = [f"model.backbone={backbone}", f"model.lora={rank}", "view.size=224"]
    recipe = load_recipe("foundation", [*options, "train.epochs=1"])
    config = ComputeConfig("bf16", channels_last=False, threads=1)
    step = build_step(recipe, CLASSES, config, device, batch)

    def timed() -> float:
        if device.type == "cpu":
            return seconds_of(step)
        started = time.perf_counter()
        step()
        synchronize(device)
        return time.perf_counter() - started

    timed()
    seconds = min(timed() for _ in range(steps))
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else peak_megabytes()
    print(json.dumps({"seconds": seconds, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank is not None:
        measure_here(args.backbone, args.rank, args.batch, args.steps)
        return
    print(machine())
    found: dict[int, list[dict[str, float]]] = {rank: [] for rank in RANKS}
    for _ in range(args.rounds):
        for rank, results in found.items():
            words = [f"--backbone={args.backbone}", f"--batch={args.batch}", f"--rank={rank}"]
            command = [sys.executable, __file__, *words, f"--steps={args.steps}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"rank {rank}: {results[-1]}", flush=True)
    whole, adapted = found.values()
    case = f"{args.backbone.split('/')[-1]}, batch {args.batch}, rank {RANKS[1]}"
    for claim, key, unit in (
        ("lora-memory", "peak", "MB of the peak"),
        ("lora-speed", "seconds", "seconds of a step"),
    ):
        values = {name: [one[key] for one in of] for name, of in found.items()}
        ratios = [b[key] / a[key] for a, b in zip(whole, adapted, strict=True)]
        record(
            claim,
            ratios,
            args.rounds,
            "rounds",
            case=case,
            details={unit: {f"model.lora={rank}": of for rank, of in values.items()}},
        )


if __name__ == "__main__":
    if any(word.startswith("--rank") for word in sys.argv):
        main()
    else:
        recording(main, __file__)
