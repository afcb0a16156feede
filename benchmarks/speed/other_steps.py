"""Whether torch.compile or weights in bf16 would speed up training steps on a CPU.

The same steps in one process, in turns: as bestiary trains (bf16 by autocast, with the shortcuts of
benchmarks/speed/shortcuts.py); compiled by torch.compile, which `train.compile=always` does and
`auto` tries; and with weights and optimizer in bf16, which bestiary does not offer. The last one
keeps no float32 weights, which training would need besides: it is the most that could be gained.
Seconds are those of the CPU.

    python benchmarks/speed/other_steps.py [--work offline/efficientnet_lite0@224 ...] [--rounds 5]
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from bestiary.model.classifier import build_classifier
from bestiary.model.compute import ComputeConfig
from bestiary.model.freezing import freeze, set_training_mode
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.training.loss import build_loss
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.optimizer import build_optimizer
from bestiary.training.shortcuts import with_shortcuts
from bestiary.training.step_timing import build_step

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, report
from harness.record import record, recording
from harness.steps import need_bf16, seconds_of

CLAIMS = {
    "other-training-steps": {
        "statement": "What torch.compile and weights in bf16 gain in a training step on a CPU",
        "unit": "times as fast as bestiary trains",
        "watches": (
            "src/bestiary/training/step.py",
            "src/bestiary/training/autotune.py",
            "src/bestiary/training/shortcuts.py",
        ),
    },
}
COMMANDS = ("",)


WORKS = {
    "offline/efficientnet_lite0@224": 16,
    "torchvision/resnet18@64": 64,
}
CLASSES = 42
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", default=list(WORKS), choices=WORKS)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    need_bf16()
    torch.set_num_threads(1)
    print(machine())
    for work in args.work:
        network, _, side = work.partition("@")
        options = [f"model.backbone={network}", f"view.size={side}"]
        measure(work, load_recipe("best", options), WORKS[work], args.rounds)


def measure(work: str, recipe: Recipe, batch: int, rounds: int) -> None:
    """Time the three kinds of steps, and record them."""
    usual = ComputeConfig("bf16", threads=1, folded_norms=True, fast_depthwise=True)
    compiled = ComputeConfig("bf16", threads=1, compiled=True)
    with keep_freed_memory(CPU):
        steps = {
            "compiled": build_step(recipe, CLASSES, compiled, CPU, batch),
            "weights in bf16": low_step(recipe, usual, batch),
            "as bestiary trains": build_step(recipe, CLASSES, usual, CPU, batch),
        }
        starting = {way: seconds_of(step) for way, step in steps.items()}
        speeds: dict[str, list[float]] = {way: [] for way in steps}
        for _ in range(rounds):
            for way, step in steps.items():
                speeds[way].append(batch / seconds_of(step))
    print(f"\n{work}, batch {batch}; first step: {starting}")
    report(speeds)
    plain = speeds["as bestiary trains"]
    gains = {
        way: [a / b for a, b in zip(of, plain, strict=True)]
        for way, of in speeds.items()
        if of is not plain
    }
    details = {"images/s, of a core": speeds, "s of a core, first step": starting}
    record("other-training-steps", gains, rounds, "rounds", case=work, details=details)


def low_step(recipe: Recipe, config: ComputeConfig, batch: int) -> Callable[[], None]:
    """Build a step whose weights, gradients and optimizer are in bf16."""
    classifier = build_classifier(recipe.model.backbone, CLASSES, "none")
    freeze(classifier, recipe.model)
    set_training_mode(classifier, recipe.model)
    classifier.to(memory_format=config.memory_format)
    network = with_shortcuts(classifier, recipe, config)
    classifier.network.to(torch.bfloat16)
    optimizer = build_optimizer(classifier, recipe.optimizer)
    loss_of = build_loss(recipe.loss, torch.full((CLASSES,), 1 / CLASSES))
    size = recipe.view.size
    views = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    targets = torch.eye(CLASSES)[torch.randint(0, CLASSES, (batch,))]

    def step() -> None:
        images = classifier.preprocess(views).to(torch.bfloat16)
        images = images.contiguous(memory_format=config.memory_format)
        loss = loss_of(network(images).float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    recording(main, __file__)
