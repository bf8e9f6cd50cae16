"""Latency by percentile: a line an arm over the percentiles that a workload tells, on a logarithmic axis."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from results.charts.cases import case_labels, cases, of_case, trial_values
from results.charts.quantities import spread_lines, tick
from results.charts.rows import log_ticks
from results.charts.style import NARROW, WIDE, ArmStyle, drawing, new_figure, shown, tell
from results.trials import WorkloadCase, arms_in_order

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_METRIC = re.compile(r"latency_(?:p(?P<percentile>\d{2,})|(?P<most>max))")
_PANEL, _TICKS = 2.1, 6


@dataclass(frozen=True)
class Latency:
    """How long requests of one workload case took in one arm.

    Attributes:
        case: the workload case.
        arm: name of the arm.
        seconds: by the percentile's name (``50``, ``99.9``, ``max``), in their order: one value a trial.
    """

    case: WorkloadCase
    arm: str
    seconds: dict[str, list[float]]


def latencies_of(frame: pd.DataFrame) -> list[Latency]:
    """Those of which a run has at least two percentiles, by case and then by arm."""
    names = {str(metric): name for metric in frame["metric"].unique() if (name := _percentile(str(metric)))}
    ordered = sorted(names, key=lambda metric: (names[metric] == "max", names[metric]))
    found = []
    for case in cases(frame[frame["metric"].isin(names)]):
        of_this = of_case(frame, case)
        by_arm: dict[str, dict[str, list[float]]] = {}
        for metric in ordered:
            rows = of_this[of_this["metric"] == metric]
            if rows.empty or str(rows["unit"].iloc[0]) not in _SECONDS:
                continue
            factor = _SECONDS[str(rows["unit"].iloc[0])]
            for arm, values in trial_values(rows, metric).groupby("arm", observed=True, sort=False)["value"]:
                above_zero = [factor * value for value in values if value > 0]
                if above_zero:
                    by_arm.setdefault(str(arm), {})[names[metric]] = above_zero
        if len({name for seconds in by_arm.values() for name in seconds}) > 1:
            found += [Latency(case, arm, by_arm[arm]) for arm in arms_in_order(frame) if arm in by_arm]
    return found


def latency_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """A panel a workload case: medians over trials by percentile, with a line from the least trial to the greatest.

    Args:
        frame: samples.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no workload told two percentiles.
    """
    found = latencies_of(frame)
    if not found:
        return None
    shown_cases = list(dict.fromkeys(one.case for one in found))
    labels = case_labels(shown_cases)
    columns = 1 if width <= NARROW or len(shown_cases) == 1 else 2
    rows = -(-len(shown_cases) // columns)
    with drawing():
        figure = new_figure(width, rows * _PANEL + 0.4)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, case in zip(panels, shown_cases, strict=False):
            own = {one.arm: one for one in found if one.case == case}
            names = list(dict.fromkeys(name for one in own.values() for name in one.seconds))
            for arm in arms:
                if arm.name in own:
                    _draw(axes, arm, own[arm.name], names, labels[case])
            _finish(axes, shown(labels[case], 40), names)
        for axes in panels[len(shown_cases) :]:
            axes.set_visible(False)
        handles = {arm.label: handle for axes in panels for arm, handle in _handles(axes, arms)}
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper left",
            ncols=2 if width <= NARROW else 4,
            frameon=False,
        )
        return figure


def _percentile(metric: str) -> str:
    """``latency_p999`` → ``99.9``; empty for a metric that is no percentile of a latency."""
    match = _METRIC.fullmatch(metric)
    if match is None:
        return ""
    digits = match["percentile"]
    return "max" if digits is None else digits if len(digits) == 2 else f"{digits[:2]}.{digits[2:]}"


def _draw(axes: Axes, arm: ArmStyle, latency: Latency, names: Sequence[str], title: str) -> None:
    at = [names.index(name) for name in latency.seconds]
    middle = []
    for place, (name, values) in zip(at, latency.seconds.items(), strict=True):
        axes.plot([place, place], [min(values), max(values)], "-", color=arm.colour, lw=1.5, alpha=0.4)
        lines = spread_lines(values, "s")
        middle.append(statistics.median(values))
        (mark,) = axes.plot([place], [middle[-1]], arm.marker, ms=5.5, color=arm.colour)
        tell(mark, f"{arm.label}: latency, {_in_words(name)}", title, *lines)
    axes.plot(at, middle, "-", marker=arm.marker, ms=5.5, lw=1.4, color=arm.colour, label=arm.label, zorder=1.5)


def _in_words(name: str) -> str:
    return "the longest" if name == "max" else f"percentile {name}"


def _handles(axes: Axes, arms: Sequence[ArmStyle]) -> list[tuple[ArmStyle, Artist]]:
    by_label = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return [(arm, by_label[arm.label]) for arm in arms if arm.label in by_label]


def _finish(axes: Axes, title: str, names: Sequence[str]) -> None:
    axes.set_title(title, loc="left", weight="bold")
    axes.set_yscale("log")
    axes.set_xticks(range(len(names)), [name if name == "max" else f"p{name}" for name in names])
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.tick_params(length=0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    ticks = log_ticks(*axes.get_ylim(), _TICKS, binary=False)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter([tick(at, "s") for at in ticks]))
