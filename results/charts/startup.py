"""Where the time of a start and of a stop goes: the phases of each arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from results.charts.cases import arm_medians, part_medians
from results.charts.quantities import number, quantity
from results.charts.rows import ROW, linear_axis, plain_axes
from results.charts.style import MUTED, NARROW, PAPER, WIDE, ArmStyle, drawing, new_figure, shown, tell
from results.floor import floor_of, times_floor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_GUEST_HATCH = "////"


def _by_guest(phase: str) -> bool:
    """Whether a phase's end is told by the guest's clock."""
    return phase.startswith("guest_")


def startup_phases(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Median seconds of each startup phase, by arm, in the order of time, which is that of recording."""
    return part_medians(frame, "startup")


def shutdown_phases(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The same of shutdown."""
    return part_medians(frame, "shutdown")


def startup_phases_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Startup by phase, one panel an arm on a scale of its own: each phase's median, starting where the last ended.

    Args and returns are those of :func:`results.charts.starts.startup_chart`.
    """
    wholes = arm_medians(frame, "startup_time")
    floor = floor_of(frame)
    titles = {
        arm: quantity(seconds, "s") + (f", {times_floor(seconds, floor)} the bare exec" if floor else "")
        for arm, seconds in wholes.items()
    }
    return _phases_chart(startup_phases(frame), titles, arms, width)


def shutdown_phases_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The same for shutdown."""
    titles = {arm: quantity(seconds, "s") for arm, seconds in arm_medians(frame, "shutdown_time").items()}
    return _phases_chart(shutdown_phases(frame), titles, arms, width)


def _phases_chart(
    phases: dict[str, dict[str, float]], titles: dict[str, str], arms: Sequence[ArmStyle], width: float
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
            whole = f": {titles[arm.name]}" if arm.name in titles else ""
            axes.set_title(f"{arm.label}{whole}", loc="left", weight="bold")
        if any(_by_guest(phase) for arm in present for phase in phases[arm.name]):
            hatched = Patch(fc=MUTED, ec=PAPER, hatch=_GUEST_HATCH, lw=0, label="ends by the guest's clock")
            figure.legend(handles=[hatched], loc="outside upper left", frameon=False)
        return figure


def _draw_phases(axes: Axes, arm: ArmStyle, phases: dict[str, float], width: float) -> None:
    total = sum(phases.values())
    start = 0.0
    for y, (phase, seconds) in enumerate(phases.items()):
        hatch = _GUEST_HATCH if _by_guest(phase) else None
        bar = axes.barh(y, seconds, left=start, height=0.68, color=arm.colour, ec=PAPER, lw=0.4, hatch=hatch)
        share = f"median {quantity(seconds, 's')}, {number(100 * seconds / total, 2)} % of all phases"
        tell(bar.patches[0], f"{arm.label}: {phase}", share, f"begins at {quantity(start, 's')}")
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
