"""Claim: every verb that is killed, stopped or loses a child goes on to the same files.

Runs verbs as processes of their own, on drawn images: training with pretrained weights in one and
in two processes, a probe, a prediction to CSV, an ablation, and sharding. Each is hit at a random
time: SIGKILL of all its processes, SIGKILL of one child, or SIGSTOP and SIGCONT. Then the same
command goes on with --resume where there is one. At the end every file is compared with those of an
undisturbed run, but for measured seconds.

    OMP_NUM_THREADS=1 python benchmarks/reliability/kill_verbs.py [--kills 100] [--seed 0]
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bestiary.beasts.sample import draw_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "kill-verbs-same-files": {
        "statement": (
            "Every verb that is killed, stopped or loses a child goes on to the same files"
        ),
        "unit": "of the verbs with the same files",
        "bar": ("least", 1.0, "no kill may change a result"),
        "watches": (
            "@checkpoints",
            "src/bestiary/ensemble/resumable_table.py",
            "src/bestiary/data/sharding.py",
        ),
    },
}


# Files that hold measured seconds, and those of processes that were killed.
MEASURED = re.compile(
    r"last/|costs\.csv|compute\.json|tensorboard|\.lock|events\.out|\.tmp$|ablation\."
)
OPTIONS = [
    "view.size=32",
    "train.epochs=2",
    "train.batch_size=8",
    "train.precision=float32",
    "train.threads=1",
    "train.compile=never",
    "train.layout=channels_last",
]


@dataclass(frozen=True)
class Job:
    """A verb to hit.

    Attributes:
        command: makes the arguments from the output and whether to resume.
        out: name of the output.
    """

    command: Callable[[Path, bool], list[str]]
    out: str


def make_jobs(data: Path, run: Path) -> dict[str, Job]:
    """The verbs, on some images and a finished run."""

    def train(recipe: str, *more: str) -> Callable[[Path, bool], list[str]]:
        def command(out: Path, resume: bool) -> list[str]:
            new = ["--recipe", recipe, "--folds", "2", "--set", *OPTIONS]
            how = ["--resume"] if resume and (out / "recipe.toml").exists() else new
            return ["train", str(data), str(out), *how, *more, "--checkpoint-every", "0.01s"]

        return command

    def predict(out: Path, resume: bool) -> list[str]:
        partial = out.with_name(f"{out.name}.partial")
        how = ["--resume"] if resume and partial.exists() else []
        return ["predict", str(run), str(data), "--out", str(out), *how]

    def ablate(out: Path, resume: bool) -> list[str]:
        how = ["--resume"] if resume and out.exists() else []
        options = ["--recipe", "fast", "--set", *OPTIONS, "folds.n=2"]
        return ["ablate", str(data), str(out), "--vary", "mix.probability=0,1", *options, *how]

    def shard(out: Path, resume: bool) -> list[str]:
        if resume:
            shutil.rmtree(out, ignore_errors=True)
        return ["shard", str(data), str(out), "--megabytes", "1"]

    return {
        "train": Job(train("fast"), "run"),
        "train --processes 2": Job(train("fast", "--processes", "2"), "run"),
        "probe": Job(train("probe"), "run"),
        "predict": Job(predict, "prediction.csv"),
        "ablate": Job(ablate, "ablation"),
        "shard": Job(shard, "shards"),
    }


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a verb in a process group of its own."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "bestiary", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def children(process: int) -> list[int]:
    """The children of a process, and theirs."""
    done = subprocess.run(
        ["pgrep", "-P", str(process)], capture_output=True, text=True, check=False
    )
    found = [int(line) for line in done.stdout.split()]
    return found + [inner for child in found for inner in children(child)]


def hit(process: subprocess.Popen[bytes], kind: str, rng: random.Random) -> str:
    """Hit a running verb; return what was done."""
    if kind == "stop":
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.2, 2))
        os.killpg(process.pid, signal.SIGCONT)
        return kind
    inner = children(process.pid)
    if kind == "child" and inner:
        os.kill(rng.choice(inner), signal.SIGKILL)
        return kind
    os.killpg(process.pid, signal.SIGKILL)
    return "all"


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file, without measured values."""
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    found = {}
    for file in files:
        name = file.name if file == out else file.relative_to(out).as_posix()
        if MEASURED.search(name):
            continue
        content = file.read_bytes()
        if name.endswith("history.csv"):
            lines = content.decode().splitlines()
            content = "\n".join(line.rsplit(",", 2)[0] for line in lines).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def finish(job: Job, out: Path, kinds: list[str], whole: float, rng: random.Random) -> list[str]:
    """Run a verb with the given hits until it ends; return what was done."""
    done = []
    log = out.with_name(f"{out.name}.log")
    resume = False
    while True:
        process = start(job.command(out, resume), log)
        resume = True
        if kinds:
            kind = kinds.pop()
            time.sleep(rng.uniform(0.2, 0.9) * whole)
            if process.poll() is None:
                done.append(hit(process, kind, rng))
        status = process.wait(timeout=600)
        if status == 0:
            return done
        text = log.read_text(errors="replace")
        if "Traceback" in text:
            raise SystemExit(f"{out}: a traceback; see below\n{text[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    tally = Counter[tuple[str, str]]()
    n_runs = n_same = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        draw_sample(place / "data", species=3, per_species=16, size=96)
        jobs = make_jobs(place / "data", place / "train" / "whole" / "run")
        expected = {}
        seconds = {}
        for name, job in jobs.items():
            out = place / name.replace(" ", "") / "whole" / job.out
            out.parent.mkdir(parents=True)
            began = time.perf_counter()
            finish(job, out, [], 0, rng)
            seconds[name] = time.perf_counter() - began
            expected[name] = digests(out)
        while sum(tally.values()) < args.kills:
            name = rng.choice(list(jobs))
            n_runs += 1
            out = place / name.replace(" ", "") / str(n_runs) / jobs[name].out
            out.parent.mkdir(parents=True)
            kinds = [rng.choice(["all", "all", "child", "stop"]) for _ in range(3)]
            for kind in finish(jobs[name], out, kinds, seconds[name], rng):
                tally[name, kind] += 1
            got = digests(out)
            n_same += got == expected[name]
            if got != expected[name]:
                names = set(got) ^ set(expected[name])
                names |= {key for key in got if got[key] != expected[name].get(key)}
                print(f"{name}: differs in {sorted(names)[:5]}", flush=True)
            print(f"{sum(tally.values())} hits, {n_same} of {n_runs} the same", flush=True)
            shutil.rmtree(out.parent)
    print(f"hits: {dict(tally)}")
    print(f"{n_same} of {n_runs} that were hit and went on end in the same files")
    hits = {
        kind: sum(count for (_, other), count in tally.items() if other == kind)
        for kind in ("all", "child", "stop")
    }
    record("kill-verbs-same-files", n_same / n_runs, n_runs, "verbs", details={"hits": hits})
    raise SystemExit(n_same != n_runs)


if __name__ == "__main__":
    recording(main, __file__)
