"""Whom an instance's memory serves, from the application outwards: one bar an arm, or a moment of each arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.patches import Patch

from results.charts.cases import case_labels, of_case
from results.charts.quantities import quantity
from results.charts.rows import Group, lay_out, linear_axis
from results.charts.style import GRID, MUTED, NARROW, SERIES, WIDE, ArmStyle, drawing, tell
from results.records import MEMORY_MOMENTS
from results.waterfall import MOMENT_LABELS, cases_with_moments, step_label, steps_of, waterfalls_of

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
    "helpers": {"color": _VMM, "alpha": 0.6},
    "residual": {"fc": GRID, "ec": MUTED, "hatch": "////"},
}
"""One colour for what is inside, one for QEMU and whoever else looks after an instance, one for the host."""


@dataclass(frozen=True)
class _Bars:
    """Bars under one title, by the label of each: bytes by step."""

    title: str
    steps: dict[str, dict[str, float]]


def waterfall_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The waterfall of idle memory by arm, medians of its steps.

    Args:
        frame: samples of the trials to show.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no arm has the steps.
    """
    waterfalls = waterfalls_of(frame)
    return _chart([_Bars("", {arm.label: waterfalls[arm.name] for arm in arms if arm.name in waterfalls})], width)


def moments_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The waterfalls of memory while idle, under load and afterwards, one below the other for each case and arm.

    Args and returns are those of :func:`waterfall_chart`.
    """
    found = cases_with_moments(frame)
    labels = case_labels(found)
    groups = []
    for case in found:
        waterfalls = {moment: waterfalls_of(of_case(frame, case), moment) for moment in MEMORY_MOMENTS}
        for arm in arms:
            steps = {MOMENT_LABELS[moment]: of[arm.name] for moment, of in waterfalls.items() if arm.name in of}
            groups.append(_Bars(f"{labels[case]}: {arm.label}", steps))
    return _chart(groups, width)


def _chart(groups: Sequence[_Bars], width: float) -> Figure | None:
    present = [
        _Bars(group.title, shown)
        for group in groups
        if (shown := {label: steps for label, steps in group.steps.items() if sum(steps.values()) > 0})
    ]
    if not present:
        return None
    names = steps_of({f"{group.title}\n{label}": steps for group in present for label, steps in group.steps.items()})
    columns = 2 if width <= NARROW else 4
    with drawing():
        lines = -(-len(names) // columns)
        rows = lay_out([Group(group.title, tuple(group.steps)) for group in present], width, legend_lines=lines)
        for group, positions in zip(present, rows.positions, strict=True):
            for (label, steps), y in zip(group.steps.items(), positions, strict=True):
                left = 0.0
                for step, value in steps.items():
                    name = f"{step} of {group.title} {label}".replace("of  ", "of ")
                    bar = rows.axes.barh(y, value, left=left, height=0.68, lw=0, label=name, **_LOOKS[step])
                    whole = f"of {quantity(sum(steps.values()), 'bytes')} in all"
                    value_line = f"median {quantity(value, 'bytes')}"
                    tell(bar.patches[0], f"{label}: {step_label(step)}", group.title, value_line, whole)
                    left += value
                rows.write(y, quantity(left, "bytes"))
        highest = max(sum(steps.values()) for group in present for steps in group.steps.values())
        linear_axis(rows.axes, highest, "bytes", width)
        rows.figure.legend(
            [Patch(lw=0, **_LOOKS[step]) for step in names],
            [step_label(step) for step in names],
            loc="outside upper left",
            ncols=columns,
            frameon=False,
        )
        return rows.figure
