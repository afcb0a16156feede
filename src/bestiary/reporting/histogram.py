"""Values -> a small histogram as SVG for a page, and one sentence about their middle half.

Colors are those of the page's stylesheet, so it follows the theme.
"""

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike

BINS = 28
WIDTH, HEIGHT, FOOT = 320, 96, 18  # of the drawing, and of the axis below it


def histogram(values: ArrayLike, title: str, unit: str = "", log: bool = False) -> Markup:
    """Draw a histogram.

    Args:
        values: at least one number.
        title: what is counted, for screen readers.
        unit: put behind the numbers of the axis.
        log: steps of equal ratio in place of equal width; all values are then above 0.

    Returns:
        An SVG element; the axis names the least, the middle and the largest value.
    """
    numbers = np.asarray(values, np.float64)
    scaled = np.log(numbers) if log else numbers
    low, high = float(scaled.min()), float(scaled.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(scaled, BINS, (low, high))
    step = WIDTH / BINS
    top = HEIGHT - FOOT
    bars = []
    for index, bar in enumerate(counts):
        tall = top * bar / counts.max()
        if bar:
            bars.append(
                f'<rect x="{index * step + 0.5:.1f}" y="{top - tall:.1f}" width="{step - 1:.1f}" '
                f'height="{max(tall, 1):.1f}" fill="var(--hit)"><title>{bar:,}</title></rect>'
            )
    middle = float(np.median(scaled))
    marks = [(low, "start"), (middle, "middle"), (high, "end")]
    texts = []
    for value, anchor in marks:
        x = WIDTH * (value - low) / (high - low)
        if anchor == "middle" and not 0.2 < x / WIDTH < 0.8:
            continue  # it would run into its neighbor
        shown = float(np.exp(value)) if log else value
        texts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 3}" text-anchor="{anchor}" font-size="12" '
            f'fill="var(--quiet)">{_number(shown)}{escape(unit)}</text>'
        )
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" style="max-width: 26rem" role="img" '
        f'aria-label="{escape(title)}">'
        f'<path d="M0 {top}H{WIDTH}" stroke="var(--edge)"/>{"".join(bars)}{"".join(texts)}</svg>'
    )


def middle_half(values: ArrayLike, unit: str = "") -> str:
    """Name the range of the middle half of some values.

    Args:
        values: at least one number.
        unit: put behind the range.

    Example:
        >>> middle_half([1, 2, 3, 4, 5], " px")
        '2 to 4 px'
    """
    low, high = np.percentile(np.asarray(values, np.float64), [25, 75])
    return f"{_number(float(low))} to {_number(float(high))}{unit}"


def _number(value: float) -> str:
    """At most three digits that matter; whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
