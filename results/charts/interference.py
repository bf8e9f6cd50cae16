"""Slowdowns as a heat map: whom down, beside whom across, a panel an arm."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.colors import CenteredNorm
from matplotlib.patches import Rectangle

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, interval, ratio
from results.charts.style import GRID, NARROW, WIDE, ArmStyle, drawing, new_figure, shown, tell
from results.interference import Slowdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAP = "PuOr_r"
"""Purple below 1, orange above: told apart with every common kind of colour vision (colorbrewer2.org)."""

_DARK, _LIGHT = "#101418", "#fcfcfc"
"""Ink on cells, whose colours do not follow the page."""

_LEAST_RANGE, _GREATEST_RANGE = math.log(1.25), math.log(8.0)
"""How far from 1 the ends of the map are: small noise gets no full colour, and one crawl does not pale all others."""

_ROW, _TITLE, _LINE = 0.42, 0.6, 0.15
"""Inches of height for a row of cells, for what a panel has above them, and for each further line there."""


def interference_chart(slowdowns: Sequence[Slowdown], arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The slowdowns of every arm on one scale of colours, with their figures and intervals in the cells.

    Args:
        slowdowns: by workload case.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if there is nothing to show.
    """
    known = [one for one in slowdowns if one.slowdown is not None and one.slowdown > 0]
    if not known:
        return None
    victims = victim_labels(slowdowns)
    neighbours = list(dict.fromkeys(one.neighbour for one in slowdowns))
    present = [arm for arm in arms if any(one.arm == arm.name for one in slowdowns)]
    names = list(dict.fromkeys(victims.values()))
    furthest = max(abs(math.log(one.slowdown)) for one in known if one.slowdown is not None)
    norm = CenteredNorm(0.0, min(max(furthest, _LEAST_RANGE), _GREATEST_RANGE))
    with drawing():
        most = max(6, int(width * (11 if width <= NARROW else 12) / (len(neighbours) + 1)))
        columns = [_folded(name, most) for name in neighbours]
        heading = _TITLE + _LINE * max(name.count("\n") for name in columns)
        figure = new_figure(width, len(present) * (heading + len(names) * _ROW) + 0.1)
        panels = figure.subplots(len(present), 1, squeeze=False).ravel()
        for axes, arm in zip(panels, present, strict=True):
            _lay_out(axes, arm, names, columns, width)
            own = [one for one in slowdowns if one.arm == arm.name]
            empty = {(column, row) for column in range(len(neighbours)) for row in range(len(names))}
            for one in own:
                row, column = names.index(victims[_key(one)]), neighbours.index(one.neighbour)
                _cell(axes, column, row, one, norm, narrow=width <= NARROW)
                empty.discard((column, row))
            for column, row in empty:
                _no_cell(axes, column, row)
        return figure


def victim_labels(slowdowns: Sequence[Slowdown]) -> dict[tuple[str, str, str], str]:
    """A name for every workload, parameters and metric: the metric only where a case has several."""
    cases = case_labels((one.workload, one.params) for one in slowdowns)
    metrics: dict[tuple[str, str], set[str]] = {}
    for one in slowdowns:
        metrics.setdefault((one.workload, one.params), set()).add(one.metric)
    return {
        _key(one): cases[one.workload, one.params]
        + (f" — {one.metric}" if len(metrics[one.workload, one.params]) > 1 else "")
        for one in slowdowns
    }


def _key(one: Slowdown) -> tuple[str, str, str]:
    return one.workload, one.params, one.metric


def _lay_out(axes: Axes, arm: ArmStyle, rows: Sequence[str], columns: Sequence[str], width: float) -> None:
    narrow = width <= NARROW
    axes.set_title(arm.label, loc="left", weight="bold")
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([at + 0.5 for at in range(len(columns))])
    axes.set_xticklabels(columns)
    axes.xaxis.tick_top()
    axes.set_yticks([at + 0.5 for at in range(len(rows))], [shown(name, 16 if narrow else 34) for name in rows])
    axes.tick_params(length=0)
    for side in ("top", "bottom", "right", "left"):
        axes.spines[side].set_visible(False)


def _folded(neighbour: str, most: int) -> str:
    """A neighbour over as many lines as it needs, broken where its parameters are."""
    name, bracket, rest = neighbour.partition("(")
    lines = textwrap.wrap(bracket + rest, most, break_on_hyphens=False)
    return "\n".join(shown(line, most) for line in (name, *lines))


def _no_cell(axes: Axes, column: int, row: int) -> None:
    axes.add_patch(Rectangle((column + 0.02, row + 0.04), 0.96, 0.92, fc="none", ec=GRID, lw=0.8))
    axes.annotate(MISSING, (column + 0.5, row + 0.5), ha="center", va="center")


def _cell(axes: Axes, column: int, row: int, one: Slowdown, norm: CenteredNorm, *, narrow: bool) -> None:
    at = (column + 0.02, row + 0.04)
    middle = (column + 0.5, row + 0.5)
    if one.slowdown is None or one.slowdown <= 0:
        _no_cell(axes, column, row)
        return
    red, green, blue, _ = mpl.colormaps[_MAP](norm(math.log(one.slowdown)))
    cell = axes.add_patch(
        Rectangle(
            at, 0.96, 0.92, fc=(red, green, blue), lw=0, label=f"{one.workload} beside {one.neighbour} in {one.arm}"
        )
    )
    ends = interval(one.ci_low, one.ci_high)
    tell(
        cell,
        f"{one.arm}: {one.workload} {one.metric}, {one.verdict}",
        f"beside {one.neighbour}",
        f"{ratio(one.slowdown)} slower than alone",
        f"{f'95 % interval {ends}' if ends else 'no interval'}, n = {one.n} blocks",
    )
    # Relative luminance decides which ink can be read (WCAG 2.1, with the weights of sRGB).
    ink = _DARK if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 else _LIGHT
    between = "" if narrow else interval(one.ci_low, one.ci_high)
    decided = one.verdict in ("better", "worse")
    x, y = middle
    axes.annotate(
        ratio(one.slowdown), (x, y - (0.17 if between else 0)), ha="center", va="center", color=ink,
        weight="bold" if decided else "normal", size=8.5,
    )  # fmt: skip
    if between:
        axes.annotate(between, (x, y + 0.24), ha="center", va="center", color=ink, size=6.5)
