"""bestiary: from a folder of labelled pictures to an honest, deployable classifier.

>>> import bestiary
>>> run = bestiary.train("pictures", "run", recipe="fast")     # doctest: +SKIP
>>> bestiary.load(run).predict(["new.jpg"])                    # doctest: +SKIP
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bestiary.api import (
        ablate,
        advise,
        compare,
        demo,
        distill,
        evaluate,
        export,
        labels,
        load,
        predict,
        probe,
        report,
        sample,
        scan,
        serve,
        shard,
        show,
        train,
    )
    from bestiary.ensemble import Ensemble
    from bestiary.errors import BestiaryError
    from bestiary.recipe import Recipe, load_recipe
    from bestiary.run import Run

__version__ = "0.1.0"

__all__ = [
    "BestiaryError",
    "Ensemble",
    "Recipe",
    "Run",
    "ablate",
    "advise",
    "compare",
    "demo",
    "distill",
    "evaluate",
    "export",
    "labels",
    "load",
    "load_recipe",
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

# Imported when first asked for, so that `bestiary --help` and `import bestiary` do not wait for PyTorch.
_HOMES = {
    "BestiaryError": "bestiary.errors",
    "Ensemble": "bestiary.ensemble",
    "Recipe": "bestiary.recipe",
    "Run": "bestiary.run",
    "load_recipe": "bestiary.recipe",
}


class _Package(ModuleType):
    """A package in which importing `bestiary.train` or `bestiary.evaluate` does not hide the verb of that name.

    Python binds a subpackage to its parent when it is first imported; the verbs are what users mean by these names, and
    ``from bestiary.train import ...`` works all the same.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bestiary' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "bestiary.api")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
