"""Claim: whichever file of a run fails to be written, nothing is lost or silently wrong.

Counts the files that a small run writes. Then, for each of them, three runs in which that write
goes wrong:

- fails: the disk is full when the file is flushed; the run must stop with one line that names the
  file;
- torn: half of the bytes are written, then the power fails (SIGKILL);
- lies: the disk reports success, but half of the file is missing, then the power fails.

Each run is resumed without the fault. It must end in the digests of an undisturbed run or, if the
disk lied, in one line that names a damaged file.

    OMP_NUM_THREADS=1 python benchmarks/reliability/write_faults.py [--every 1]
"""

import argparse
import errno
import itertools
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary import atomic

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.faulting import Workspace, digests, last_line
from harness.record import record, recording

CLAIMS = {
    "write-faults": {
        "statement": "A write that fails, is torn or is lied about loses nothing silently",
        "unit": "of the faults without a wrong result",
        "bar": ("least", 1.0, "nothing may be wrong in silence"),
        "watches": ("@checkpoints",),
    },
}
COMMANDS = ("OMP_NUM_THREADS=1",)


FAULTS = ("fails", "torn", "lies")


def break_write(number: int, fault: str, note: Path) -> None:
    """Make the `number`-th file that this process writes go wrong; write its name to `note`."""
    writes = iter(range(1_000_000))
    original = atomic.atomic_path

    @contextmanager
    def faulty(goal: Path, former: Path | None = None) -> Iterator[Path]:
        if next(writes) != number:
            with original(goal, former) as temporary:
                yield temporary
            return
        note.write_text(goal.name)
        with original(goal, former) as temporary:
            yield temporary
            if fault == "fails":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.truncate(temporary, temporary.stat().st_size // 2)
            if fault == "torn":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    replace_everywhere("atomic_path", faulty)


def count_writes(note: Path) -> None:
    """Append the name of every file that this process writes to `note`."""
    original = atomic.atomic_path

    @contextmanager
    def counted(goal: Path, former: Path | None = None) -> Iterator[Path]:
        with note.open("a") as file:
            file.write(f"{goal.name}\n")
        with original(goal, former) as temporary:
            yield temporary

    replace_everywhere("atomic_path", counted)


def replace_everywhere(name: str, value: object) -> None:
    """Replace atomic.`name` by `value` in every module that imported it."""
    import sys

    former = getattr(atomic, name)
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is former:
            setattr(module, name, value)


def stopped_as_expected(fault: str, status: int, output: str) -> bool:
    """Whether the faulty run was killed, or stopped with one line about the disk."""
    if fault != "fails":
        return status == -signal.SIGKILL
    return (
        status == 2
        and last_line(output).startswith("bestiary: ")
        and "No space" in last_line(output)
    )


def outcome(fault: str, status: int, output: str, same: bool) -> str:
    """The result of resuming the run."""
    if status == 0 and same:
        return "same digests"
    one_line = last_line(output).startswith("bestiary: ") and "Traceback" not in output
    return "refused with one line" if fault == "lies" and status == 2 and one_line else "WRONG"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every n-th write")
    args = parser.parse_args()
    outcomes: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    with tempfile.TemporaryDirectory() as scratch:
        place = Workspace(Path(scratch))
        note = place.folder / "writes"
        faulty = place.folder / "faulty"
        status, output = place.train(place.folder / "whole", prepare=lambda: count_writes(note))
        if status:
            raise SystemExit(output)
        names = note.read_text().splitlines()
        print(
            f"{len(names)} writes: {dict(Counter('cache' if len(n) > 30 else n for n in names))}",
            flush=True,
        )
        expected = digests(place.folder / "whole")
        for number, fault in itertools.product(range(0, len(names), args.every), FAULTS):
            run = place.folder / f"{fault}-{number}"
            status, output = place.train(
                run, prepare=lambda n=number, f=fault: break_write(n, f, faulty)
            )
            if not stopped_as_expected(fault, status, output):
                raise SystemExit(
                    f"{fault} {number} {names[number]}: exit status {status}: {output}"
                )
            status, output = place.train(run)
            result = outcome(fault, status, output, status == 0 and digests(run) == expected)
            outcomes[fault][result] += 1
            if result != "same digests":
                shown = output[-1500:] if result == "WRONG" else last_line(output)
                print(f"{fault} {number} {faulty.read_text()}: {result}: {shown}", flush=True)
    for fault, counted in outcomes.items():
        print(f"{fault}: {dict(counted)}")
    right = {fault: 1 - of["WRONG"] / of.total() for fault, of in outcomes.items()}
    same = {fault: of["same digests"] for fault, of in outcomes.items()}
    refused = {fault: of["refused with one line"] for fault, of in outcomes.items()}
    details = {"the same digests": same, "one line that names the file": refused}
    n = sum(of.total() for of in outcomes.values())
    record("write-faults", right, n, "faults", details=details, data=("drawn beasts", 48))
    raise SystemExit(any(counted["WRONG"] for counted in outcomes.values()))


if __name__ == "__main__":
    recording(main, __file__)
