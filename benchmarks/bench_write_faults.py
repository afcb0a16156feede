"""Claim: whichever of its files a run fails to write, nothing is lost and nothing lies.

Counts the files that a small run writes. Then, for each of them, three runs in which that one write
goes wrong:

- fails: the disk is full when the file is flushed; the run must stop with one line that names the
  file;
- torn: half of the bytes are written and the power goes (SIGKILL);
- lies: the disk reports success, but half of the file is missing, and then the power goes.

Each run is resumed without the fault. It must end in the digests of the run that nothing happened
to, or, where the disk has lied, in one line that names a damaged file.

    OMP_NUM_THREADS=1 python benchmarks/bench_write_faults.py [--every 1]
"""

import argparse
import errno
import itertools
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary import atomic
from faulting import Place, digests, last_line

FAULTS = ("fails", "torn", "lies")


def spoil(number: int, fault: str, note: Path) -> None:
    """Make the `number`-th file that this process writes go wrong, and write its name to `note`."""
    writes = iter(range(1_000_000))
    whole = atomic.atomic_path

    @contextmanager
    def spoilt(goal: Path, former: Path | None = None) -> Iterator[Path]:
        if next(writes) != number:
            with whole(goal, former) as temporary:
                yield temporary
            return
        note.write_text(goal.name)
        with whole(goal, former) as temporary:
            yield temporary
            if fault == "fails":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.truncate(temporary, temporary.stat().st_size // 2)
            if fault == "torn":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    replace_everywhere("atomic_path", spoilt)


def count_writes(note: Path) -> None:
    """Write the name of every file that this process writes to `note`, one a line."""
    whole = atomic.atomic_path

    @contextmanager
    def counted(goal: Path, former: Path | None = None) -> Iterator[Path]:
        with note.open("a") as file:
            file.write(f"{goal.name}\n")
        with whole(goal, former) as temporary:
            yield temporary

    replace_everywhere("atomic_path", counted)


def replace_everywhere(name: str, value: object) -> None:
    """Put `value` in place of atomic.`name` in every module that has imported it."""
    import sys

    former = getattr(atomic, name)
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is former:
            setattr(module, name, value)


def stopped_as_expected(fault: str, status: int, said: str) -> bool:
    """Whether the run with the fault was killed, or has stopped with one line about the disk."""
    if fault != "fails":
        return status == -signal.SIGKILL
    return (
        status == 2 and last_line(said).startswith("bestiary: ") and "No space" in last_line(said)
    )


def outcome(fault: str, status: int, said: str, same: bool) -> str:
    """What became of the run when it was resumed."""
    if status == 0 and same:
        return "same digests"
    one_line = last_line(said).startswith("bestiary: ") and "Traceback" not in said
    return "refused with one line" if fault == "lies" and status == 2 and one_line else "WRONG"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try every so manieth write only")
    asked = parser.parse_args()
    outcomes: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch))
        note, spoilt = place.folder / "writes", place.folder / "spoilt"
        status, said = place.train(place.folder / "whole", prepare=lambda: count_writes(note))
        if status:
            raise SystemExit(said)
        names = note.read_text().splitlines()
        print(
            f"{len(names)} writes: {dict(Counter('cache' if len(n) > 30 else n for n in names))}",
            flush=True,
        )
        expected = digests(place.folder / "whole")
        for number, fault in itertools.product(range(0, len(names), asked.every), FAULTS):
            run = place.folder / f"{fault}-{number}"
            status, said = place.train(run, prepare=lambda n=number, f=fault: spoil(n, f, spoilt))
            if not stopped_as_expected(fault, status, said):
                raise SystemExit(f"{fault} {number} {names[number]}: exit status {status}: {said}")
            status, said = place.train(run)
            became = outcome(fault, status, said, status == 0 and digests(run) == expected)
            outcomes[fault][became] += 1
            if became != "same digests":
                shown = said[-1500:] if became == "WRONG" else last_line(said)
                print(f"{fault} {number} {spoilt.read_text()}: {became}: {shown}", flush=True)
    for fault, counted in outcomes.items():
        print(f"{fault}: {dict(counted)}")
    raise SystemExit(any(counted["WRONG"] for counted in outcomes.values()))


if __name__ == "__main__":
    main()
