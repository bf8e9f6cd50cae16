"""How exactly limits were kept: errors in percent around a zero line, one row for each limit and arm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from results.charts.cases import case_labels
from results.charts.quantities import percentage, quantity, tick
from results.charts.rows import Group, Rows, lay_out, percent_axis
from results.charts.style import GRID, MUTED, NARROW, WIDE, ArmStyle, drawing, tell
from results.limits import GivenLimit, tolerance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FURTHEST = 100.0  # percent; what lies beyond stands at the edge, so that one error does not crush all others


def limits_chart(limits: Sequence[GivenLimit], arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Errors of limits by limit and arm: every trial a faint mark, the median a full one, the tolerance a band.

    A limit that several workload cases measured has a group of rows for each.

    Args:
        limits: in the order to show them.
        arms: styles of their arms.
        width: inches.

    Returns:
        The figure, or None if there is nothing to show.
    """
    if not limits:
        return None
    style = {arm.name: arm for arm in arms}
    grouped = [list(members) for _, members in groupby(limits, key=_group)]
    titles = _titles(grouped)
    groups = [
        Group(title, tuple(_label(limit, style[limit.arm], members, width) for limit in members))
        for title, members in zip(titles, grouped, strict=True)
    ]
    errors = [error for limit in limits for error in limit.errors]
    widest = max(tolerance(limit.limit) for limit in limits)
    low = min(*errors, -1.5 * widest)
    high = min(max(*errors, 1.5 * widest), _FURTHEST)
    with drawing():
        rows = lay_out(groups, width)
        percent_axis(rows.axes, low, high, width)
        rows.axes.axvline(0, color=MUTED, lw=1, zorder=0.5)
        for members, positions in zip(grouped, rows.positions, strict=True):
            band = tolerance(members[0].limit)
            corner = (-band, positions[0] - 0.5)
            rows.axes.add_patch(
                Rectangle(corner, 2 * band, len(positions), color=GRID, alpha=0.45, lw=0, zorder=0, label="tolerance")
            )
            for limit, y in zip(members, positions, strict=True):
                _draw(rows, y, style[limit.arm], limit, high)
        rows.axes.set_xlabel(
            "← less · more than asked →" if width <= NARROW else "← less than asked for · more than asked for →"
        )
        return rows.figure


def _draw(rows: Rows, y: float, arm: ArmStyle, limit: GivenLimit, edge: float) -> None:
    inside = [error for error in limit.errors if error <= edge]
    rows.axes.plot(inside, [y] * len(inside), arm.marker, ms=4, color=arm.colour, alpha=0.3, mew=0)
    beyond = limit.error > edge
    (mark,) = rows.axes.plot(
        [min(limit.error, edge)],
        [y],
        ">" if beyond else arm.marker,
        ms=7,
        color=arm.colour,
        label=f"{limit.limit} of {arm.name}",
        clip_on=False,
    )
    tell(
        mark,
        f"{arm.label}: {limit.limit}, {limit.outcome}",
        f"asked {_asked(limit)}, given {quantity(limit.given, limit.unit)} ({percentage(limit.error)})",
        f"errors {percentage(min(limit.errors))} to {percentage(max(limit.errors))}, n = {len(limit.errors)} trials",
    )
    rows.write(y, percentage(limit.error))


def _group(limit: GivenLimit) -> tuple[str, str, str]:
    return limit.limit, limit.workload, limit.params


def _titles(groups: Sequence[Sequence[GivenLimit]]) -> list[str]:
    """The limit; what was asked for if that is one for all arms; and who measured it, where several cases did."""
    names = [members[0].limit for members in groups]
    labels = case_labels((members[0].workload, members[0].params) for members in groups)
    titles = []
    for members in groups:
        first = members[0]
        asked = f": {_asked(first)}" if _is_same(members) else ""
        measured = f" — {labels[first.workload, first.params]}" if names.count(first.limit) > 1 else ""
        titles.append(f"{first.limit}{asked}{measured}")
    return titles


def _label(limit: GivenLimit, arm: ArmStyle, members: Sequence[GivenLimit], width: float) -> str:
    return arm.label if width <= NARROW or _is_same(members) else f"{arm.label}, {_asked(limit)}"


def _is_same(members: Sequence[GivenLimit]) -> bool:
    return len({limit.asked for limit in members}) == 1


def _asked(limit: GivenLimit) -> str:
    return tick(limit.asked, limit.unit, 6)
