"""TODO recipe.defaults"""

from importlib import resources

SHIPPED = ("best", "best-gpu", "paper", "fast", "probe")


def shipped_text(name: str) -> str:
    """The text of a shipped recipe, comments included."""
    return (
        resources.files("bestiary.recipe")
        .joinpath("shipped", f"{name}.toml")
        .read_text(encoding="utf-8")
    )


def default_recipe(device: str) -> str:
    """The recipe where none is named: ``best-gpu`` on a GPU that PyTorch calls ``cuda``, else
    ``best``.

    Args:
        device: type of the device that computes, as PyTorch names it.
    """
    return "best-gpu" if device == "cuda" else "best"
