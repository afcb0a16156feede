"""A recipe and the options to vary -> the recipes of an ablation, each with a name and the folder
of its runs.

One option at a time: each variant differs from the base in one value, so that k options of v values
cost 1 + k (v - 1) trainings and each row of the table says what one part does. Begins the runs and
trains none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bestiary.display import Display
from bestiary.errors import ArgumentError, RecipeError, RunError
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run
from bestiary.training.prepare import begin_run
from bestiary.training.request import check_requirements, check_root

BASE = "base"
SHARED = {"train.seed": "give --seeds 0,1,2"} | dict.fromkeys(
    ("folds.n", "folds.seed", "folds.rare_classes", "data.root", "data.group_pattern"),
    "all variants share their images and folds; train a run for each value and use bestiary compare",
)
"""Options that cannot be varied, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One recipe of an ablation.

    Attributes:
        name: ``base``, or the option and its value as ``section.key=value``.
        recipe: what is asked, with the seed of the base.
        folder: name of the folder that its runs lie in. Variants that differ in how members are
            averaged alone have the same, since they are trained in the same way.
    """

    name: str
    recipe: Recipe
    folder: str

    def runs(self, ablation: Path, seeds: Sequence[int]) -> dict[int, Run]:
        """Its runs below the folder of the ablation, by seed."""
        return {seed: Run(ablation / self.folder / f"seed-{seed}") for seed in seeds}


def plan_variants(
    recipe: str | Path, overrides: Sequence[str], over: Sequence[str]
) -> list[Variant]:
    """The base, then each other value of each option of `over`.

    Args:
        recipe: of the base, as `load_recipe` takes it.
        overrides: of the base, each ``section.key=value``.
        over: options to vary, each ``section.key=value,value ...``; see `split_values`.

    Raises:
        ArgumentError: nothing is varied, or what all variants must share.
        RecipeError: an option or a value is wrong.
        WeightsError: a backbone or its weights are not to be had.
    """
    base = load_recipe(recipe, overrides)
    variants = [Variant(BASE, base, BASE)]
    for key, values in map(_factor, over):
        for value in values:
            varied = load_recipe(recipe, [*overrides, f"{key}={value}"])
            if all(varied != other.recipe for other in variants):
                name = f"{key}={value}"
                variants.append(Variant(name, varied, _folder(name, varied, variants)))
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
    """Begin the runs that do not exist yet: the images are read and dealt to folds once, for all of
    them.

    Args:
        data: as for `train`.
        ablation: the folder of all runs.
        variants: as `plan_variants` gives them.
        seeds: of training.
        resume: whether runs that are there are gone on with.
        display: shows progress.

    Returns:
        variant's name -> seed -> run.

    Raises:
        RunError: the folder holds something, and `resume` is not given.
        ArgumentError: a run there was begun with other values or images.
        DataError: the data cannot be used as it is.
    """
    if ablation.exists() and any(ablation.iterdir()) and not resume:
        raise RunError(
            f"{ablation}: is not empty; go on with an ablation by --resume, or choose another "
            f"folder"
        )
    runs = {variant.name: variant.runs(ablation, seeds) for variant in variants}
    begun = [run for of_variant in runs.values() for run in of_variant.values() if run.exists]
    begun += [Run(card.parent) for card in sorted(ablation.glob("*/seed-*/recipe.toml"))]
    if begun:
        check_root(begun[0], data)
    for variant in variants:
        for seed, run in runs[variant.name].items():
            asked = with_seed(variant.recipe, seed)
            if run.exists:
                _check_same(run, asked)
            elif begun:
                run.begin_like(begun[0], asked)
            else:
                begin_run(data, run, asked, None, display)
                begun.append(run)
    return runs


def _check_same(run: Run, asked: Recipe) -> None:
    changed = _trained(run.read_recipe()).differences(_trained(asked))
    if changed:
        raise ArgumentError(
            f"{changed[0]}: {run.path} was begun with another value; choose another folder"
        )


def _factor(option: str) -> tuple[str, list[str]]:
    """Key and values of ``section.key=value,value``."""
    key, separator, text = option.partition("=")
    key = key.strip()
    if not separator or "." not in key:
        raise ArgumentError(f"--vary {option}: must look like section.key=value,value")
    if key in SHARED:
        raise ArgumentError(f"--vary {option}: {key} cannot be varied: {SHARED[key]}")
    return key, split_values(text)


def split_values(text: str) -> list[str]:
    """The values of ``a,b,[c, d],"e,f"``: commas inside brackets and quotes belong to a value.

    Raises:
        ArgumentError: a value is empty, or a bracket or quote is not closed.
    """
    values = [""]
    depth, quote = 0, ""
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
    """The seeds of ``0,1,2``.

    Raises:
        ArgumentError: they are no different whole numbers.
    """
    words = [word.strip() for word in text.split(",")]
    seeds = [int(word) for word in words if word.isdecimal() and len(word) < 10]
    if len(seeds) < len(words) or len(set(seeds)) < len(seeds):
        raise ArgumentError(
            f"--seeds {text}: must be different whole numbers with commas between, such as 0,1,2"
        )
    return seeds


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The same recipe, its training drawn from `seed`; the folds stay."""
    return recipe.with_values({"train.seed": seed})


def _folder(name: str, recipe: Recipe, others: Sequence[Variant]) -> str:
    """The folder of another that is trained in the same way, or a new one of that name."""
    for other in others:
        if _trained(recipe) == _trained(other.recipe):
            return other.folder
    short = re.sub(r"[^\w.=+-]+", "_", name)[:80].rstrip("_.")
    taken = {other.folder for other in others}
    return next(
        folder
        for n in range(1, 1000)
        if (folder := short if n == 1 else f"{short}-{n}") not in taken
    )


def _trained(recipe: Recipe) -> Recipe:
    """The recipe but for how members are averaged, which concerns no training."""
    return recipe.with_values({"predict.average": "logits"})
