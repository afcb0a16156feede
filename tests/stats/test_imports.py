"""bestiary.stats needs NumPy and SciPy alone: its import loads neither torch nor polars."""

import json
import pkgutil
import subprocess
import sys

import bestiary.stats

SCRIPT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_stats_imports_neither_torch_nor_polars() -> None:
    modules = [
        f"bestiary.stats.{module.name}" for module in pkgutil.iter_modules(bestiary.stats.__path__)
    ]
    assert "bestiary.stats.metrics" in modules
    command = [sys.executable, "-c", SCRIPT, *modules]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(json.loads(process.stdout))
    assert {"numpy", "scipy"} <= loaded
    assert not loaded & {"torch", "polars", "safetensors", "cleanlab"}
