"""Throughput of every arm relative to the baseline: a forest of ratios with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, interval, quantity, ratio, tick
from results.charts.rows import ROW, Group, Rows, lay_out, log_axis
from results.charts.style import GRID, MUTED, NARROW, PAPER, WIDE, ArmStyle, drawing, shown, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.compare import Comparison


_TWO_LINES = 0.3
"""Inches of a row whose interval stands below its ratio, where there is no room beside it."""


@dataclass(frozen=True, slots=True)
class Advantage:
    """A comparison turned so that above 1 is better for the arm, whatever the metric's own direction.

    Attributes:
        ratio: of the arm to the baseline; above zero and finite, or None.
        low: lower end of its interval; above zero and finite, or None.
        high: upper end of its interval; likewise.
    """

    ratio: float | None
    low: float | None
    high: float | None


def advantage(comparison: Comparison) -> Advantage:
    """Turn a comparison so that above 1 is better: the inverse where lower values are better."""
    ends = (comparison.ratio, comparison.ci_low, comparison.ci_high)
    usable = [end if end is not None and math.isfinite(end) and end > 0 else None for end in ends]
    if comparison.better != "lower":
        return Advantage(*usable)
    middle, low, high = (None if end is None else 1 / end for end in usable)
    return Advantage(middle, high, low)


def throughput_chart(comparisons: Sequence[Comparison], arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Ratios to the baseline with intervals on a logarithmic axis, turned so that further right is better.

    The practical threshold, within which a difference counts as none, is shaded.

    Args:
        comparisons: those to show; ones of neutral metrics are left out.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if there is nothing to show.
    """
    directed = [comparison for comparison in comparisons if comparison.better != "neutral"]
    if not directed:
        return None
    style = {arm.name: arm for arm in arms}
    rank = {arm.name: index for index, arm in enumerate(arms)}
    titles = case_labels((comparison.workload, comparison.params) for comparison in directed)
    grouped: dict[str, list[Comparison]] = {}
    for comparison in directed:
        title = f"{titles[comparison.workload, comparison.params]} — {comparison.metric}"
        grouped.setdefault(title, []).append(comparison)
    for members in grouped.values():
        members.sort(key=lambda member: rank[member.arm])
    with drawing():
        groups = [
            Group(title, tuple(style[member.arm].label for member in members)) for title, members in grouped.items()
        ]
        in_two_lines = width <= NARROW and any(member.ci_low is not None for member in directed)
        rows = lay_out(groups, width, row=_TWO_LINES if in_two_lines else ROW)
        for members, positions in zip(grouped.values(), rows.positions, strict=True):
            for member, y in zip(members, positions, strict=True):
                _draw(rows, y, style[member.arm], member, narrow=width <= NARROW)
        _scale(rows, directed, width)
        return rows.figure


def _draw(rows: Rows, y: float, arm: ArmStyle, comparison: Comparison, *, narrow: bool) -> None:
    turned = advantage(comparison)
    if turned.ratio is None:
        rows.write(y, MISSING, muted=True)
        return
    if turned.low is not None and turned.high is not None:
        rows.axes.plot([turned.low, turned.high], [y, y], "-", color=arm.colour, lw=1.8, solid_capstyle="butt")
    hollow = comparison.verdict == "inconclusive"
    (mark,) = rows.axes.plot(
        [turned.ratio], [y], arm.marker, ms=6, mec=arm.colour, mew=1.3, mfc=PAPER if hollow else arm.colour,
        label=f"{arm.name}: {comparison.verdict}",
    )  # fmt: skip
    between = interval(turned.low, turned.high)
    tell(
        mark,
        f"{arm.label}: {comparison.metric}, {comparison.verdict}",
        f"{ratio(turned.ratio)} {comparison.baseline}, above 1 is better",
        f"{f'95 % interval {between}' if between else 'no interval'}, n = {comparison.n} blocks",
        f"{quantity(comparison.median, comparison.unit)} beside "
        f"{quantity(comparison.baseline_median, comparison.unit)}, medians",
    )
    beside = f"[{between}]" if between else "(no interval)"
    rows.write(y, ("\n" if narrow and between else " ").join((ratio(turned.ratio), beside)))


def _scale(rows: Rows, comparisons: Sequence[Comparison], width: float) -> None:
    turned_over = [advantage(comparison) for comparison in comparisons]
    ends = [end for turned in turned_over for end in (turned.ratio, turned.low, turned.high) if end is not None]
    log_axis(rows.axes, min([*ends, 0.8]), max([*ends, 1.25]), width, label=lambda at: f"{tick(at, '')}×")
    threshold = comparisons[0].threshold
    rows.axes.axvspan(1 / (1 + threshold), 1 + threshold, color=GRID, alpha=0.45, lw=0, zorder=0)
    rows.axes.axvline(1, color=MUTED, lw=1, zorder=0.5)
    baseline = shown(comparisons[0].baseline, 14 if width <= NARROW else 40)
    rows.axes.set_xlabel(f"← worse than {baseline} · better →")
