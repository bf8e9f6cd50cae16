"""What stands around a chart that goes out alone: a title above it, and below it all that its reader must know."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.charts import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN, _LINE, _HEADING, _SIZE = 0.1, 0.125, 0.16, 6.5
_MOST = 2000
"""Characters of a caption at most."""


def spanned(counts: Sequence[int]) -> str:
    """The least and the greatest of counts, or the one that they all are: ``9 to 10``, ``10``."""
    least, most = min(counts, default=0), max(counts, default=0)
    return str(least) if least == most else f"{least} to {most}"


def add_frame(figure: Figure, title: str, caption: str) -> None:
    """Add a title above and a caption below, in height of their own: nothing that was laid out changes its size.

    Args:
        figure: drawn; it becomes higher.
        title: empty for none.
        caption: how to read the chart, and what it rests on.
    """
    style.settle(figure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(style.shown(caption, _MOST), max(20, int(width * 19)))
    headings = textwrap.wrap(style.shown(title, 200), max(12, int(width * 12)))
    below = _MARGIN + _LINE * len(lines)
    above = _MARGIN + _HEADING * len(headings) if headings else 0.0
    whole = height + below + above
    figure.set_size_inches(width, whole)
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, (box.y0 * height + below) / whole, box.width, box.height * height / whole))
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, below / whole, 1, height / whole), transform=figure.transFigure)
    with style.drawing():
        figure.text(0.012, _MARGIN / 2 / whole, "\n".join(lines), size=_SIZE, color=style.MUTED, va="bottom")
        figure.text(0.012, 1 - _MARGIN / 2 / whole, "\n".join(headings), size=9, weight="bold", va="top")
