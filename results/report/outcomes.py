"""What of a run is no comparison: checks that hold or are broken, and limits that were met or not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from results.charts.quantities import MISSING, Written, percentage, quantity, tick
from results.checks import Checks, claim
from results.limits import GivenLimit, tolerance
from results.records import split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Section, Table


def checks(data: RunData) -> tuple[Section, ...]:
    """A pass/fail table a workload case; no section where nothing was checked."""
    if not data.checks:
        return ()
    text = (
        "Each line is a claim about an instance that a workload tests from inside. It holds, or it is broken: a claim "
        "that failed in one trial is broken, and the cell says in how many. A dash stands where an arm did not check "
        "it. Claims are not compared with the baseline, and none weighs more than another."
    )
    return (Section("checks", "Checks", (text,), tables=tuple(_check_table(data, one) for one in data.checks)),)


def limits(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """What was given of what was asked for; no section where no limit was measured."""
    if not data.limits:
        return ()
    picture = Picture(
        "limits",
        "Errors of limits",
        f"Median error by limit and arm: {_spoken(data)}. The table below has all.",
        "What was given beyond what was asked for, in percent of what was asked for. Faint marks are single trials, "
        "full ones medians; the shaded band is the tolerance. A mark at the right edge that points right lies beyond.",
    )
    pictures = (picture,) if picture.name in charts else ()
    return (Section("limits", "Limits", (_tolerances(data.limits),), (), pictures, (_limit_table(data),)),)


def _check_table(data: RunData, one: Checks) -> Table:
    columns: dict[str, ColumnKind] = {"Claim": "text"}
    columns |= dict.fromkeys((data.labels[arm] for arm in one.arms), "outcome")
    rows = tuple(
        (claim(metric), *(tallies[arm].words if arm in tallies else MISSING for arm in one.arms))
        for metric, tallies in one.claims.items()
    )
    return Table(f"Checks of {_case(one)}", columns, rows, total=("In all", *(one.total(arm) for arm in one.arms)))


def _limit_table(data: RunData) -> Table:
    columns: dict[str, ColumnKind] = {
        "Limit": "text",
        "Arm": "text",
        "Asked": "number",
        "Given": "number",
        "Error": "number",
        "Least to greatest": "number",
        "n": "number",
        "Outcome": "outcome",
        "Measured by": "text",
    }
    rows = tuple(
        (
            f"{limit.limit} (±{tick(tolerance(limit.limit), '%')})",
            data.labels[limit.arm],
            tick(limit.asked, limit.unit, 6),
            quantity(limit.given, limit.unit),
            percentage(limit.error),
            Written(f"{percentage(min(limit.errors))} to {percentage(max(limit.errors))}", min(limit.errors)),
            str(len(limit.errors)),
            limit.outcome,
            _case(limit),
        )
        for limit in data.limits
    )
    return Table("Limits as asked for and as given, medians over trials", columns, rows, grouped=True)


def _tolerances(given: Sequence[GivenLimit]) -> str:
    by_width: dict[float, list[str]] = {}
    for limit in dict.fromkeys(limit.limit for limit in given):
        by_width.setdefault(tolerance(limit), []).append(limit)
    widths = "; ".join(f"±{tick(width, '%')} for {', '.join(names)}" for width, names in by_width.items())
    return (
        f"A limit counts as met if the median of its errors lies within a tolerance: {widths}. A quota of CPU time is "
        "accounted exactly. Elsewhere whole requests, packets and pages are let through, and headers count towards "
        "the limit but not towards what a tool reports. Exceeded: the instance got more than was asked for. Not "
        "reached: it got less, because the limit is kept too tight, or because the instance is slower than its limit."
    )


def _spoken(data: RunData) -> str:
    return ", ".join(f"{limit.limit} {data.labels[limit.arm]} {percentage(limit.error)}" for limit in data.limits)


def _case(one: Checks | GivenLimit) -> str:
    return f"{one.workload} {', '.join(split_params(one.params))}".rstrip()
