"""A metric's level in every workload case and arm, side by side on one logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.charts.cases import arm_medians, case_labels, cases, of_case, trial_values
from results.charts.quantities import quantity, spread_lines
from results.charts.rows import Group, lay_out, log_axis
from results.charts.style import WIDE, ArmStyle, drawing, tell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def memory_peak_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Peak memory of each arm in each workload case; arguments and result as of :func:`levels_chart`."""
    return levels_chart(frame, arms, "memory_peak", width)


def cpu_time_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Host CPU time of each arm in each workload case; arguments and result as of :func:`levels_chart`."""
    return levels_chart(frame, arms, "cpu_time", width)


def levels_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], metric: str, width: float = WIDE) -> Figure | None:
    """Medians over trials of ``metric``, with a line from the least trial to the greatest, grouped by workload case.

    Args:
        frame: samples.
        arms: in the order to show them.
        metric: name of the metric; all its values have one unit.
        width: inches.

    Returns:
        The figure, or None if there is nothing above zero to show.
    """
    frame = frame[(frame["metric"] == metric) & (frame["value"] > 0)]
    if frame.empty:
        return None
    unit = str(frame["unit"].iloc[0])
    found = cases(frame)
    labels = case_labels(found)
    medians = {case: arm_medians(of_case(frame, case), metric) for case in found}
    present = {case: [arm for arm in arms if arm.name in medians[case]] for case in found}
    groups = [Group(labels[case], tuple(arm.label for arm in present[case])) for case in found]
    values = trial_values(frame, metric)
    with drawing():
        rows = lay_out(groups, width)
        log_axis(rows.axes, float(values["value"].min()), float(values["value"].max()), width, unit=unit)
        for case, positions in zip(found, rows.positions, strict=True):
            of_this = of_case(values, case)
            for arm, y in zip(present[case], positions, strict=True):
                spread = of_this[of_this["arm"] == arm.name]["value"]
                rows.axes.plot([spread.min(), spread.max()], [y, y], "-", color=arm.colour, lw=1.5, alpha=0.5)
                median = medians[case][arm.name]
                (mark,) = rows.axes.plot(
                    [median], [y], arm.marker, ms=6, color=arm.colour, label=f"median of {arm.name}"
                )
                tell(mark, f"{arm.label}: {metric}", labels[case], *spread_lines(spread.tolist(), unit))
                rows.write(y, quantity(median, unit))
        return rows.figure
