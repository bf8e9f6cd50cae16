"""Memory and start time against the number of instances: a line an arm, and a faint one for each of its trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from results.charts.cases import case_labels
from results.charts.quantities import is_bytes, spread_lines, tick
from results.charts.rows import log_ticks
from results.charts.style import NARROW, WIDE, ArmStyle, drawing, new_figure, shown, tell
from results.density import Density, Knee, Steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 2.3
"""Inches of height for a panel."""

_TICKS = 6


def density_chart(densities: Sequence[Density], arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """For each workload case the memory of all instances and the start of the last, by how many there are.

    Args:
        densities: by workload case.
        arms: styles of their arms.
        width: inches.

    Returns:
        The figure, or None if there is nothing to show.
    """
    if not densities:
        return None
    style = {arm.name: arm for arm in arms}
    cases = [(key, list(members)) for key, members in groupby(densities, lambda one: (one.workload, one.params))]
    labels = case_labels(key for key, _ in cases)
    columns = 1 if width <= NARROW else 2
    rows = len(cases) * (2 // columns)
    with drawing():
        figure = new_figure(width, rows * _PANEL + 0.3)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for index, (key, members) in enumerate(cases):
            memory, start = panels[2 * index : 2 * index + 2]
            title = shown(labels[key], 40)
            for one in members:
                arm = style[one.arm]
                _draw(memory, arm, one.steps, [steps.footprint for steps in one.steps], one.memory_knee, "bytes")
                _draw(start, arm, one.steps, [steps.start_time for steps in one.steps], one.start_time_knee, "s")
            most = max(count for one in members for steps in one.steps for count in steps.instances)
            _finish(memory, f"{title}: memory of all", "bytes", most)
            _finish(start, f"{title}: start of the last", "s", most)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2 if width <= NARROW else 4, frameon=False)
        return figure


def _draw(
    axes: Axes, arm: ArmStyle, trials: Sequence[Steps], levels: Sequence[Sequence[float]], knee: Knee, unit: str
) -> None:
    by_count: dict[float, list[float]] = {}
    for steps, values in zip(trials, levels, strict=True):
        axes.plot(steps.instances, values, "-", color=arm.colour, alpha=0.25, lw=1)
        for count, value in zip(steps.instances, values, strict=True):
            by_count.setdefault(count, []).append(value)
    counts = sorted(by_count)
    middle = [statistics.median(by_count[count]) for count in counts]
    axes.plot(counts, middle, "-", marker=arm.marker, ms=4.5, lw=1.6, color=arm.colour, label=arm.label)
    for count, level in zip(counts, middle, strict=True):
        (mark,) = axes.plot([count], [level], arm.marker, ms=4.5, color=arm.colour)
        tell(mark, f"{arm.label}: {count:g} instances", *spread_lines(by_count[count], unit))
    if knee.at is not None and 2 * knee.found > knee.trials:
        axes.axvline(knee.at, ls=":", lw=1.2, color=arm.colour)


def _finish(axes: Axes, title: str, unit: str, most: float) -> None:
    axes.set_title(title, loc="left", weight="bold")
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_xlabel("instances")
    axes.tick_params(length=0)
    powers = [2**power for power in range(int(math.log2(most)) + 1)]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(powers))
    axes.xaxis.set_major_formatter(FixedFormatter([str(power) for power in powers]))
    axes.grid(axis="both")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    low, high = axes.get_ylim()
    ticks = log_ticks(low, high, _TICKS, binary=is_bytes(unit))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter([tick(at, unit) for at in ticks]))
