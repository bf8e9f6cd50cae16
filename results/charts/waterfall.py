"""Whom an idle instance's memory serves: one bar an arm, from the application outwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.patches import Patch

from results.charts.quantities import quantity
from results.charts.rows import Group, lay_out, linear_axis
from results.charts.style import GRID, MUTED, NARROW, SERIES, WIDE, ArmStyle, drawing
from results.waterfall import step_label, steps_of, waterfalls_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_INSIDE, _VMM, _HOST = SERIES[1], SERIES[2], SERIES[3]
_LOOKS: dict[str, dict[str, Any]] = {
    "application": {"color": _INSIDE},
    "guest_kernel": {"color": _INSIDE, "alpha": 0.7},
    "guest_page_cache": {"color": _INSIDE, "alpha": 0.45},
    "guest_free": {"color": _INSIDE, "alpha": 0.22},
    "vmm": {"color": _VMM},
    "host_kernel": {"color": _HOST},
    "host_page_cache": {"color": _HOST, "alpha": 0.45},
    "residual": {"fc": GRID, "ec": MUTED, "hatch": "////"},
}
"""One colour for what is inside, one for QEMU, one for the host."""


def waterfall_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The memory waterfall by arm, medians of its steps.

    Args:
        frame: samples of the trials to show.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no arm has the steps.
    """
    waterfalls = waterfalls_of(frame)
    present = [arm for arm in arms if sum(waterfalls.get(arm.name, {}).values()) > 0]
    if not present:
        return None
    names = steps_of({arm.name: waterfalls[arm.name] for arm in present})
    columns = 2 if width <= NARROW else 4
    with drawing():
        lines = -(-len(names) // columns)
        rows = lay_out([Group("", tuple(arm.label for arm in present))], width, legend_lines=lines)
        for arm, y in zip(present, rows.positions[0], strict=True):
            left = 0.0
            for step, value in waterfalls[arm.name].items():
                rows.axes.barh(y, value, left=left, height=0.68, lw=0, label=f"{step} of {arm.name}", **_LOOKS[step])
                left += value
            rows.write(y, quantity(left, "bytes"))
        linear_axis(rows.axes, max(sum(waterfalls[arm.name].values()) for arm in present), "bytes", width)
        rows.figure.legend(
            [Patch(lw=0, **_LOOKS[step]) for step in names],
            [step_label(step) for step in names],
            loc="outside upper left",
            ncols=columns,
            frameon=False,
        )
        return rows.figure
