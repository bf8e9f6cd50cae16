"""The memory waterfall in a report, of idle instances and at other moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.charts.cases import arm_medians, of_case
from results.charts.quantities import MISSING, quantity
from results.records import MEMORY_MOMENTS
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Table
from results.waterfall import MOMENT_LABELS, READING, cases_with_moments, step_label, steps_of, waterfalls_of

if TYPE_CHECKING:
    import pandas as pd

_WAYS = {
    "": "Footprint",
    "unreclaimable": "Not reclaimable",
    "pss": "PSS",
    "residual_pss": "PSS less what is charged as mapped",
    "host_available_drop": "Drop of MemAvailable",
    "residual_available": "Drop less what is not reclaimable",
}
"""Ways of counting, by part of the moment's metric, and how a column is called."""


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


def moments_picture(data: RunData) -> Picture:
    """The chart of the three moments, in words for who cannot see it."""
    spoken = []
    for case in cases_with_moments(data.frame):
        of_this = of_case(data.frame, case)
        for arm in data.arms:
            wholes = [(label, _whole(of_this, moment, arm.name)) for moment, label in MOMENT_LABELS.items()]
            known = ", ".join(f"{label} {quantity(value, 'bytes')}" for label, value in wholes if value is not None)
            spoken += [f"{' '.join(case).strip()}, {arm.label}: {known}"] if known else []
    return Picture(
        "memory-moments",
        "Memory idle, under load and afterwards",
        f"Medians: {'; '.join(spoken)}.",
        "The same steps at three moments: just after READY, while the workload holds what it has filled or read, and "
        "some seconds after it has ended. What stays afterwards is what the instance has not given back: page cache, "
        "which the host can take from a container when it needs it, and in a guest memory that its kernel has free, "
        "which the host cannot take back unless the guest reports it.",
    )


def moments_table(data: RunData) -> Table:
    """The three ways of counting at each moment, and what they differ by; a row a case, an arm and a moment."""
    columns: dict[str, ColumnKind] = {"Workload": "text", "Arm": "text", "Moment": "text"}
    columns |= dict.fromkeys(_WAYS.values(), "number")
    rows = []
    for case in cases_with_moments(data.frame):
        of_this = of_case(data.frame, case)
        for arm in data.arms:
            for moment, label in MOMENT_LABELS.items():
                whole = _whole(of_this, moment, arm.name)
                if whole is None:
                    continue
                prefix = MEMORY_MOMENTS[moment]
                figures = [arm_medians(of_this, f"{prefix}.{part}").get(arm.name) for part in _WAYS if part]
                cells = (_figure(value) for value in (whole, *figures))
                rows.append((" ".join(case).strip(), arm.label, label, *cells))
    return Table("Memory at three moments, counted three ways, medians", columns, tuple(rows), grouped=True)


def moment_steps_table(data: RunData) -> Table:
    """Whom it serves at each moment; a row a case, an arm and a moment, and a column a step."""
    rows: list[tuple[str, ...]] = []
    found = cases_with_moments(data.frame)
    every = [waterfalls_of(of_case(data.frame, case), moment) for case in found for moment in MEMORY_MOMENTS]
    names = steps_of({f"{number} {arm}": steps for number, each in enumerate(every) for arm, steps in each.items()})
    for case in found:
        waterfalls = {moment: waterfalls_of(of_case(data.frame, case), moment) for moment in MEMORY_MOMENTS}
        rows += [
            (" ".join(case).strip(), arm.label, MOMENT_LABELS[moment], *(_figure(of[arm.name].get(n)) for n in names))
            for arm in data.arms
            for moment, of in waterfalls.items()
            if arm.name in of
        ]
    columns: dict[str, ColumnKind] = {"Workload": "text", "Arm": "text", "Moment": "text"}
    columns |= dict.fromkeys((step_label(step) for step in names), "number")
    return Table("Whom memory serves at three moments, medians", columns, tuple(rows), folded=True, grouped=True)


def _whole(frame: pd.DataFrame, moment: str, arm: str) -> float | None:
    metric = "memory_footprint" if moment == "idle" else MEMORY_MOMENTS[moment]
    return arm_medians(frame, metric).get(arm)


def _figure(value: float | None) -> str:
    return MISSING if value is None else quantity(value, "bytes")
