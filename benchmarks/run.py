"""Run the scripts of an area one after the other: what `make bench AREA=speed` calls.

    python benchmarks/run.py [AREA ...] [--stale] [--data FOLDER] [--peer-python FILE] [--list]

Without AREA all areas. A script that needs the photographs, the peers or a run of yours is left
out where there are none, and named at the end, as is one that failed. --stale leaves out scripts
whose results all stand as they are, and --list only says what would be run.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from harness.scripts import AREAS, ROOT, Script, read_script, script_files
from render import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("areas", nargs="*", metavar="AREA", help=", ".join(AREAS))
    parser.add_argument("--data", type=Path, default=Path("no-photographs"))
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--stale", action="store_true", help="only scripts with stale results")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if unknown := sorted(set(args.areas) - set(AREAS)):
        parser.error(f"no area {', '.join(unknown)}; there are {', '.join(AREAS)}")
    wanted = args.areas or list(AREAS)
    scripts = [script for script in map(read_script, script_files()) if script.area in wanted]
    if args.stale:
        stale = stale_claims()
        scripts = [script for script in scripts if stale & set(script.claims)]
    left_out: list[str] = []
    failed: list[str] = []
    for script in scripts:
        for command in commands(script, args.data, args.peer_python, left_out):
            print(f"$ {shlex.join(command)}", flush=True)
            if not args.list and subprocess.run(command, cwd=ROOT, check=False).returncode:
                failed.append(shlex.join(command))
    for line in left_out:
        print(f"left out: {line}")
    for line in failed:
        print(f"failed: {line}")
    sys.exit(bool(failed))


def stale_claims() -> set[str]:
    """The claims that have a stale result."""
    return {row.line.claim for of in read_rows().values() for row in of if row.is_stale}


def commands(script: Script, data: Path, peers: str, left_out: list[str]) -> list[list[str]]:
    """The commands that can be run here; adds to `left_out` those that cannot, and why."""
    if not script.commands:
        left_out.append(f"{script.path} needs a run or a folder of yours: see its first lines")
    found = []
    for line in script.commands:
        if "{data}" in line and not data.is_dir():
            left_out.append(f"{script.path} {line}: no folder {data}; name one with --data")
        elif "{peers}" in line and not peers:
            left_out.append(f"{script.path} {line}: name an interpreter with --peer-python")
        else:
            words = shlex.split(line.format(data=shlex.quote(str(data)), peers=peers))
            settings = [word for word in words if word.partition("=")[0].isupper()]
            arguments = [word for word in words if word not in settings]
            start = ["env", *settings] if settings else []
            found.append([*start, sys.executable, script.path, *arguments])
    return found


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
