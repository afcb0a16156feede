"""Claim: a hostile run executes, requests, reads and writes nothing, and is one line at once.

Each run of `hostile.py` meets every verb that opens a run: show, compare (first and second),
predict, evaluate, labels, report (with and without --data), export, distill, ablate, train, serve.
A verb has 3 GB and 20 s of computing; one that computes nothing for 90 s is ended. It has no
network, where the system allows that.

    python benchmarks/reliability/hostile_runs.py [--only WORD] [--quick]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.hostile import HOSTILE, make_places
from harness.record import record, recording

CLAIMS = {
    "hostile-runs": {
        "statement": "A run of a stranger executes, fetches and writes nothing, whatever the verb",
        "unit": "runs that did",
        "bar": ("most", 0, "what one opens must be safe"),
        "watches": (
            "src/bestiary/run/*.py",
            "src/bestiary/ensemble/*.py",
            "benchmarks/harness/hostile.py",
        ),
    },
}
COMMANDS = ("",)


HERE = Path(__file__).parents[1] / "harness"


def isolated() -> list[str]:
    """The words of a command that takes the network away; none where the system does not allow."""
    words = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None:
        return []
    allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return words if allowed else []


def attack_all(folder: Path, names: list[str], *, quick: bool) -> list[dict[str, object]]:
    """Attack in one process without a network; `folder` has been laid out by `make_places`."""
    mode = "quick" if quick else "all"
    command = [*isolated(), sys.executable, str(HERE / "attacking.py"), str(folder), mode, *names]
    environment = os.environ | {
        "BESTIARY_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "2",
    }
    results = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as attacker:
        assert attacker.stdout is not None
        for line in attacker.stdout:
            results.append(json.loads(line))
            for failure in results[-1]["failures"]:
                print(failure, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    names = [name for name in HOSTILE if args.only in name]
    with tempfile.TemporaryDirectory(prefix="hostile-") as scratch:
        folder = Path(scratch)
        os.environ["BESTIARY_STATE"] = str(folder / "state")
        os.environ["BESTIARY_CACHE"] = str(folder / "cache")
        make_places(folder)
        results = attack_all(folder, names, quick=args.quick)
    failed = sum(bool(result["failures"]) for result in results)
    slowest = max(float(str(result["seconds"])) for result in results)
    network = "without a network" if isolated() else "with an audit of connections only"
    print(f"{len(results)} of {len(names)} hostile runs, {network}: {failed} failed")
    print(f"slowest run, all verbs: {slowest:.1f} s of computing")
    if len(results) < len(names):
        raise SystemExit(1)  # the attacker itself failed: what it did not try is no result
    case = "show, predict, labels, report" if args.quick else "every verb"
    case += f", only {args.only}" if args.only else ""
    details = {"s of computing, the slowest run": slowest}
    record("hostile-runs", failed, len(results), "hostile runs", case=case, details=details)
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    recording(main, __file__)
