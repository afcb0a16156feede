"""The verb `demo`: the whole job on drawn images, step by step."""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location
from bestiary.api.evaluate import evaluate
from bestiary.api.predict import predict
from bestiary.api.sample import sample
from bestiary.api.train import train

if TYPE_CHECKING:
    from bestiary.run.run import Run

NEW_IMAGES_SHARE = 0.2


def demo(
    directory: Location = "bestiary-demo",
    /,
    *,
    species: int = 20,
    per_species: int = 40,
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
    images = folder / "images"
    new_images = folder / "new"
    table = folder / "prediction.csv"
    scores = folder / "evaluation.json"
    display = Display(quiet)
    display.line(f"Everything goes to {folder}/. Each step is a command that you can repeat.")
    display.line("")

    # Draw the images, and hold a part of them out.
    display.line(f"$ bestiary sample {images} --species {species} --per-species {per_species}")
    drawn = sample(images, species=species, per_species=per_species, quiet=quiet)
    display.result(drawn)
    n_new = hold_out(images, new_images, NEW_IMAGES_SHARE)
    display.line(f"{n_new:,} images were moved to {new_images}: training will not see them.")
    display.line("")

    # Train.
    overrides = ["view.size=128", "view.eval_size=144"]
    display.line(
        f"$ bestiary train {images} {folder}/run --recipe fast --set {' '.join(overrides)}"
    )
    run = train(images, folder / "run", recipe="fast", overrides=overrides, quiet=quiet)
    display.line(f"{run.score_line}")
    display.line("")

    # Predict and evaluate the held-out images.
    display.line(f"$ bestiary predict {run.path} {new_images} --out {table}")
    display.result(predict(run.path, new_images, out=table, quiet=quiet))
    display.line("")
    display.line(f"$ bestiary evaluate {run.path} {new_images}")
    display.result(evaluate(run.path, new_images, out=scores, quiet=quiet))
    display.line("")
    display.line(
        "Now with images of your own, one folder for each class: bestiary train IMAGES RUN"
    )
    display.line("")
    return run
