"""Wrong inputs -> the line that each gets; `--write` puts them as a table into docs/reliability.md.

Every verb against wrong values, folders, tables, recipes, images and runs.
tests/scenarios/test_wrong_inputs.py runs the same cases: one line, exit status 2, nothing written.

    python tests/scenarios/wrong_inputs.py [--write]
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.cli import main as run_command

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
START, END = "<!-- wrong inputs -->", "<!-- end of wrong inputs -->"
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

TRAIN, PREDICT = ["train", "{data}", "{new}"], ["predict", "{run}", "{data}", "--out", "{new}.csv"]


def setting(value: str) -> list[str]:
    return [*TRAIN, "--set", value]


# what is wrong: (command, words of the line)
CASES: dict[str, tuple[list[str], str]] = {
    # the command line
    "no verb of that name": (["trian"], "trian"),
    "an option that does not exist": (["show", "x", "--fast"], "--fast"),
    "an argument too few": (["train", "x"], "RUN"),
    "an argument too many": (["show", "x", "y"], "y"),
    "an empty path of data": (["train", "", "{new}"], "an argument is empty"),
    # sample
    "a number that is none": (["sample", "{new}", "--species", "many"], "many"),
    "too many species": (["sample", "{new}", "--species", "500"], "500"),
    "a share above one half": (["sample", "{new}", "--corrupt", "2"], "corrupt"),
    "a size of nothing": (["sample", "{new}", "--size", "0"], "size"),
    "a negative seed": (["sample", "{new}", "--seed", "-1"], "seed"),
    "a folder that is full": (["sample", "{data}"], "not empty"),
    "a file in the place of a folder": (["sample", "{file}"], "{file}"),
    # data folders
    "no such data": (["train", "{new}", "{new}2"], "no such folder or table"),
    "nothing in the folder": (["scan", "{empty}"], "no labeled images"),
    "nothing but a loop of links": (["scan", "{loop}"], "no labeled images"),
    "one class only": (["train", "{one}", "{new}"], "one class only"),
    "images in no class folder": (["train", "{flat}", "{new}"], "in no class folder"),
    "nothing that can be decoded": (["train", "{broken}", "{new}"], "none of its"),
    "nothing but bombs": (["train", "{bombs}", "{new}"], "above the limit of 178,000,000"),
    "an image for data": (
        ["train", "{bomb}", "{new}"],
        "neither a folder nor a .csv or .parquet table",
    ),
    "a device for data": (["scan", "/dev/null"], "no such folder or table"),
    # tables
    "a path that leaves its folder": (["train", "{climbing}", "{new}"], "leads out of"),
    "an absolute path": (["train", "{absolute}", "{new}"], "leads out of"),
    "a path with a null byte": (["scan", "{null}"], "leads out of"),
    "a table without labels": (["train", "{unlabeled}", "{new}"], "no column 'label'"),
    "a table of one image twice": (["train", "{twice}", "{new}"], "more than once"),
    "a row without a path": (["train", "{pathless}", "{new}"], "has no path"),
    "a table of random bytes": (["train", "{noise}.csv", "{new}"], "{noise}.csv"),
    "a Parquet table of random bytes": (
        ["train", "{noise}.parquet", "{new}"],
        "is not a readable table",
    ),
    "an empty table": (["scan", "{blank}"], "is not a readable table"),
    "a table of columns that are no text": (["scan", "{nested}"], "must be text"),
    "a root that is not there": (
        ["train", "{table}", "{new}", "--set", "data.root={new}"],
        "{new}",
    ),
    # recipes
    "no such recipe": ([*TRAIN, "--recipe", "papper"], "did you mean paper?"),
    "a recipe that is missing": ([*TRAIN, "--recipe", "{new}.toml"], "cannot be read"),
    "a recipe that is a folder": ([*TRAIN, "--recipe", "{folder}.toml"], "cannot be read"),
    "a recipe that is no TOML": ([*TRAIN, "--recipe", "{noise}.toml"], "is not TOML"),
    "a recipe of 100,000 brackets": ([*TRAIN, "--recipe", "{deep}.toml"], "is not TOML"),
    "a recipe with a number of 5,000 digits": (
        [*TRAIN, "--recipe", "{digits}.toml"],
        "is not TOML",
    ),
    "an unknown key": (setting("train.epoch=3"), "did you mean train.epochs?"),
    "an unknown section": (setting("trian.epochs=3"), "did you mean train?"),
    "a key in the wrong section": (setting("model.batch_size=3"), "train.batch_size"),
    "no value": (setting("train.epochs"), "section.key=value"),
    "a value out of range": (setting("train.batch_size=0"), "train.batch_size = 0"),
    "a number past all bounds": (setting("train.epochs=0xffffffffffffffffffff"), "train.epochs"),
    "a value of another kind": (setting("train.epochs=lots"), "train.epochs = 'lots'"),
    "a value that is no number": (setting("optimizer.lr=nan"), "optimizer.lr"),
    "a choice that is none": (setting("loss.kind=hinge"), "loss.kind = 'hinge'"),
    "a range the wrong way round": (setting("view.scale=[1.0,0.5]"), "view.scale"),
    "a pattern that is none": (setting("data.group_pattern=(cam"), "is not a regular expression"),
    "a duration that is none": ([*TRAIN, "--checkpoint-every", "often"], "is not a duration"),
    # networks and weights
    "an unknown library": (setting("model.backbone=keras/x"), "keras/x"),
    "an unknown network": (setting("model.backbone=torchvision/resnet51"), "torchvision/resnet50"),
    "a path for a network": (setting("model.backbone=timm/local-dir:/tmp/x"), "no such network"),
    "weights from nowhere": (setting("model.weights=my.pth"), "my.pth"),
    "a pickle that runs code": (
        [*TRAIN, "--recipe", "{tiny}", "--set", "model.weights={evil}"],
        "is refused",
    ),
    "weights of another network": (
        [*TRAIN, "--recipe", "{tiny}", "--set", "model.weights={other}"],
        "lacks",
    ),
    "weights cut short": (
        [*TRAIN, "--recipe", "{tiny}", "--set", "model.weights={cut}"],
        "not a whole weights file",
    ),
    # folds and fixes
    "one fold": ([*TRAIN, "--folds", "1"], "folds.n = 1"),
    "more folds than images": ([*TRAIN, "--folds", "50"], "--set folds.rare_classes=keep"),
    "folds from nowhere": ([*TRAIN, "--folds", "five"], "--folds five"),
    "folds of random bytes": (
        [*TRAIN, "--folds", "{noise}.csv"],
        "not a table with the columns path and fold",
    ),
    "folds that lack an image": ([*TRAIN, "--folds", "{fewfolds}"], "have no fold"),
    "folds with a gap": ([*TRAIN, "--folds", "{gapfolds}"], "without a gap"),
    "a fold that is not there": ([*TRAIN, "--only-fold", "7"], "--only-fold 7"),
    "fixes from nowhere": ([*TRAIN, "--fixes", "{new}.csv"], "no such file"),
    "fixes of another table": ([*TRAIN, "--fixes", "{table}"], "has no column"),
    # runs
    "a run that is there": (["train", "{data}", "{run}"], "holds a run already"),
    "a folder with other things": (["train", "{data}", "{flat}"], "is not empty and not a run"),
    "a file for a run": (["show", "{file}"], "no such run"),
    "a folder for a run": (["predict", "{data}", "{data}", "--out", "{new}.csv"], "is not a run"),
    "a run with another recipe than it was begun with": (
        ["show", "{r_recipe}"],
        "is not as the run was begun with",
    ),
    "a run without members": (
        ["predict", "{r_empty}", "{data}", "--out", "{new}.csv"],
        "has no ensemble.json yet",
    ),
    "a run of the future": (
        ["predict", "{r_future}", "{data}", "--out", "{new}.csv"],
        "update bestiary",
    ),
    "a run whose ensemble.json is cut": (
        ["predict", "{r_cut}", "{data}", "--out", "{new}.csv"],
        "cannot be read",
    ),
    "a run whose view is a bomb": (
        ["predict", "{r_view}", "{data}", "--out", "{new}.csv"],
        "view.size",
    ),
    "a run with one bit changed in its weights": (
        ["evaluate", "{r_bit}", "{data}"],
        "checksum does not hold",
    ),
    "a run whose weights are a pickle": (
        ["predict", "{r_evil}", "{data}", "--out", "{new}.csv"],
        "not a whole member",
    ),
    "a run whose manifest leaves its folder": (["show", "{r_climb}"], "leads out of the folder"),
    "a run whose logits are cut": (["labels", "{r_oof}"], "oof.parquet"),
    "a run whose images are elsewhere": (
        ["train", "{one}", "{run}", "--resume"],
        "was begun with the images in",
    ),
    # predict, evaluate
    "a table of no known kind": (["predict", "{run}", "{data}", "--out", "{new}.xlsx"], ".xlsx"),
    "a table in the place of a file": (
        ["predict", "{run}", "{data}", "--out", "{file}/p.csv"],
        "cannot be written",
    ),
    "a folder in the place of a table": (
        ["predict", "{run}", "{data}", "--out", "{folder}.csv"],
        "cannot be written",
    ),
    "images from nowhere": (
        ["predict", "{run}", "{new}", "--out", "{new}.csv"],
        "no such folder or image",
    ),
    "a folder without images": (
        ["predict", "{run}", "{empty}", "--out", "{new}.csv"],
        "holds no images",
    ),
    "a rule that is none": ([*PREDICT, "--average", "mean"], "mean"),
    "a format that is none": ([*PREDICT, "--format", "xml"], "xml"),
    "two images of one name in a submission": (
        ["predict", "{run}", "{same}", "--out", "{new}.csv", "--format", "submission"],
        "would both be",
    ),
    "an evaluation of trained images": (
        ["evaluate", "{run}", "{data}"],
        "no image is left to score",
    ),
    "an evaluation without labels": (["evaluate", "{run}", "{flat}"], "no labeled images"),
    "an evaluation of unknown classes": (
        ["evaluate", "{run}", "{foreign}"],
        "no image is left to score",
    ),
}


class Evil:
    """What a pickle can do to whoever loads it."""

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
    """Everything that the cases name, by its name in braces."""
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


def line_of(case: str, places: dict[str, Path]) -> tuple[int, list[str], str]:
    """Exit status, what was said on standard error line by line, and on standard output."""
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        status = run_command([word.format(**places) for word in CASES[case][0]])
    return status, said.getvalue().splitlines(), printed.getvalue()


def as_document(lines: dict[str, str], folder: Path) -> str:
    """The Markdown table, without the scratch folder's name."""
    rows = [START, "", "| what is wrong | the line |", "|---|---|"]
    for case, line in lines.items():
        clean = (
            line.replace(f"{folder}/", "")
            .replace(str(folder), ".")
            .removeprefix("bestiary: ")
            .replace("|", "\\|")
        )
        rows.append(f"| {case} | `{clean.replace('`', '')}` |")
    return "\n".join([*rows, "", END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    lines = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        os.environ["BESTIARY_CACHE"] = str(folder / "cache")
        places = make_places(folder)
        for case, (_, words) in CASES.items():
            status, said, printed = line_of(case, places)
            lines[case] = said[-1] if said else ""
            if (
                status != 2
                or printed
                or words.format(**places) not in lines[case]
                or "Traceback" in "".join(said)
            ):
                print(f"NOT AS WANTED: {case}: exit status {status}, wanted {words!r}")
            print(f"{case}: {lines[case]}")
        document = as_document(lines, folder)
    if asked.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.split(START)[0], text.split(END)[1]
        DOCUMENT.write_text(before + document + after, encoding="utf-8")
    print(f"{len(CASES)} wrong inputs")


if __name__ == "__main__":
    main()
