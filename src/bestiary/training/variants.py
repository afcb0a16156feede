"""Ablation variants: a recipe and the options to vary -> recipes that differ in one value each.

One option is varied at a time, so that k options of v values cost 1 + k (v - 1) trainings and each
line of the results says what one part does. All variants share their images and folds. Creates the
runs and trains none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bestiary.data.eval_view import white_of
from bestiary.display import Display
from bestiary.errors import ArgumentError, RecipeError, RunError
from bestiary.model.image_sizes import with_own_size
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import full_name
from bestiary.run.layout import RECIPE
from bestiary.run.run import Run
from bestiary.training.prepare import begin_run, resolve_white
from bestiary.training.request import check_image_root, check_requirements

BASE = "base"
SHARED_OPTIONS = (
    "folds.n",
    "folds.seed",
    "folds.rare_classes",
    "data.root",
    "data.boxes",
    "data.group_pattern",
)
SHARED_REMEDY = (
    "all variants share their images and folds; train a run for each value and use bestiary compare"
)
FIXED = {
    "train.seed": "give --seeds 0,1,2",
    "train.batch_growth": "all variants keep the recipe's batch; vary train.batch_size",
    **dict.fromkeys(SHARED_OPTIONS, SHARED_REMEDY),
}
"""Options that cannot be varied, and what to do instead."""

MAX_FOLDER_NAME = 80  # characters
MAX_SEED_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Variant:
    """One recipe of an ablation.

    Attributes:
        name: ``base``, or the varied option as ``section.key=value``.
        recipe: of its runs, with the seed of the base.
        folder: name of the folder of its runs. Variants that differ only in how members are
            averaged share a folder, since they are trained alike.
    """

    name: str
    recipe: Recipe
    folder: str

    def runs(self, ablation: Path, seeds: Sequence[int]) -> dict[int, Run]:
        """List the variant's runs by seed.

        Args:
            ablation: the folder of the ablation.
            seeds: of training.
        """
        folder = ablation / self.folder
        return {seed: Run(folder / f"seed-{seed}") for seed in seeds}


def plan_variants(
    recipe: str | Path, overrides: Sequence[str], vary: Sequence[str]
) -> list[Variant]:
    """List the base recipe, then a variant for each other value of each option.

    Args:
        recipe: of the base, as `load_recipe` takes it.
        overrides: of the base, each ``section.key=value``.
        vary: options to vary, each ``section.key=value,value ...``; see `split_values`.

    Raises:
        ArgumentError: no option is varied, or one that all variants share.
        RecipeError: an option or a value is wrong.
        WeightsError: a backbone or its weights are not available.
    """
    # Variants differ in one value, and not in what a GPU's timing chooses.
    overrides = [*overrides, "train.batch_growth=1"]
    variants = [Variant(BASE, with_own_size(load_recipe(recipe, overrides)), BASE)]
    for option in vary:
        key, values = _parse_option(option)
        for value in values:
            name = f"{key}={value}"
            varied = with_own_size(load_recipe(recipe, [*overrides, name]))
            is_new = all(varied != variant.recipe for variant in variants)
            if is_new:
                folder = _choose_folder(name, varied, variants)
                variants.append(Variant(name, varied, folder))
    if len(variants) == 1:
        raise ArgumentError("--vary: no value differs from the base recipe's; name others")

    for variant in variants:
        try:
            check_requirements(variant.recipe)
        except RecipeError as error:
            raise RecipeError(f"{variant.name}: {error}") from None
    return variants


def begin_variants(
    data: Path,
    ablation: Path,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    resume: bool,
    display: Display,
) -> dict[str, dict[int, Run]]:
    """Create the runs of all variants that do not exist yet.

    The images are read and split into folds once; the other runs copy the result.

    Args:
        data: as for `train`.
        ablation: the folder of the ablation.
        variants: as `plan_variants` returns them.
        seeds: of training.
        resume: whether to go on with an ablation in the same folder.
        display: shows progress.

    Returns:
        Name of the variant -> seed -> run.

    Raises:
        RunError: the folder is not empty, and `resume` is false.
        ArgumentError: an existing run has other values or images.
        DataError: the data cannot be used.
    """
    is_taken = ablation.exists() and any(ablation.iterdir())
    if is_taken and not resume:
        raise RunError(
            f"{ablation}: is not empty; go on with an ablation by --resume, or choose another "
            f"folder"
        )
    runs = {variant.name: variant.runs(ablation, seeds) for variant in variants}
    template = _existing_run(ablation, runs)
    if template is not None:
        check_image_root(template, data)

    # The first run that is begun becomes the template of the others.
    for variant in variants:
        for seed, run in runs[variant.name].items():
            recipe = with_seed(variant.recipe, seed)
            if run.exists:
                _check_same(run, recipe)
            elif template is not None:
                white = white_of(template.read_recipe().view)
                run.begin_like(template, resolve_white(recipe, white))
            else:
                begin_run(data, run, recipe, None, display)
                template = run

    # All have the images of the first, whose folder the user has named.
    assert template is not None
    place = template.read_recorded_root()
    return {
        name: {seed: replace(run, data=place) for seed, run in by_seed.items()}
        for name, by_seed in runs.items()
    }


def _existing_run(ablation: Path, runs: Mapping[str, Mapping[int, Run]]) -> Run | None:
    """Find a run that has been created: of the planned variants, or of others in the folder."""
    for by_seed in runs.values():
        for run in by_seed.values():
            if run.exists:
                return Run.open(run.path)
    recipe_file = min(ablation.glob(f"*/seed-*/{RECIPE}"), default=None)
    return Run.open(recipe_file.parent) if recipe_file else None


def _check_same(run: Run, recipe: Recipe) -> None:
    begun = _as_trained(run.read_recipe())
    asked = resolve_white(recipe, white_of(begun.view))
    differences = begun.differences(_as_trained(asked))
    if differences:
        raise ArgumentError(
            f"{differences[0]}: {run.path} was begun with another value; choose another folder"
        )


def _parse_option(option: str) -> tuple[str, list[str]]:
    """Parse ``section.key=value,value`` into the key and its values."""
    key, separator, text = option.partition("=")
    if not separator or not key.strip():
        raise ArgumentError(f"--vary {option}: must look like section.key=value,value")
    key = full_name(key.strip())
    if key in FIXED:
        raise ArgumentError(f"--vary {option}: {key} cannot be varied: {FIXED[key]}")
    return key, split_values(text)


def split_values(text: str) -> list[str]:
    """Split ``a,b,[c, d],"e,f"`` at the commas that are outside brackets and quotes.

    Args:
        text: values of an option.

    Raises:
        ArgumentError: a value is empty, or a bracket or quote is not closed.

    Example:
        >>> split_values("0,[0.2, 1.0]")
        ['0', '[0.2, 1.0]']
    """
    values = [""]
    depth = 0
    quote = ""
    for letter in text:
        if letter == "," and not depth and not quote:
            values.append("")
            continue
        values[-1] += letter
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
    values = [value.strip() for value in values]
    if depth or quote or not all(values):
        raise ArgumentError(
            f"--vary ...={text}: has an empty value, or a bracket or quote that is not closed"
        )
    return values


def parse_seeds(text: str) -> list[int]:
    """Parse seeds with commas between them, such as ``0,1,2``.

    Args:
        text: value of the option --seeds.

    Raises:
        ArgumentError: the seeds are not different whole numbers.
    """
    words = [word.strip() for word in text.split(",")]
    seeds = [int(word) for word in words if _is_seed(word)]
    has_invalid = len(seeds) < len(words)
    has_duplicates = len(set(seeds)) < len(seeds)
    if has_invalid or has_duplicates:
        raise ArgumentError(
            f"--seeds {text}: must be different whole numbers with commas between, such as 0,1,2"
        )
    return seeds


def _is_seed(word: str) -> bool:
    return word.isdecimal() and len(word) <= MAX_SEED_DIGITS


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Copy a recipe with another seed of training; the folds stay the same.

    Args:
        recipe: of a variant.
        seed: of training.
    """
    return recipe.with_values({"train.seed": seed})


def _choose_folder(name: str, recipe: Recipe, others: Sequence[Variant]) -> str:
    """Choose the folder of a variant that is trained alike, or a new name."""
    trained = _as_trained(recipe)
    for other in others:
        if _as_trained(other.recipe) == trained:
            return other.folder

    folder = re.sub(r"[^\w.=+-]+", "_", name)
    folder = folder[:MAX_FOLDER_NAME].rstrip("_.")
    taken = {other.folder for other in others}
    unique = folder
    suffix = 1
    while unique in taken:
        suffix += 1
        unique = f"{folder}-{suffix}"
    return unique


def _as_trained(recipe: Recipe) -> Recipe:
    """Reset how members are averaged, which does not affect training."""
    return recipe.with_values({"predict.average": "logits"})
