"""Claim: on a CPU in bf16, two shortcuts speed up training steps of networks that are usual here.

`bestiary.model.depthwise` computes gradients of depthwise convolutions otherwise than oneDNN, and
`bestiary.model.folded_norms` computes frozen batch norms inside the convolutions. The same steps
run in one process, in turns: without, with each, with both. Seconds are those of the CPU in this
process, so that other work on the machine disturbs little.

    python benchmarks/speed/shortcuts.py [--work offline/efficientnet_lite0@224 ...] [--rounds 7]
                                         [--threads 1]
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.step_timing import build_step

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, report
from harness.record import record, recording
from harness.steps import seconds_of

CLAIMS = {
    "training-shortcuts": {
        "statement": "Folded norms and fast depthwise gradients speed up a step in bf16",
        "unit": "times as fast",
        "watches": (
            "src/bestiary/training/step.py",
            "src/bestiary/training/autotune.py",
            "src/bestiary/model/folded_norms.py",
            "src/bestiary/model/depthwise.py",
        ),
    },
}
COMMANDS = ("",)


WORKS = {
    "offline/efficientnet_lite0@224": 16,
    "torchvision/mobilenet_v3_large@224": 16,
    "torchvision/resnext50_32x4d@224": 16,
    "torchvision/resnet18@64": 64,
}
CLASSES = 42
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", default=list(WORKS), choices=WORKS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine())
    plain = ComputeConfig("bf16", threads=args.threads)
    ways = {
        "both": replace(plain, folded_norms=True, fast_depthwise=True),
        "fast depthwise": replace(plain, fast_depthwise=True),
        "folded norms": replace(plain, folded_norms=True),
        "without": plain,
    }
    for name in args.work:
        network, _, side = name.partition("@")
        options = [f"model.backbone={network}", f"view.size={side}", "model.freeze_norms=true"]
        recipe = load_recipe("best", options)
        print(f"\n{name}, batch {WORKS[name]}, all batch norms frozen, {args.threads} threads")
        with keep_freed_memory(CPU):
            steps = {
                way: build_step(recipe, CLASSES, config, CPU, WORKS[name])
                for way, config in ways.items()
            }
            speeds: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(args.rounds + 1):
                for way, step in steps.items():
                    speed = WORKS[name] / seconds_of(step)
                    if turn:  # the first warms up
                        speeds[way].append(speed)
        report(speeds)
        plain_rounds = speeds["without"]
        gains = {
            way: [a / b for a, b in zip(of, plain_rounds, strict=True)]
            for way, of in speeds.items()
            if way != "without"
        }
        details = {"images/s, of a core": speeds}
        record("training-shortcuts", gains, args.rounds, "rounds", case=name, details=details)


if __name__ == "__main__":
    recording(main, __file__)
