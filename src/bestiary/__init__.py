"""bestiary: from a folder of labeled images to an honest, deployable classifier.

>>> import bestiary
>>> run = bestiary.probe("images", "my-first-run", quiet=True)
>>> print(run.score_line)
Out-of-fold accuracy ... (95 % interval ...), 36 images
>>> labels = bestiary.load("run").predict(["new.jpg"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bestiary.version import VERSION

if TYPE_CHECKING:
    from bestiary.api.ablate import ablate
    from bestiary.api.advise import advise
    from bestiary.api.cache import cache
    from bestiary.api.compare import compare
    from bestiary.api.count import count
    from bestiary.api.curve import curve
    from bestiary.api.demo import demo
    from bestiary.api.distill import distill
    from bestiary.api.drift import drift
    from bestiary.api.ensemble import Ensemble
    from bestiary.api.evaluate import evaluate
    from bestiary.api.export import export
    from bestiary.api.join import join
    from bestiary.api.labels import labels
    from bestiary.api.load import load
    from bestiary.api.next import next
    from bestiary.api.options import options
    from bestiary.api.predict import predict
    from bestiary.api.probe import probe
    from bestiary.api.push import push
    from bestiary.api.report import report
    from bestiary.api.run import Run
    from bestiary.api.sample import sample
    from bestiary.api.scan import scan
    from bestiary.api.schema import schema
    from bestiary.api.serve import serve
    from bestiary.api.shard import shard
    from bestiary.api.show import show
    from bestiary.api.train import train
    from bestiary.errors import BestiaryError
    from bestiary.recipe.load import load_recipe
    from bestiary.recipe.options import Recipe

__version__ = VERSION

__all__ = [
    "BestiaryError",
    "Ensemble",
    "Recipe",
    "Run",
    "ablate",
    "advise",
    "cache",
    "compare",
    "count",
    "curve",
    "demo",
    "distill",
    "drift",
    "evaluate",
    "export",
    "join",
    "labels",
    "load",
    "load_recipe",
    "next",
    "options",
    "predict",
    "probe",
    "push",
    "report",
    "sample",
    "scan",
    "schema",
    "serve",
    "shard",
    "show",
    "train",
]

# The modules of the public names that are not verbs. A verb is in the module of its name in api/.
_MODULES = {
    "BestiaryError": "bestiary.errors",
    "Ensemble": "bestiary.api.ensemble",
    "Recipe": "bestiary.recipe.options",
    "Run": "bestiary.api.run",
    "load_recipe": "bestiary.recipe.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import bestiary` is fast."""
    if name not in __all__:
        raise AttributeError(f"module 'bestiary' has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, f"bestiary.api.{name}")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
