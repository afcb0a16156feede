"""The `bestiary` command, also as ``python -m bestiary``: its entry point.

Imports little before Ctrl-C is handled: the rest takes Python a third of a second.
"""

import os
import signal
from types import FrameType


def run() -> None:
    """Run the command. Ctrl-C ends it with status 130 and no traceback, from beginning to end."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is ignored under nohup
        signal.signal(signal.SIGINT, _leave)
    from bestiary.cli import run as run_command

    run_command()


def _leave(number: int, _: FrameType | None) -> None:
    """End at once: an exception inside an import may come out of it as another one."""
    os._exit(128 + number)


if __name__ == "__main__":
    run()
