"""TODO api.demo"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place
from bestiary.api.evaluate import evaluate
from bestiary.api.predict import predict
from bestiary.api.sample import sample
from bestiary.api.train import train

if TYPE_CHECKING:
    from bestiary.run.run import Run


def demo(
    directory: Place = "bestiary-demo",
    /,
    *,
    species: int = 20,
    per_species: int = 40,
    quiet: bool = False,
) -> "Run":
    """Do the whole job on embedded data, without a connection: draw, train, predict, evaluate.

    Takes about two minutes on two cores.

    Parameters
    ----------
    directory
        Folder for everything; if it exists, a number is added to its name.
    species
        Number of classes to draw, 2 to 100.
    per_species
        Images of each class to draw; a fifth of them is held out from training.
    quiet
        Show no progress.
    """
    from bestiary.beasts.holdout import hold_out, new_folder
    from bestiary.display import Display

    place, display = new_folder(Path(directory)), Display(quiet)
    display.line(f"Everything goes to {place}/. Each step is a command that you can repeat.\n")
    display.line(
        f"$ bestiary sample {place}/images --species {species} --per-species {per_species}"
    )
    display.line(
        f"{sample(place / 'images', species=species, per_species=per_species, quiet=quiet)}"
    )
    held = hold_out(place / "images", place / "new", 0.2)
    display.line(f"{held:,} images were moved to {place}/new: training will not see them.\n")
    overrides = ["view.size=128", "view.eval_size=144"]
    display.line(
        f"$ bestiary train {place}/images {place}/run --recipe fast --set {' '.join(overrides)}"
    )
    run = train(place / "images", place / "run", recipe="fast", overrides=overrides, quiet=quiet)
    display.line(f"{run.score_line}\n")
    display.line(f"$ bestiary predict {place}/run {place}/new --out {place}/prediction.csv")
    display.line(f"{predict(run.path, place / 'new', out=place / 'prediction.csv', quiet=quiet)}\n")
    display.line(f"$ bestiary evaluate {place}/run {place}/new")
    display.line(
        f"{evaluate(run.path, place / 'new', out=place / 'evaluation.json', quiet=quiet)}\n"
    )
    display.line(
        "Now with images of your own, one folder for each class: bestiary train IMAGES RUN\n"
    )
    return run
