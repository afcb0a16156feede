"""Wrong inputs for every verb, and the line that each gets, as docs/reference/errors.md shows it.

`--write` updates that page. Wrong values, folders, tables, recipes, images and runs.
tests/scenarios/test_wrong_inputs.py runs the same cases: one line, exit status 2, nothing written.

    python tests/scenarios/wrong_inputs.py [--write]
"""

import argparse
import contextlib
import io
import os
import tempfile
from pathlib import Path

from wrong_input_files import make_places

from bestiary.cli import main as run_command

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
START = "<!-- wrong inputs -->"
END = "<!-- end of wrong inputs -->"

TRAIN = ["train", "{data}", "{new}"]
PREDICT = ["predict", "{run}", "{data}", "--out", "{new}.csv"]


def train_with(value: str) -> list[str]:
    return [*TRAIN, "--set", value]


# What is wrong -> the command, and words of the line.
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
    "nothing that can be decoded": (["train", "{broken}", "{new}"], "none of which"),
    "nothing but bombs": (["train", "{bombs}", "{new}"], "above the limit of 178,000,000"),
    "an image for data": (
        ["train", "{bomb}", "{new}"],
        "neither a folder nor a .csv, .tsv or .parquet table",
    ),
    "a device for data": (["scan", "/dev/null"], "no such folder or table"),
    # tables
    "a path that leaves its folder": (["train", "{climbing}", "{new}"], "leads out of"),
    "an absolute path": (["train", "{absolute}", "{new}"], "leads out of"),
    "a path with a null byte": (["scan", "{null}"], "null byte"),
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
    "an unknown key": (train_with("train.epoch=3"), "did you mean train.epochs?"),
    "an unknown section": (train_with("trian.epochs=3"), "did you mean train?"),
    "a key in the wrong section": (train_with("model.batch_size=3"), "train.batch_size"),
    "no value": (train_with("train.epochs"), "section.key=value"),
    "a value out of range": (train_with("train.batch_size=0"), "train.batch_size = 0"),
    "a number past all bounds": (train_with("train.epochs=0xffffffffffffffffffff"), "train.epochs"),
    "a value of another kind": (train_with("train.epochs=lots"), "train.epochs = 'lots'"),
    "a value that is no number": (train_with("optimizer.lr=nan"), "optimizer.lr"),
    "a choice that is none": (train_with("loss.kind=hinge"), "loss.kind = 'hinge'"),
    "a range the wrong way round": (train_with("view.scale=[1.0,0.5]"), "view.scale"),
    "a pattern that is none": (
        train_with("data.group_pattern=(cam"),
        "is not a regular expression",
    ),
    "a duration that is none": ([*TRAIN, "--checkpoint-every", "often"], "is not a duration"),
    # networks and weights
    "an unknown library": (train_with("model.backbone=keras/x"), "keras/x"),
    "an unknown network": (
        train_with("model.backbone=torchvision/resnet51"),
        "torchvision/resnet50",
    ),
    "a path for a network": (train_with("model.backbone=timm/local-dir:/tmp/x"), "no such network"),
    "adapters for a network that takes none": (
        train_with("model.lora=8"),
        "offline/efficientnet_lite0 has no linear layers besides its head",
    ),
    "weights from nowhere": (train_with("model.weights=my.pth"), "my.pth"),
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
        "has changed since the run was begun",
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
        "was begun with the images in another folder",
    ),
    "a run with a link out of it": (["report", "{r_link}"], "is a link that leaves the run"),
    "a run with a FIFO": (["show", "{r_fifo}"], "it is a FIFO"),
    "a run with logits that are no number": (["labels", "{r_nan}"], "logits that are no number"),
    "a run with a temperature of 1e-320": (
        ["predict", "{r_cold}", "{data}", "--out", "{new}.csv"],
        "is not from 0.05 to 20",
    ),
    "images of a run that are nowhere": (["report", "{run}", "--data", "{new}"], "no such folder"),
    "a chain of addresses for data": (["scan", "zip://a::s3://b/c.zip"], "never opened"),
    "an address that runs code": (["report", "{run}", "--data", "reference://x"], "never opened"),
    # predict, evaluate
    "a table of no known kind": (["predict", "{run}", "{data}", "--out", "{new}.xlsx"], ".xlsx"),
    "a table in the place of a file": (
        ["predict", "{run}", "{data}", "--out", "{file}/p.csv"],
        "cannot be locked",
    ),
    "a folder in the place of a table": (
        ["predict", "{run}", "{data}", "--out", "{folder}.csv"],
        "cannot be written",
    ),
    "images from nowhere": (
        ["predict", "{run}", "{new}", "--out", "{new}.csv"],
        "no such folder, table or image",
    ),
    "a folder without images": (
        ["predict", "{run}", "{empty}", "--out", "{new}.csv"],
        "holds no images",
    ),
    "a rule that is none": ([*PREDICT, "--average", "mean"], "mean"),
    "a format that is none": ([*PREDICT, "--format", "xml"], "xml"),
    "two images of one name in a submission": (
        ["predict", "{run}", "{same}", "--out", "{new}.csv", "--format", "submission"],
        "have the name of another",
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


def run_case(case: str, places: dict[str, Path]) -> tuple[int, list[str], str]:
    """Run a case; gives the exit status, the lines of standard error, and standard output."""
    errors = io.StringIO()
    printed = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(printed):
        status = run_command([word.format(**places) for word in CASES[case][0]])
    return status, errors.getvalue().splitlines(), printed.getvalue()


def as_document(lines: dict[str, str], folder: Path) -> str:
    """Format the Markdown table, without the scratch folder's name."""
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
    options = parser.parse_args()
    lines = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        os.environ["BESTIARY_CACHE"] = str(folder / "cache")
        places = make_places(folder)
        for case, (_, words) in CASES.items():
            status, errors, printed = run_case(case, places)
            lines[case] = errors[-1] if errors else ""
            if (
                status != 2
                or printed
                or words.format(**places) not in lines[case]
                or "Traceback" in "".join(errors)
            ):
                print(f"UNEXPECTED: {case}: exit status {status}, expected {words!r}")
            print(f"{case}: {lines[case]}")
        document = as_document(lines, folder)
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before = text.split(START)[0]
        after = text.split(END)[1]
        DOCUMENT.write_text(before + document + after, encoding="utf-8")
    print(f"{len(CASES)} wrong inputs")


if __name__ == "__main__":
    main()
