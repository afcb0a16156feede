"""The verb `demo`: the whole job on drawn images, step by step."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location
from bestiary.api.evaluate import evaluate
from bestiary.api.predict import predict
from bestiary.api.sample import sample
from bestiary.api.train import train
from bestiary.argument_types import checked_arguments
from bestiary.numbers import counted

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.run.run import Run

NEW_IMAGES_SHARE = 0.2
CAMERAS = 12
CAMERAS_HELD_OUT = 3


@checked_arguments
def demo(
    directory: Location = "bestiary-demo",
    /,
    *,
    species: int = 20,
    per_species: int = 40,
    camera_traps: bool = False,
    quiet: bool = False,
) -> "Run":
    """Draw images, train, predict and evaluate, without a connection.

    Takes about two minutes on two cores.

    Parameters
    ----------
    directory
        Folder for everything. If it exists, a number is added to its name.
    species
        Number of classes to draw, 2 to 100.
    per_species
        Images of each class to draw. A fifth of them is held out from training.
    camera_traps
        Draw 12 camera traps instead: boxes, sites and times. Three cameras are held out.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> run = bestiary.demo("demo")  # doctest: +SKIP
    >>> print(run.score_line)  # doctest: +SKIP
    Out-of-fold accuracy ... (95 % interval ...), 640 images
    """
    from bestiary.beasts.holdout import hold_out, new_folder
    from bestiary.display import Display

    folder = new_folder(Path(directory))
    if camera_traps:
        return _demo_cameras(folder, species, per_species, Display(quiet))
    images = folder / "images"
    new_images = folder / "new"
    table = folder / "prediction.csv"
    scores = folder / "evaluation.json"
    display = Display(quiet)
    display.line(f"Everything goes to {folder}/. Each step is a command that you can repeat.")
    display.line("")

    # Draw the images, and hold a part of them out.
    size = ["--species", species, "--per-species", per_species]
    display.line(_command("sample", images, *size))
    drawn = sample(images, species=species, per_species=per_species, quiet=quiet)
    display.result(drawn)
    n_new = hold_out(images, new_images, NEW_IMAGES_SHARE)
    display.line(
        f"{counted(n_new, 'image was', 'images were')} moved to {new_images}: training will not "
        "see them."
    )
    display.line("")

    # Train.
    overrides = ["view.size=128", "view.eval_size=144"]
    display.line(_command("train", images, folder / "run", "--recipe", "fast", "--set", *overrides))
    run = train(images, folder / "run", recipe="fast", overrides=overrides, quiet=quiet)
    display.line(f"{run.score_line}")
    display.line("")

    # Predict and evaluate the held-out images.
    display.line(_command("predict", run.path, new_images, "--out", table))
    display.result(predict(run.path, new_images, out=table, quiet=quiet))
    display.line("")
    display.line(_command("evaluate", run.path, new_images))
    display.result(evaluate(run.path, new_images, out=scores, quiet=quiet))
    display.line("")
    display.line(
        "Now with images of your own, one folder for each class: bestiary probe IMAGES RUN"
    )
    display.line("")
    return run


def _demo_cameras(folder: Path, species: int, per_species: int, display: "Display") -> "Run":
    """Draw camera traps, train on the boxes by site, report, and predict the cameras held out."""
    from bestiary.api.probe import probe
    from bestiary.api.report import report
    from bestiary.beasts.camera_sample import DETECTIONS, TABLE
    from bestiary.beasts.holdout import hold_out_sites

    traps = folder / "traps"
    place = folder / "run"
    table = folder / "prediction.csv"
    timelapse = folder / "timelapse.json"
    quiet = display.quiet
    display.line(f"Everything goes to {folder}/. Each step is a command that you can repeat.")
    display.line("")

    # Draw the images, and hold the last cameras out.
    size = ["--species", species, "--per-species", per_species]
    display.line(_command("sample", traps, "--cameras", CAMERAS, *size))
    drawn = sample(traps, cameras=CAMERAS, species=species, per_species=per_species, quiet=quiet)
    display.result(drawn)
    train_table, new_table = hold_out_sites(traps / TABLE, CAMERAS_HELD_OUT)
    display.line(
        f"{new_table} has the images of {CAMERAS_HELD_OUT} cameras: training will not see them."
    )
    display.line("")

    # Train, with whole sites left out of each fold.
    boxes = f"data.boxes={traps / DETECTIONS}"
    overrides = ["folds.by=site", "folds.rare_classes=keep", boxes]
    display.line(_command("probe", train_table, place, "--set", *overrides))
    run = probe(train_table, place, overrides=overrides, quiet=quiet)
    display.line(f"{run.score_line}")
    display.line(_command("report", place))
    display.result(report(place, quiet=quiet))
    display.line("")

    # Predict the cameras that were held out.
    files = ["--out", table, "--timelapse", timelapse]
    display.line(_command("predict", place, new_table, "--set", boxes, *files))
    predicted = predict(
        place, new_table, out=table, timelapse=timelapse, overrides=[boxes], quiet=quiet
    )
    display.result(predicted)
    display.line("")
    display.line(
        "Now with images of your own: a table with path,label,site,time and a detector's JSON, "
        "see docs/reference/data.md"
    )
    display.line("")
    return run


def _command(*words: object) -> str:
    """Write a command as it is typed in a shell."""
    return "$ " + shlex.join(["bestiary", *map(str, words)])
