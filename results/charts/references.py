"""Our ratios to the baseline beside those that others have published of the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, interval, ratio, tick
from results.charts.rows import Group, Rows, lay_out, log_axis
from results.charts.style import MUTED, PAPER, WIDE, ArmStyle, drawing, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.references import Reference


def references_chart(references: Sequence[Reference], arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """A row for each of our arms with a published counterpart: ours with its interval, and theirs, a hollow diamond.

    Args:
        references: those to show.
        arms: styles of their arms.
        width: inches.

    Returns:
        The figure, or None if there is nothing to show.
    """
    if not references:
        return None
    style = {arm.name: arm for arm in arms}
    labels = case_labels((each.comparison.workload, each.comparison.params) for each in references)
    grouped: dict[str, list[Reference]] = {}
    for each in references:
        ours = each.comparison
        setting = f" ({each.published.setting})" if each.published.setting else ""
        title = f"{labels[ours.workload, ours.params]} — {ours.metric}, {each.published.source.key}{setting}"
        grouped.setdefault(title, []).append(each)
    with drawing():
        groups = [
            Group(title, tuple(style[each.comparison.arm].label for each in members))
            for title, members in grouped.items()
        ]
        rows = lay_out(groups, width)
        for members, positions in zip(grouped.values(), rows.positions, strict=True):
            for each, y in zip(members, positions, strict=True):
                _draw(rows, y, style[each.comparison.arm], each)
        ends = [end for each in references for end in _usable(each)]
        log_axis(rows.axes, min([*ends, 0.8]), max([*ends, 1.25]), width, label=lambda at: f"{tick(at, '')}×")
        rows.axes.axvline(1, color=MUTED, lw=1, zorder=0.5)
        rows.axes.set_xlabel("ratio to native: filled ours, ◇ published")
        return rows.figure


def _usable(reference: Reference) -> list[float]:
    ours = reference.comparison
    ends = (ours.ratio, ours.ci_low, ours.ci_high, reference.ratio)
    return [end for end in ends if end is not None and math.isfinite(end) and end > 0]


def _draw(rows: Rows, y: float, arm: ArmStyle, reference: Reference) -> None:
    ours = reference.comparison
    published = reference.published
    (theirs,) = rows.axes.plot(
        [reference.ratio], [y], "D", ms=7, mec=MUTED, mew=1.3, mfc=PAPER, label=f"published for {arm.name}"
    )
    n = f"n = {published.n}" if published.n else ""
    tell(theirs, f"Published: {published.source.key}", ours.metric, f"{ratio(reference.ratio)} native", n)
    if ours.ci_low is not None and ours.ci_high is not None and ours.ci_low > 0:
        rows.axes.plot([ours.ci_low, ours.ci_high], [y, y], "-", color=arm.colour, lw=1.8, solid_capstyle="butt")
    if ours.ratio is not None and math.isfinite(ours.ratio) and ours.ratio > 0:
        (mark,) = rows.axes.plot([ours.ratio], [y], arm.marker, ms=6, color=arm.colour, label=f"{arm.name}: ours")
        between = interval(ours.ci_low, ours.ci_high)
        ends = f"95 % interval {between}" if between else "no interval"
        tell(
            mark, f"{arm.label}: {ours.metric}", f"{ratio(ours.ratio)} {ours.baseline}", f"{ends}, n = {ours.n} blocks"
        )
    mine = MISSING if ours.ratio is None else ratio(ours.ratio)
    rows.write(y, f"{mine} · {ratio(reference.ratio)}")
