"""What an instance costs in memory while idle, and what its image costs on disk: bars, split into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from results.charts.cases import arm_medians, part_medians
from results.charts.quantities import quantity
from results.charts.rows import Group, lay_out, linear_axis
from results.charts.style import INK, WIDE, ArmStyle, drawing, shown, tell
from results.records import FOOTPRINT_PARTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TINTS = (1.0, 0.6, 0.35, 0.18)
_REST = "rest"


def memory_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Idle footprint by arm, split as the kernel splits what the instance's cgroup holds.

    Args:
        frame: samples of the trials to show.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no arm has the metric.
    """
    wholes = arm_medians(frame, "memory_footprint")
    parts = {
        arm: {part: split[part] for part in FOOTPRINT_PARTS if part in split}
        for arm, split in part_medians(frame, "memory").items()
    }
    return _stacked(wholes, parts, arms, width)


def image_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Bytes of the image that each arm needs, by part; arguments and result as of :func:`memory_chart`."""
    return _stacked(arm_medians(frame, "image_size"), part_medians(frame, "image_size"), arms, width)


def _stacked(
    wholes: Mapping[str, float], parts: Mapping[str, Mapping[str, float]], arms: Sequence[ArmStyle], width: float
) -> Figure | None:
    present = [arm for arm in arms if arm.name in wholes]
    if not present:
        return None
    splits = {arm.name: _with_rest(wholes[arm.name], parts.get(arm.name, {})) for arm in present}
    names = list(dict.fromkeys(name for split in splits.values() for name in split if name != _REST))
    if any(_REST in split for split in splits.values()):
        names.append(_REST)
    tints = {name: _TINTS[min(index, len(_TINTS) - 1)] for index, name in enumerate(names)}
    with drawing():
        rows = lay_out([Group("", tuple(arm.label for arm in present))], width, legend_lines=len(names) > 1)
        for arm, y in zip(present, rows.positions[0], strict=True):
            left = 0.0
            for name, value in splits[arm.name].items():
                bar = rows.axes.barh(y, value, left=left, height=0.68, color=arm.colour, alpha=tints[name], label=name)
                whole = f"of {quantity(wholes[arm.name], 'bytes')} in all"
                tell(bar.patches[0], f"{arm.label}: {name}", f"median {quantity(value, 'bytes')}", whole)
                left += value
            rows.write(y, quantity(wholes[arm.name], "bytes"))
        linear_axis(rows.axes, max(wholes[arm.name] for arm in present), "bytes", width)
        if len(names) > 1:
            swatches = [Patch(color=INK, alpha=tints[name], lw=0) for name in names]
            rows.figure.legend(
                swatches, [shown(name, 20) for name in names], loc="outside upper left", ncols=len(names), frameon=False
            )
        return rows.figure


def _with_rest(whole: float, split: Mapping[str, float]) -> dict[str, float]:
    """The parts, and as one of its own what they leave of the whole; their medians may also exceed it a little."""
    shares = {name: value for name, value in split.items() if value > 0}
    left = whole - sum(shares.values())
    return {**shares, _REST: left} if not shares or left > 0.01 * whole else shares
