"""A good run -> hostile ones, as a stranger may send them: each field, each file, each kind.

`make_places` trains one small run and lays out what the hostile ones aim at: a folder with private
images and files. `HOSTILE` names each change of a copy of that run; checksums are made right again,
so that only what is under test is wrong.
"""

import json
import os
import pickle
import shutil
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run.checksums import file_digest
from bestiary.run.finished_files import FILES_KEY
from bestiary.run.layout import CHECKSUMS, ENSEMBLE, RECIPE, STARTING_FILES, FoldFiles
from bestiary.run.oof import write_oof
from bestiary.tables import read_metadata

RECIPE_TEXT = """
[model]
backbone = "timm/test_resnet"
weights = "none"
[view]
size = 32
[train]
epochs = 1
batch_size = 8
precision = "float32"
"""
TERABYTE = 1 << 40
MAX_SEALED = 1 << 30  # bytes of a file whose checksum is made right; a terabyte is refused unread
ESCAPE = "\x1b]0;evil\x07\x1b[31mred\u202e"


class Pickled:
    """A pickle that runs a command when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/bestiary-was-hacked",)


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        run: a good run.
        data: its images.
        new: labeled images that are new to it.
        outside: private files and images that no verb may read or write.
    """

    run: Path
    data: Path
    new: Path
    outside: Path


Change = Callable[[Path, Places], object]
HOSTILE: dict[str, Change] = {}


def make_places(folder: Path) -> Places:
    """Train the good run and lay out the files that hostile ones aim at."""
    places = Places(folder / "run", folder / "data", folder / "new", folder / "outside")
    draw_sample(places.data, species=3, per_species=6, size=48)
    draw_sample(places.new, species=3, per_species=2, size=48, seed=9)
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE_TEXT)
    bestiary.train(places.data, places.run, recipe=recipe, folds=2, quiet=True)
    shutil.copytree(places.data, places.outside / "images")
    shutil.copytree(places.run, places.outside / "run")
    (places.outside / "victim").write_text("must stay\n")
    # A file of references that runs a command by its template, as fsspec's `reference` did.
    command = (
        "{% set x = cycler.__init__.__globals__.os.system('touch /tmp/bestiary-was-hacked') %}"
    )
    references = {"version": 1, "templates": {"u": command}, "refs": {"a": ["{{u}}", 0, 1]}}
    (places.outside / "evil.json").write_text(json.dumps(references))
    return places


def make_hostile(name: str, places: Places, folder: Path) -> Path:
    """Copy the good run and change it."""
    run = folder / name.replace(" ", "-")
    shutil.copytree(places.run, run, symlinks=True)
    HOSTILE[name](run, places)
    _seal_finished(run)
    return run


def _seal_finished(run: Path) -> None:
    """Make the checksums in ensemble.json right, as who means harm would."""
    if not _is_readable(run / ENSEMBLE):
        return
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        card = json.loads((run / ENSEMBLE).read_text())
        before = dict(card[FILES_KEY])
        for name in before:
            if _is_readable(run / name):
                card[FILES_KEY][name] = file_digest(run / name)
        if card[FILES_KEY] != before:
            (run / ENSEMBLE).write_text(json.dumps(card))


def _is_readable(file: Path) -> bool:
    """Whether it is a file that ends: no link, no FIFO, not a terabyte."""
    if not os.path.lexists(file):
        return False
    status = file.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_size <= MAX_SEALED


def seal(run: Path) -> None:
    """Make the checksums of the starting files right."""
    lines = []
    for name in (*STARTING_FILES, RECIPE):
        file = run / name
        if _is_readable(file):
            lines.append(f"{file_digest(file)}  {name}\n")
    (run / CHECKSUMS).write_text("".join(lines))


def _root(place: str) -> Change:
    def change(run: Path, places: Places) -> None:
        table = pl.read_parquet(run / "manifest.parquet")
        root = place.replace("OUTSIDE", str(places.outside))
        table.write_parquet(run / "manifest.parquet", metadata={"root": root})
        seal(run)

    return change


def _column(name: str, column: str, value: object, root: str = "") -> Change:
    """Replace a column of one of the Parquet tables."""

    def change(run: Path, places: Places) -> None:
        table = pl.read_parquet(run / name)
        metadata = read_metadata(run / name)
        metadata.pop("ARROW:schema", None)
        if root:
            metadata["root"] = root.replace("OUTSIDE", str(places.outside))
        literal = value if isinstance(value, pl.Expr) else pl.lit(value)
        table.with_columns(literal.alias(column)).write_parquet(run / name, metadata=metadata)
        seal(run)

    return change


def _json(name: str, *steps: str, value: object) -> Change:
    """Replace a value inside a JSON file."""

    def change(run: Path, _: Places) -> None:
        content = json.loads((run / name).read_text())
        inner = content
        for step in steps[:-1]:
            inner = inner[step]
        inner[steps[-1]] = value
        (run / name).write_text(json.dumps(content))

    return change


def _text(name: str, text: str | bytes) -> Change:
    def change(run: Path, _: Places) -> None:
        content = text.encode() if isinstance(text, str) else text
        (run / name).write_bytes(content)
        if name in STARTING_FILES or name == RECIPE:
            seal(run)

    return change


def _replaced(text: str, other: str) -> Change:
    """Replace a piece of recipe.toml."""

    def change(run: Path, _: Places) -> None:
        recipe = (run / RECIPE).read_text()
        assert text in recipe
        (run / RECIPE).write_text(recipe.replace(text, other))
        seal(run)

    return change


def _link(name: str, target: str) -> Change:
    def change(run: Path, places: Places) -> None:
        _remove(run / name)
        (run / name).symlink_to(target.replace("OUTSIDE", str(places.outside)))

    return change


def _fifo(name: str) -> Change:
    def change(run: Path, _: Places) -> None:
        _remove(run / name)
        os.mkfifo(run / name)

    return change


def _huge(name: str) -> Change:
    """A file of a terabyte that takes no space."""

    def change(run: Path, _: Places) -> None:
        (run / name).touch()
        os.truncate(run / name, TERABYTE)

    return change


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _logits(value: float) -> Change:
    """Put a number into the out-of-fold logits, with a right checksum."""

    def change(run: Path, _: Places) -> None:
        files = FoldFiles(run / "fold-0")
        table = pl.read_parquet(files.oof)
        classes = json.loads(read_metadata(files.oof)["classes"])
        logits = table["logits"].to_numpy().copy()
        logits[0, 0] = value
        dtype = pl.Array(pl.Float32, len(classes))
        write_oof(files, table.with_columns(pl.Series("logits", logits, dtype)), classes)

    return change


def _parquet_bomb(name: str) -> Change:
    def change(run: Path, _: Places) -> None:
        rows = 300_000_000
        column = "path" if name != "fold-0/oof.parquet" else "label"
        bomb = pl.select(pl.repeat("a", rows).alias(column))
        bomb.write_parquet(run / name)
        if name in STARTING_FILES:
            seal(run)

    return change


def _duplicated(run: Path, _: Places) -> None:
    """Ten thousand rows of one image in both tables: a join of them has a hundred million."""
    for name in ("manifest.parquet", "folds.parquet"):
        table = pl.read_parquet(run / name)
        metadata = {"root": "/"} if name == "manifest.parquet" else None
        pl.concat([table[:1]] * 10_000).write_parquet(run / name, metadata=metadata)
    seal(run)


def _socket(run: Path, _: Places) -> None:
    here = Path.cwd()
    os.chdir(run)  # the name of a socket is short
    shutil.rmtree("figures", ignore_errors=True)  # runs have a folder of this name
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("figures")
    os.chdir(here)


def _weights(change_tensors: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    """Change the tensors of a member, without a checksum."""

    def change(run: Path, _: Places) -> None:
        from safetensors import safe_open

        file = run / "fold-0/weights.safetensors"
        with safe_open(file, "pt") as archive:
            card = json.loads(archive.metadata()["bestiary"])
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
        card.pop("sha256")
        change_tensors(tensors)
        save_file(tensors, file, metadata={"bestiary": json.dumps(card)})

    return change


def _member_card(key: str, value: str) -> Change:
    def change(run: Path, _: Places) -> None:
        from safetensors import safe_open

        file = run / "fold-0/weights.safetensors"
        with safe_open(file, "pt") as archive:
            card = json.loads(archive.metadata()["bestiary"])
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
        card.pop("sha256")
        save_file(tensors, file, metadata={"bestiary": json.dumps(card | {key: value})})

    return change


def _sparse_tensor(run: Path, _: Places) -> None:
    """A member with one more tensor, of 100 GB that take no space."""
    file = run / "fold-0/weights.safetensors"
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    end = max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
    large = 60 << 30
    header["extra"] = {"dtype": "U8", "shape": [large], "data_offsets": [end, end + large]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    os.truncate(file, 8 + len(text) + end + large)


def _wide_head(tensors: dict[str, torch.Tensor]) -> None:
    for key in ("network.fc.weight", "network.fc.bias"):
        tensors[key] = torch.zeros((10**9, 0) if key.endswith("weight") else (3,))


def _ood(**changes: Any) -> Change:
    def change(run: Path, _: Places) -> None:
        from safetensors.numpy import load_file

        arrays = load_file(run / "ood.safetensors")
        for key, value in changes.items():
            arrays[key] = np.full_like(arrays[key], value)
        save_arrays(arrays, run / "ood.safetensors")

    return change


def _fill() -> None:
    """List every hostile run."""
    addresses = {
        "chained reference": "reference://::file://OUTSIDE/evil.json",
        "chained cache": "simplecache::http://127.0.0.1:9/x",
        "file cache": "filecache::s3://bucket/x",
        "zip": "zip://OUTSIDE/x.zip",
        "github": "github://owner:repo@main/x",
        "http": "http://127.0.0.1:9/x",
        "s3": "s3://bucket/x",
        "gs": "gs://bucket/x",
        "file": "file://OUTSIDE/images",
        "plain": "OUTSIDE/images",
        "climbing": "OUTSIDE/images/../../outside/images",
        "escape": ESCAPE,
        "long": "x" * 1_000_000,
        "empty": "",
    }
    for name, address in addresses.items():
        HOSTILE[f"root {name}"] = _root(address)
    HOSTILE["root dev zero"] = _column("manifest.parquet", "path", pl.lit("zero"), "/dev")
    HOSTILE["root dev one zero"] = _column(
        "manifest.parquet",
        "path",
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("zero")).otherwise("path"),
        "/dev",
    )
    links = {
        CHECKSUMS: "/dev/zero",
        "ensemble.json": "/dev/zero",
        "recipe.toml": "OUTSIDE/run/recipe.toml",
        "manifest.parquet": "OUTSIDE/run/manifest.parquet",
        "metrics.json": "OUTSIDE/run/metrics.json",
        "figures": "OUTSIDE",
        "labels": "OUTSIDE",
        "report.html": "OUTSIDE/victim",
        ".lock": "OUTSIDE/victim",
        "fold-0": "OUTSIDE/run/fold-0",
        "fold-0/last": "OUTSIDE",
        "fold-0/.lock": "OUTSIDE/victim",
        "fold-0/weights.safetensors": "/dev/zero",
        "fold-0/tensorboard": "OUTSIDE",
        "fold-0/costs.csv": "/proc/self/environ",
        "compute.json": "compute.json",
        "history": "OUTSIDE/none",
    }
    for name, target in links.items():
        HOSTILE[f"link {name.replace('/', ' ')}"] = _link(name, target)
    files = [
        "ensemble.json",
        "recipe.toml",
        CHECKSUMS,
        "manifest.parquet",
        "folds.parquet",
        "fold-0/oof.parquet",
        "fold-0/weights.safetensors",
        "fold-0/history.csv",
        "fold-0/costs.csv",
        "metrics.json",
        "compute.json",
        "ood.safetensors",
        "quarantine.csv",
    ]
    for name in files:
        HOSTILE[f"fifo {name.replace('/', ' ')}"] = _fifo(name)
        HOSTILE[f"huge {name.replace('/', ' ')}"] = _huge(name)
        HOSTILE[f"noise {name.replace('/', ' ')}"] = _text(name, bytes(range(256)) * 40)
        HOSTILE[f"deep {name.replace('/', ' ')}"] = _text(name, "[" * 200_000)
    HOSTILE["socket"] = _socket
    _fill_values()


def _fill_values() -> None:
    digits = int("9" * 400)
    for name, steps, values in (
        ("ensemble.json", ("calibration", "temperature"), (1e-320, 1e300, digits, "x", [], True)),
        ("ensemble.json", ("calibration", "accepted"), ({}, {"0.01": digits}, None)),
        ("ensemble.json", ("calibration", "prediction_sets"), ({"0.9": 7}, float("nan"))),
        ("ensemble.json", ("view", "size"), (10**9, -1, digits, "32")),
        ("ensemble.json", ("view", "crop"), (1e-320, digits, float("inf"))),
        ("ensemble.json", ("view", "white_level"), (1e-320, digits)),
        ("ensemble.json", ("members",), ([{"fold": 10**9}], [{"fold": 0}] * 90, [], digits)),
        ("ensemble.json", ("classes",), ([], ["a", "a"], [ESCAPE, "b", "c"], "abc", digits)),
        ("ensemble.json", ("average",), ("mean", digits)),
        ("ensemble.json", ("tta",), (99, digits)),
        ("ensemble.json", ("precision",), ("float8", ESCAPE)),
        ("ensemble.json", ("format",), (digits, ESCAPE)),
        ("metrics.json", ("oof", "accuracy", "value"), (digits, 1e300, float("nan"), "high")),
        ("metrics.json", ("oof", "accuracy", "n"), (digits, -5, 0.5)),
        ("metrics.json", ("oof", "ensemble", "effective"), (0, digits)),
        ("metrics.json", ("oof",), ({}, digits)),
        ("compute.json", ("cpu",), (digits, {"precision": "x"}, [])),
    ):
        for number, value in enumerate(values):
            HOSTILE[f"{' '.join(steps)} {number}"] = _json(name, *steps, value=value)
    for number, value in enumerate((float("nan"), float("inf"), 3e38, -3e38)):
        HOSTILE[f"logit {number}"] = _logits(value)
    columns = {
        ("manifest.parquet", "height"): (pl.lit(-1, pl.Int32), pl.lit(2**31 - 1, pl.Int32)),
        ("manifest.parquet", "label"): (ESCAPE, "x" * 100_000, None),
        ("manifest.parquet", "path"): (pl.lit("../") + pl.col("path"), pl.lit("/etc/passwd")),
        ("manifest.parquet", "sha256"): ("", None),
        ("folds.parquet", "fold"): (pl.lit(10**12), pl.lit(-5), pl.lit(0.5), pl.lit("x")),
    }
    for (table, column), values in columns.items():
        for number, column_value in enumerate(values):
            HOSTILE[f"{table} {column} {number}"] = _column(table, column, column_value)
    for table in ("manifest.parquet", "folds.parquet", "fold-0/oof.parquet"):
        HOSTILE[f"bomb {table.replace('/', ' ')}"] = _parquet_bomb(table)
    HOSTILE["rows of one image"] = _duplicated
    HOSTILE["history of inf"] = _text("fold-0/history.csv", "epoch,val_accuracy\n1,inf\n")
    HOSTILE["history of columns"] = _text("fold-0/history.csv", "a," * 5_000_000)
    HOSTILE["costs of nan"] = _text("fold-0/costs.csv", "started,seconds\nnow,nan\n")
    HOSTILE["quarantine of escapes"] = _text("quarantine.csv", f"path,reason\n{ESCAPE},x\n")
    HOSTILE["weights pickle"] = _text("fold-0/weights.safetensors", pickle.dumps(Pickled()))
    header = (1 << 60).to_bytes(8, "little")
    HOSTILE["weights header"] = _text("fold-0/weights.safetensors", header + b"{}" * 100)
    HOSTILE["weights empty"] = _weights(dict.clear)
    HOSTILE["weights wide"] = _weights(_wide_head)
    HOSTILE["weights sparse"] = _sparse_tensor
    HOSTILE["backbone hub"] = _member_card("backbone", "timm/hf-hub:evil/model")
    HOSTILE["backbone folder"] = _member_card("backbone", "timm/local-dir:/tmp")
    HOSTILE["backbone escape"] = _member_card("backbone", ESCAPE)
    HOSTILE["interpolation escape"] = _member_card("interpolation", ESCAPE)
    HOSTILE["ood nan"] = _ood(whitening=np.nan)
    HOSTILE["ood scales"] = _ood(scales=0.0)
    HOSTILE["recipe backbone"] = _replaced(
        'backbone = "timm/test_resnet"', 'backbone = "\\u001b[31m"'
    )
    HOSTILE["recipe weights"] = _replaced('weights = "none"', 'weights = "/dev/zero"')
    HOSTILE["recipe hub"] = _replaced('"timm/test_resnet"', '"timm/hf-hub:evil/model"')
    HOSTILE["recipe size"] = _replaced("size = 32", "size = 1000000")
    HOSTILE["recipe digits"] = _replaced("epochs = 1", f"epochs = {'9' * 5000}")


_fill()
