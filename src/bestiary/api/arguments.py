"""Argument types that several verbs share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Location = str | Path
"""A path, or an address in an object store such as s3://bucket/run."""
Many = Parameter(consume_multiple=True)
"""An option that takes several values: --set a=1 b=2."""
Unlabeled = Annotated[Location | None, Parameter(name=["--unlabeled", "--unlabelled"])]
"""Images without labels, in either spelling."""
