"""The command line: parses arguments, calls the verbs of api/, prints results and errors."""

from bestiary.cli.application import build_app
from bestiary.cli.program import main, run
from bestiary.cli.verbs import VERBS

__all__ = ["VERBS", "build_app", "main", "run"]
