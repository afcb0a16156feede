"""Argument types that several verbs share."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

Location = str | Path
"""A path, or an address in an object store such as s3://bucket/run."""
Data = Annotated[Any, Parameter(show_default=False)]
"""Labeled images. On the command line a `Location`; in Python also a frame, or a list of paths."""
Labels = Annotated[Any, Parameter(parse=False)]
"""Labels of a list of paths, which the command line cannot give."""
Many = Parameter(consume_multiple=True)
"""An option that takes several values: --set a=1 b=2."""
Unlabeled = Annotated[Location | None, Parameter(name=["--unlabeled", "--unlabelled"])]
"""Images without labels, in either spelling."""
