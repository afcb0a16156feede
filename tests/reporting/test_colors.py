"""Colors of all pages: text and marks of charts stand out from their ground in both themes."""

import re

import pytest

from bestiary.pages import page_style

GROUNDS = ("paper", "card")
TEXTS = ("ink", "quiet", "accent", "miss", "good", "doubt", "bad")
MARKS = ("hit", "rest", *(f"s{number}" for number in range(8)))
COLORS = dict(re.findall(r"--([\w-]+): light-dark\((#\w+, #\w+)\)", page_style()))


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.1."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    values = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lights = sorted([luminance(one), luminance(other)])
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize(
    ("name", "least"), [(name, 4.5) for name in TEXTS] + [(name, 3.0) for name in MARKS]
)
def test_colors_stand_out(name: str, least: float, ground: str, theme: int) -> None:
    color, behind = (COLORS[key].split(", ")[theme] for key in (name, ground))
    assert contrast(color, behind) >= least
