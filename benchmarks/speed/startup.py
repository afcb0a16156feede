"""Claim: `--help` answers in 0.35 s, `show` in 0.6 s, and `predict` of one image in 3 s.

`report` is timed too, without saliency, and the imports of the verbs that train.

Starts a new process each time, after three that are not counted: the first prediction converts the
members' graph, the second compiles it, the third reads what was compiled. An empty Python shows the
share of the interpreter, and `import torch` that of PyTorch in the prediction. The seconds of a
core are less disturbed by other programs.

    python benchmarks/speed/startup.py [--rounds 11] [--run RUN --image IMAGE]

RUN should be of five members by the recipe `best`. Without it, no verb is timed but `--help`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording

CLAIMS = {
    "startup-help": {
        "statement": "The help answers at once",
        "unit": "s",
        "bar": ("most", 0.35, "what a person does not notice as waiting"),
        "watches": ("@commands",),
    },
    "startup-show": {
        "statement": "`show` answers soon",
        "unit": "s",
        "bar": ("most", 0.6, "it reads tables and imports no network"),
        "watches": (
            "@commands",
            "src/bestiary/api/show.py",
            "src/bestiary/run/*.py",
        ),
    },
    "startup-predict": {
        "statement": "`predict` of one image by five members of `best` answers soon",
        "unit": "s",
        "bar": ("most", 3.0, "half of it is the import of PyTorch"),
        "watches": (
            "@commands",
            "src/bestiary/ensemble/ensemble.py",
            "src/bestiary/ensemble/predictions.py",
            "src/bestiary/model/engine.py",
            "src/bestiary/model/openvino_runtime.py",
        ),
    },
    "startup-report": {
        "statement": "`report` without saliency answers soon",
        "unit": "s",
        "watches": ("src/bestiary/reporting/*.py",),
    },
}
COMMANDS = ("",)


UNCOUNTED = 3


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Seconds from the command to its end, and those of a core in between."""
    started = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--run", help="of five members by the recipe best")
    parser.add_argument("--image", help="to predict")
    args = parser.parse_args()
    commands = {
        "bestiary --help": ["-m", "bestiary", "--help"],
        "empty Python": ["-c", ""],
        "imports of train": ["-c", "import bestiary.training.crossval"],
    }
    if args.run:
        commands["bestiary show"] = ["-m", "bestiary", "show", args.run]
        report = ["-m", "bestiary", "report", args.run, "--no-saliency", "--quiet", "--out"]
        commands["bestiary report"] = report
    if args.run and args.image:
        predict = ["-m", "bestiary", "predict", args.run, args.image, "--quiet", "--out"]
        commands["bestiary predict"] = predict
        commands["import torch"] = ["-c", "import torch"]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(-UNCOUNTED, args.rounds):
            for name, arguments in commands.items():
                suffix = "html" if "report" in arguments else "csv"
                has_out = arguments[-1] == "--out"
                out = [str(Path(scratch, f"{number}.{suffix}"))] if has_out else []
                taken = seconds([*arguments, *out])
                if number >= 0:
                    times[name].append(taken)
    print(machine())
    for name, taken in times.items():
        wall, cpu = zip(*taken, strict=True)
        print(f"{name}: {spread(wall)} s, of a core {spread(cpu)} s, n = {len(taken)}")
    record_times(times, args.rounds)


def record_times(times: dict[str, list[tuple[float, float]]], rounds: int) -> None:
    seconds_of = {name: [wall for wall, _ in taken] for name, taken in times.items()}
    others = ("empty Python", "import torch")
    beside = {name: seconds_of[name] for name in others if name in seconds_of}
    for verb in ("--help", "show", "predict", "report"):
        if (name := f"bestiary {verb}") in times:
            record(
                f"startup-{verb.removeprefix('--')}",
                seconds_of[name],
                rounds,
                "processes",
                details={"s of a core": [cpu for _, cpu in times[name]], "s, other": beside},
            )


if __name__ == "__main__":
    recording(main, __file__)
