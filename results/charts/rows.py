"""The one layout all charts share: rows in groups, a mark on each, its figure written at the right edge."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from results.charts.quantities import is_bytes, tick
from results.charts.style import INK, MUTED, NARROW, PAPER, new_figure, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.2
"""Inches for one row."""
_GAP = 0.35  # rows between two groups
_TITLE_LINES = 3
"""Lines of a group's title at most; what is longer loses its middle."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one title.

    Attributes:
        title: above the rows; empty for none.
        labels: of the rows, from the top.
    """

    title: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """A laid-out figure to draw on.

    Attributes:
        figure: the figure.
        axes: its only axes; y grows downwards.
        positions: y of every row, one tuple a group.
    """

    figure: Figure
    axes: Axes
    positions: tuple[tuple[float, ...], ...]

    def write(self, y: float, text: str, *, muted: bool = False) -> None:
        """Write a row's figure at the right edge."""
        self.axes.annotate(
            text,
            (1, y),
            xycoords=self.axes.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            color=MUTED if muted else INK,
        )


def lay_out(groups: Sequence[Group], width: float, *, legend_lines: int = 0, row: float = ROW) -> Rows:
    """Make a figure with a row for every label of ``groups``.

    Args:
        groups: at least one.
        width: inches.
        legend_lines: lines of a legend to leave height for.
        row: inches of one row.
    """
    limit = int(width * 13)  # characters of bold 8 pt text in the width
    line = ROW / row  # rows that a line of a title takes
    y = 0.0
    titles: list[tuple[float, str]] = []
    positions: list[tuple[float, ...]] = []
    for index, group in enumerate(groups):
        y += _GAP if index else 0
        if group.title:
            for part in textwrap.wrap(shown(group.title, _TITLE_LINES * limit), limit)[:_TITLE_LINES]:
                titles.append((y, part))
                y += line
            y += (1 - line) / 2  # from the middle of a line to that of a row
        positions.append(tuple(y + offset for offset in range(len(group.labels))))
        y += len(group.labels)
    figure = new_figure(width, y * row + 0.55 + legend_lines * 0.2)
    axes = figure.add_subplot()
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_yticks(
        [at for group in positions for at in group],
        [shown(label, 30) for group in groups for label in group.labels],
    )
    plain_axes(axes)
    across = blended_transform_factory(figure.transFigure, axes.transData)
    for at, title in titles:
        text = axes.text(0.012, at, title, transform=across, va="center", ha="left", weight="bold")
        text.set_bbox({"facecolor": PAPER, "lw": 0, "pad": 1})  # so that no grid line crosses it
        text.set_in_layout(False)
    return Rows(figure, axes, tuple(positions))


def plain_axes(axes: Axes) -> None:
    """Leave of the frame what carries meaning: the line at the bottom and the grid across."""
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def linear_axis(axes: Axes, high: float, unit: str, width: float, *, headroom: float = 1.02) -> None:
    """An axis from zero to a little over ``high``, labelled in readable units."""
    axes.set_xlim(0, high * headroom if high > 0 else 1)
    # Steps in the unit that the labels use, else 100,000 bytes would be a tick.
    factor = 1024.0 ** max(math.floor(math.log(high, 1024)), 0) if is_bytes(unit) and high >= 1 else 1.0
    ticks = MaxNLocator(_most(width), steps=[1, 2, 2.5, 5, 10]).tick_values(0, high / factor)
    _set_ticks(axes, [at * factor for at in ticks if 0 <= at * factor <= high * headroom], unit)


def log_axis(
    axes: Axes, low: float, high: float, width: float, *, unit: str = "", label: Callable[[float], str] | None = None
) -> None:
    """A logarithmic axis that spans ``low`` to ``high`` (both above zero) with some air at either end."""
    air = max((high / low) ** 0.05, 1.04)
    low, high = low / air, high * air
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(NullLocator())
    _set_ticks(axes, log_ticks(low, high, _most(width), binary=is_bytes(unit)), unit, label)


def percent_axis(axes: Axes, low: float, high: float, width: float) -> None:
    """A linear axis of signed percentages that spans ``low`` to ``high`` with some air at either end."""
    air = 0.05 * (high - low)
    axes.set_xlim(low - air, high + air)
    ticks = MaxNLocator(_most(width), steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    label = "{:+g} %".format
    _set_ticks(axes, [at for at in ticks if low - air <= at <= high + air], "", lambda at: label(at) if at else "0")


def _set_ticks(axes: Axes, ticks: Sequence[float], unit: str, label: Callable[[float], str] | None = None) -> None:
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([label(at) if label else tick(at, unit) for at in ticks]))


def _most(width: float) -> int:
    return 4 if width <= NARROW else 7


def log_ticks(low: float, high: float, most: int, *, binary: bool) -> list[float]:
    """At most ``most`` round values between ``low`` and ``high``."""
    if not binary and high / low < 4:
        return [at for at in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= at <= high]
    if binary:
        first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
        series = [[2.0**power for power in range(first, last + 1) if power % step == 0] for step in (1, 2, 5, 10, 20)]
    else:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        series = [
            [mantissa * 10.0**power for power in range(first, last + 1) for mantissa in mantissas]
            for mantissas in ((1, 2, 5), (1, 3), (1,))
        ]
        series += [[10.0**power for power in range(first, last + 1) if power % step == 0] for step in (2, 3, 5)]
    inside = [[at for at in ticks if low <= at <= high] for ticks in series]
    return next((ticks for ticks in inside if len(ticks) <= most), inside[-1])
