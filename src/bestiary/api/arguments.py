"""How verbs take arguments that several of them share."""

from pathlib import Path

from cyclopts import Parameter

Place = str | Path
Many = Parameter(consume_multiple=True)
