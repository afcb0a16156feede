"""The scripts of the areas -> their claims and commands, read from their text: nothing is run.

A script declares two literals. CLAIMS has what it measures, by the name of the claim:

    statement: what should be true, in a sentence.
    unit: of the judged values, such as "times as fast".
    bar: optional; ("least", number, why), ("most", number, why) or ("within", [low, high], why).
    watches: optional globs of the files that the figure depends on, besides the script itself; a
        name of WATCHED stands for several.

COMMANDS has the lines of arguments of `make bench`; "{data}" stands for the folder of photographs,
"{peers}" for the interpreter that has the peers, and words such as OMP_NUM_THREADS=1 in front are
set in the environment. A script without commands needs something that `make bench` cannot give.
"""

import ast
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
AREAS = {
    "speed": "Speed",
    "accuracy": "Accuracy",
    "honesty": "Honesty",
    "reliability": "Reliability",
    "scale": "Scale",
}
"""Folder -> title of its page."""
OPERATORS = ("least", "most", "within")
WATCHED = {
    "@training": (
        "src/bestiary/training/loop.py",
        "src/bestiary/training/step.py",
        "src/bestiary/training/malloc.py",
        "src/bestiary/data/loader.py",
        "src/bestiary/data/workers.py",
        "src/bestiary/data/views.py",
        "src/bestiary/data/augment.py",
        "src/bestiary/data/store.py",
        "src/bestiary/data/decode.py",
        "benchmarks/contenders/with_*.py",
        "benchmarks/contenders/compute_only.py",
        "benchmarks/contenders/described.py",
    ),
    "@predicting": (
        "src/bestiary/ensemble/ensemble.py",
        "src/bestiary/ensemble/predictions.py",
        "src/bestiary/model/engine.py",
        "src/bestiary/model/openvino_runtime.py",
        "src/bestiary/data/decode.py",
        "benchmarks/contenders/predict_*.py",
    ),
    "@views": (
        "src/bestiary/data/views.py",
        "src/bestiary/data/decode.py",
        "src/bestiary/data/loader.py",
        "src/bestiary/data/store.py",
        "src/bestiary/training/malloc.py",
    ),
    "@best": (
        "src/bestiary/recipe/shipped/best.toml",
        "src/bestiary/training/loop.py",
        "src/bestiary/training/lda_head.py",
        "src/bestiary/training/optimizer.py",
        "src/bestiary/training/weight_averaging.py",
        "src/bestiary/data/views.py",
        "src/bestiary/data/augment.py",
    ),
    "@heads": (
        "src/bestiary/training/lda_head.py",
        "src/bestiary/training/head.py",
        "src/bestiary/training/frozen_features.py",
    ),
    "@checkpoints": (
        "src/bestiary/training/checkpointer.py",
        "src/bestiary/training/checkpoint.py",
        "src/bestiary/training/fold.py",
        "src/bestiary/atomic.py",
        "src/bestiary/run/run.py",
        "src/bestiary/run/oof.py",
        "src/bestiary/run/checksums.py",
        "src/bestiary/run/json_files.py",
        "src/bestiary/run/layout.py",
    ),
    "@commands": (
        "src/bestiary/cli/*.py",
        "src/bestiary/api/arguments.py",
        "src/bestiary/display.py",
    ),
    "@export": (
        "src/bestiary/exporting/export.py",
        "src/bestiary/exporting/graph.py",
        "src/bestiary/exporting/agreement.py",
        "src/bestiary/exporting/sample.py",
    ),
    "@web": (
        "src/bestiary/exporting/web_page.py",
        "src/bestiary/exporting/web_runtime.py",
        "src/bestiary/exporting/web/**",
    ),
    "@intervals": (
        "src/bestiary/stats/bootstrap.py",
        "src/bestiary/stats/intervals.py",
        "src/bestiary/stats/metrics.py",
    ),
}
"""What many claims depend on, by the name that stands for it in their `watches`."""
FIELDS = {"statement", "unit", "bar", "watches"}


@dataclass(frozen=True)
class Bar:
    """What the judged values of a claim must reach.

    Attributes:
        op: least, most or within.
        value: the bound; for within the lower and the upper one.
        why: where the bar comes from.
    """

    op: str
    value: float | tuple[float, float]
    why: str

    def holds(self, value: float) -> bool:
        """Whether a value reaches the bar."""
        if isinstance(self.value, tuple):
            return self.value[0] <= value <= self.value[1]
        return value >= self.value if self.op == "least" else value <= self.value


@dataclass(frozen=True)
class Claim:
    """What a script measures.

    Attributes:
        name: of the claim and of its file in results/.
        area: folder of the script.
        script: path of the script, from the root of the project.
        statement: what should be true.
        unit: of the judged values.
        bar: what they must reach, if anything.
        watches: globs of the files that the figure depends on.
    """

    name: str
    area: str
    script: str
    statement: str
    unit: str
    bar: Bar | None
    watches: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    """A script of an area.

    Attributes:
        path: from the root of the project.
        area: its folder.
        claims: what it measures, by name.
        commands: lines of arguments of `make bench`.
    """

    path: str
    area: str
    claims: dict[str, Claim]
    commands: tuple[str, ...]


def read_script(file: Path, root: Path = ROOT) -> Script:
    """Read the claims and commands of a script.

    Raises:
        ValueError: a declaration is missing, is no literal or is not valid; names the file.
    """
    path = file.relative_to(root).as_posix()
    found: dict[str, Any] = {}
    for node in ast.parse(file.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ("CLAIMS", "COMMANDS"):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    raise ValueError(f"{path}:{node.lineno}: {target.id} is no literal") from None
    if not found.get("CLAIMS"):
        raise ValueError(f"{path}: declares no CLAIMS")
    area = file.parent.name
    claims = {name: _claim(name, area, path, of) for name, of in found["CLAIMS"].items()}
    return Script(path, area, claims, tuple(found.get("COMMANDS", ())))


def _claim(name: str, area: str, path: str, fields: dict[str, Any]) -> Claim:
    if unknown := set(fields) - FIELDS:
        raise ValueError(f"{path}: claim {name} has {sorted(unknown)}; known are {sorted(FIELDS)}")
    if missing := {"statement", "unit"} - set(fields):
        raise ValueError(f"{path}: claim {name} has no {sorted(missing)}")
    bar = read_bar(fields.get("bar"), f"{path}: claim {name}")
    globs = (WATCHED.get(glob, (glob,)) for glob in fields.get("watches", ()))
    watches = (path, *chain.from_iterable(globs))
    return Claim(name, area, path, fields["statement"], fields["unit"], bar, watches)


def read_bar(value: Any, where: str) -> Bar | None:
    """Check a bar, as a script or a line of results has it.

    Raises:
        ValueError: it is no bar; names `where`.
    """
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 3 or value[0] not in OPERATORS:
        raise ValueError(f"{where}: the bar {value!r} is not (least, most or within; value; why)")
    op, bound, why = value
    numbers = bound if op == "within" else [bound]
    if not isinstance(numbers, list | tuple) or len(numbers) != (2 if op == "within" else 1):
        raise ValueError(f"{where}: the bar {value!r} needs two bounds")
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{where}: the bar {value!r} has a bound that is no number")
    bounds = tuple(map(float, numbers))
    return Bar(op, (bounds[0], bounds[1]) if op == "within" else bounds[0], str(why))


def script_files(root: Path = ROOT) -> list[Path]:
    """List the scripts of all areas."""
    folders = [root / "benchmarks" / area for area in AREAS]
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return [file for file in files if file.name not in ("__init__.py", "table.py")]


def all_claims(root: Path = ROOT) -> dict[str, Claim]:
    """Read the claims of all scripts, by name.

    Raises:
        ValueError: a script's declaration is not valid, or two scripts declare one claim.
    """
    claims: dict[str, Claim] = {}
    for file in script_files(root):
        for name, claim in read_script(file, root).claims.items():
            if name in claims:
                other = claims[name].script
                raise ValueError(f"{claim.script}: claim {name} is declared in {other} too")
            claims[name] = claim
    return claims
