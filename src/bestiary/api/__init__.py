"""The verbs, one function each, for Python and the command line alike: composition only.

A function's signature and docstring are the command's options and help. What it returns prints itself; anything heavy
is imported when the verb runs.
"""

from bestiary.api.ablating import ablate
from bestiary.api.advising import advise
from bestiary.api.pictures import sample, scan, shard
from bestiary.api.reading import compare, labels, report, show
from bestiary.api.serving import serve
from bestiary.api.shipping import distill, export
from bestiary.api.training import demo, probe, train
from bestiary.api.using import evaluate, load, predict

__all__ = [
    "ablate",
    "advise",
    "compare",
    "demo",
    "distill",
    "evaluate",
    "export",
    "labels",
    "load",
    "predict",
    "probe",
    "report",
    "sample",
    "scan",
    "serve",
    "shard",
    "show",
    "train",
]
