"""The files of wrong_inputs.py: odd images, tables, recipes, weights and damaged runs."""

import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import read_oof, write_oof

RECIPE = """
[model]
backbone = "torchvision/shufflenet_v2_x0_5"
weights = "none"
[view]
size = 32
[train]
epochs = 1
batch_size = 8
"""


class Evil:
    """A pickle that runs a command when it is loaded."""

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return os.system, ("touch /tmp/bestiary-was-hacked",)


def bomb() -> bytes:
    """A small PNG that claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def make_places(folder: Path) -> dict[str, Path]:
    """Create everything that the cases name in braces: name -> path."""
    places = {"new": folder / "new", "folder": folder / "folder", "noise": folder / "noise"}
    _make_data(folder, places)
    _make_tables(folder, places)
    _make_recipes(folder, places)
    _make_runs(folder, places)
    return places


def _make_data(folder: Path, places: dict[str, Path]) -> None:
    for name in ("empty", "one", "flat", "broken", "bombs", "loop", "foreign", "same"):
        places[name] = folder / name
        places[name].mkdir()
    places["data"] = folder / "data"
    draw_sample(places["data"], species=3, per_species=4, size=48)
    images = sorted(places["data"].rglob("*.jpg"))
    places["file"] = folder / "file"
    places["file"].write_text("x")
    places["bomb"] = folder / "bomb.png"
    places["bomb"].write_bytes(bomb())
    for name, inside, content in (
        ("one", "a/1.jpg", images[0].read_bytes()),
        ("flat", "1.jpg", images[0].read_bytes()),
        ("broken", "a/1.jpg", b"<html>"),
        ("broken", "b/1.jpg", b""),
        ("bombs", "a/1.png", bomb()),
        ("bombs", "b/2.png", bomb()),
        ("same", "a/1.jpg", images[0].read_bytes()),
        ("same", "b/1.jpg", images[1].read_bytes()),
        ("foreign", "x/1.jpg", images[0].read_bytes() + b" "),
        ("foreign", "y/1.jpg", images[1].read_bytes() + b" "),
    ):
        (places[name] / inside).parent.mkdir(exist_ok=True)
        (places[name] / inside).write_bytes(content)
    for name in ("a", "b"):
        (places["loop"] / name).symlink_to(places["loop"], target_is_directory=True)
    for suffix in (".toml", ".csv"):
        (folder / f"folder{suffix}").mkdir()


def _make_tables(folder: Path, places: dict[str, Path]) -> None:
    def table(name: str, text: str) -> None:
        places[name] = folder / f"{name}.csv"
        places[name].write_text(text)

    names = [
        path.relative_to(places["data"]).as_posix()
        for path in sorted(places["data"].rglob("*.jpg"))
    ]
    table("climbing", "path,label\n../../etc/passwd,a\nx.jpg,b\n")
    table("absolute", "path,label\n/etc/passwd,a\nx.jpg,b\n")
    table("null", "path,label\nx\0.jpg,a\nx.jpg,b\n")
    table("unlabeled", "path,species\nx.jpg,a\n")
    table("twice", "path,label\nx.jpg,a\nx.jpg,b\n")
    table("pathless", "path,label\n,a\nx.jpg,b\n")
    table("blank", "")
    table("table", "path,label\n" + "".join(f"{name},{name.split('/')[0]}\n" for name in names))
    table("fewfolds", f"path,fold\n{names[0]},0\n{names[1]},1\n")
    table(
        "gapfolds",
        "path,fold\n" + "".join(f"{name},{2 * (n % 2)}\n" for n, name in enumerate(names)),
    )
    for suffix in (".csv", ".parquet", ".toml"):
        (folder / f"noise{suffix}").write_bytes(bytes(range(256)) * 8)
    places["nested"] = folder / "nested.parquet"
    pl.DataFrame({"path": [{"a": 1}], "label": [[1]]}).write_parquet(places["nested"])


def _make_recipes(folder: Path, places: dict[str, Path]) -> None:
    places |= {"deep": folder / "deep", "digits": folder / "digits", "tiny": folder / "tiny.toml"}
    (folder / "deep.toml").write_text("x = " + "[" * 100_000)
    (folder / "digits.toml").write_text(f"[train]\nepochs = {'9' * 5000}\n")
    places["tiny"].write_text(RECIPE)
    places |= {
        "evil": folder / "weights.pth",
        "other": folder / "other.safetensors",
        "cut": folder / "cut.safetensors",
    }
    places["evil"].write_bytes(pickle.dumps(Evil()))
    save_file({"weight": torch.ones(3)}, places["other"])
    places["cut"].write_bytes(places["other"].read_bytes()[:40])


def _make_runs(folder: Path, places: dict[str, Path]) -> None:
    places["run"] = folder / "run"
    bestiary.train(places["data"], places["run"], recipe=places["tiny"], folds=2, quiet=True)

    def run(name: str, change: Callable[[Path], object]) -> None:
        places[name] = Path(shutil.copytree(places["run"], folder / name))
        change(places[name])

    def card(key: str, value: object) -> Callable[[Path], object]:
        def change(place: Path) -> None:
            content = json.loads((place / "ensemble.json").read_text())
            (place / "ensemble.json").write_text(json.dumps(content | {key: value}))

        return change

    def bit(place: Path) -> None:
        file = place / "fold-0/weights.safetensors"
        content = bytearray(file.read_bytes())
        content[-1000] ^= 1
        file.write_bytes(content)

    def climb(place: Path) -> None:
        (place / "SHA256SUMS").unlink()
        table = pl.read_parquet(place / "manifest.parquet").with_columns(
            path=pl.lit("../../etc/") + pl.col("path")
        )
        table.write_parquet(place / "manifest.parquet", metadata={"root": "/"})

    def cut(name: str) -> Callable[[Path], object]:
        return lambda place: (place / name).write_bytes((place / name).read_bytes()[:100])

    run("r_recipe", lambda place: (place / "recipe.toml").write_text(RECIPE))
    run("r_empty", lambda place: (place / "ensemble.json").unlink())
    run("r_future", card("format", 99))
    run("r_cut", cut("ensemble.json"))
    run(
        "r_view",
        card("view", {"size": 10**9, "resize": "squash", "crop": 1.0, "interpolation": "bilinear"}),
    )
    run("r_bit", bit)
    run(
        "r_evil",
        lambda place: (place / "fold-0/weights.safetensors").write_bytes(pickle.dumps(Evil())),
    )
    run("r_climb", climb)

    run("r_oof", cut("fold-1/oof.parquet"))
    _make_hostile_runs(folder, run)


def _make_hostile_runs(folder: Path, run: Callable[[str, Callable[[Path], object]], None]) -> None:
    """Make runs as a stranger may send them; benchmarks/harness/hostile.py has many more."""

    def cold(place: Path) -> None:
        content = json.loads((place / "ensemble.json").read_text())
        content["calibration"]["temperature"] = 1e-320
        (place / "ensemble.json").write_text(json.dumps(content))

    def nan(place: Path) -> None:
        files = FoldFiles(place / "fold-0")
        table, classes = read_oof(files)
        logits = np.full((table.height, len(classes)), np.nan, np.float32)
        column = pl.Series("logits", logits, pl.Array(pl.Float32, len(classes)))
        write_oof(files, table.with_columns(column), classes)

    run("r_cold", cold)
    run("r_nan", nan)
    run("r_link", lambda place: (place / "labels").symlink_to(folder))
    run("r_fifo", lambda place: os.mkfifo(place / "notes"))
