"""How long an instance takes from the request to READY: arms side by side, and the phases of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.charts.cases import arm_medians, part_medians, trial_values
from results.charts.quantities import number, quantity
from results.charts.rows import ROW, Group, lay_out, linear_axis, log_axis, plain_axes
from results.charts.style import NARROW, PAPER, WIDE, ArmStyle, drawing, new_figure, shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def startup_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Startup time by arm on a logarithmic axis: every trial a faint mark, the median a full one.

    Args:
        frame: samples of the trials to show.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no arm has the metric.
    """
    values = trial_values(frame, "startup_time")
    medians = arm_medians(frame, "startup_time")
    present = [arm for arm in arms if medians.get(arm.name, 0) > 0]
    if not present:
        return None
    with drawing():
        rows = lay_out([Group("", tuple(arm.label for arm in present))], width)
        positive = values[(values["value"] > 0) & values["arm"].isin([arm.name for arm in present])]["value"]
        log_axis(rows.axes, float(positive.min()), float(positive.max()), width, unit="s")
        for arm, y in zip(present, rows.positions[0], strict=True):
            of_arm = values[values["arm"] == arm.name]["value"]
            rows.axes.plot(of_arm, [y] * len(of_arm), arm.marker, ms=4, color=arm.colour, alpha=0.3, mew=0)
            rows.axes.plot(
                [medians[arm.name]],
                [y],
                arm.marker,
                ms=7,
                color=arm.colour,
                label=f"median of {arm.name}",
                clip_on=False,
            )
            rows.write(y, quantity(medians[arm.name], "s"))
        return rows.figure


def startup_phases(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Median seconds of each startup phase, by arm, in the order of time, which is that of recording."""
    return part_medians(frame, "startup")


def shutdown_phases(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The same of shutdown."""
    return part_medians(frame, "shutdown")


def startup_phases_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Startup by phase, one panel an arm on a scale of its own: each phase's median, starting where the last ended.

    Args and returns are those of :func:`startup_chart`.
    """
    return _phases_chart(startup_phases(frame), arm_medians(frame, "startup_time"), arms, width)


def shutdown_phases_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The same for shutdown."""
    return _phases_chart(shutdown_phases(frame), arm_medians(frame, "shutdown_time"), arms, width)


def _phases_chart(
    phases: dict[str, dict[str, float]], wholes: dict[str, float], arms: Sequence[ArmStyle], width: float
) -> Figure | None:
    present = [arm for arm in arms if sum(phases.get(arm.name, {}).values()) > 0]
    if not present:
        return None
    heights = [len(phases[arm.name]) + 0.2 for arm in present]
    with drawing():
        figure = new_figure(width, (sum(heights) + 2.4 * len(present)) * ROW)
        panels = figure.subplots(len(present), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, arm in zip(panels, present, strict=True):
            plain_axes(axes)
            _draw_phases(axes, arm, phases[arm.name], width)
            whole = f": {quantity(wholes[arm.name], 's')}" if arm.name in wholes else ""
            axes.set_title(f"{arm.label}{whole}", loc="left", weight="bold")
        return figure


def _draw_phases(axes: Axes, arm: ArmStyle, phases: dict[str, float], width: float) -> None:
    total = sum(phases.values())
    start = 0.0
    for y, seconds in enumerate(phases.values()):
        axes.barh(y, seconds, left=start, height=0.68, color=arm.colour, ec=PAPER, lw=0.4)
        start += seconds
        axes.annotate(
            f"{quantity(seconds, 's')} ({number(100 * seconds / total, 2)} %)",
            (start, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(phases)), [shown(phase, 24) for phase in phases])
    axes.set_ylim(len(phases) - 0.4, -0.6)
    # Room beside the last bar for its figure.
    linear_axis(axes, total, "s", width, headroom=1.6 if width <= NARROW else 1.25)
