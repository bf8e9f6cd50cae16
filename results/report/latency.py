"""How long requests took, by percentile, in a report."""

from __future__ import annotations

import statistics
from collections.abc import Collection

from results.charts.latency import Latency, latencies_of
from results.charts.quantities import MISSING, quantity
from results.records import split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Section, Table

_READING = (
    "Each trial tells the percentiles of its own requests; what stands here are medians of these over the trials. A "
    "percentile of all trials' requests together is another figure, which cannot be told from them. They are by the "
    "clock that the tool sees (How to read this)."
)


def latency(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """A chart and a table; no section where no workload told two percentiles."""
    found = latencies_of(data.frame)
    if not found:
        return ()
    spoken = "; ".join(f"{_case(one)} {data.labels[one.arm]}: {_spoken(one)}" for one in found)
    picture = Picture(
        "latency",
        "Latency by percentile",
        f"Medians over trials: {spoken}.",
        "A line an arm; upright lines run from the least trial to the greatest. Logarithmic axis; further down is "
        "better.",
    )
    names = sorted({name for one in found for name in one.seconds}, key=lambda name: (name == "max", name))
    columns: dict[str, ColumnKind] = {"Workload": "text", "Arm": "text"}
    columns |= dict.fromkeys((name if name == "max" else f"p{name}" for name in names), "number")
    columns["n"] = "number"
    rows = tuple(
        (
            _case(one),
            data.labels[one.arm],
            *(_median(one.seconds.get(name)) for name in names),
            str(max(len(values) for values in one.seconds.values())),
        )
        for one in found
    )
    table = Table("Latency by percentile, medians over trials", columns, rows, grouped=True)
    pictures = (picture,) if "latency" in charts else ()
    return (Section("latency", "Latency", (_READING,), (), pictures, (table,)),)


def _case(one: Latency) -> str:
    return f"{one.case[0]} {', '.join(split_params(one.case[1]))}".rstrip()


def _median(values: list[float] | None) -> str:
    return MISSING if values is None else quantity(statistics.median(values), "s")


def _spoken(one: Latency) -> str:
    return ", ".join(f"{name} {quantity(statistics.median(values), 's')}" for name, values in one.seconds.items())
