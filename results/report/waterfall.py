"""The memory waterfall in a report."""

from __future__ import annotations

from results.charts.quantities import MISSING, quantity
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Table
from results.waterfall import READING, step_label, steps_of, waterfalls_of


def waterfall_picture(data: RunData) -> Picture:
    """The chart, in words for who cannot see it."""
    waterfalls = waterfalls_of(data.reference_frame)
    spoken = "; ".join(
        f"{arm.label}: "
        + ", ".join(f"{step_label(step)} {quantity(value, 'bytes')}" for step, value in waterfalls[arm.name].items())
        for arm in data.arms
        if arm.name in waterfalls
    )
    return Picture("memory-waterfall", "Whom idle memory serves", f"Medians by arm: {spoken}.", READING)


def waterfall_table(data: RunData) -> Table:
    """A row a step and a column an arm, with what they add up to."""
    waterfalls = waterfalls_of(data.reference_frame)
    arms = [arm for arm in data.arms if arm.name in waterfalls]
    rows = tuple(
        (step_label(step), *(_figure(waterfalls[arm.name].get(step)) for arm in arms)) for step in steps_of(waterfalls)
    )
    columns: dict[str, ColumnKind] = {"Step": "text", **dict.fromkeys((arm.label for arm in arms), "number")}
    whole = ("In all", *(quantity(sum(waterfalls[arm.name].values()), "bytes") for arm in arms))
    return Table("Whom idle memory serves, medians", columns, rows, total=whole)


def _figure(value: float | None) -> str:
    return MISSING if value is None else quantity(value, "bytes")
