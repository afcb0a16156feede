"""``python -m bestiary``: the command line."""

from bestiary.cli import run

run()
