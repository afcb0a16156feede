"""The shipped recipes and the default recipe: `default_recipe` picks it by device type."""

from importlib import resources

SHIPPED = ("best", "best-gpu", "paper", "fast", "probe", "foundation")
"""Names of the shipped recipes, in the order of the help."""
DEFAULT_RECIPE = "best"
"""The default recipe on a CPU, and on a device without a recipe of its own."""
DEFAULT_RECIPE_ON = {"cuda": "best-gpu"}
"""Device type -> the default recipe there."""


def default_recipe(device: str) -> str:
    """Return the name of the default recipe, which is used where the user names none.

    Args:
        device: type of the device that computes, as PyTorch names it. AMD's GPUs are "cuda" too.

    Example:
        >>> default_recipe("cuda"), default_recipe("cpu")
        ('best-gpu', 'best')
    """
    return DEFAULT_RECIPE_ON.get(device, DEFAULT_RECIPE)


def shipped_text(name: str) -> str:
    """Read the TOML text of a shipped recipe, comments included.

    Args:
        name: one of `SHIPPED`.

    Example:
        >>> shipped_text("fast").splitlines()[0]
        '# bestiary train DATA RUN --recipe fast'
    """
    folder = resources.files("bestiary.recipe") / "shipped"
    return (folder / f"{name}.toml").read_text(encoding="utf-8")
