"""What the iterations inside trials did, in a report."""

from __future__ import annotations

from results.charts.quantities import MISSING, tick
from results.iterations import LABELS, READING, Iterations, iterations_of
from results.records import split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Section, Table


def iterations(data: RunData) -> tuple[Section, ...]:
    """A row a metric and arm; no section where no trial has more than one iteration."""
    found = iterations_of(data.frame)
    if not found:
        return ()
    labels = [label for label in LABELS if any(one.counts[label] for one in found)]
    columns: dict[str, ColumnKind] = {"Workload": "text", "Metric": "text", "Arm": "text", "Iterations": "number"}
    columns |= dict.fromkeys((label.capitalize() for label in labels), "number")
    columns["Steady from iteration"] = "number"
    rows = tuple(
        (
            _case(one),
            one.metric,
            data.labels[one.arm],
            str(one.iterations),
            *(str(one.counts[label]) for label in labels),
            MISSING if one.begins is None else tick(one.begins + 1, ""),
        )
        for one in found
    )
    table = Table("Trials by what their iterations did", columns, rows, grouped=True)
    return (Section("iterations", "Iterations", (READING,), (), (), (table,)),)


def _case(one: Iterations) -> str:
    return " ".join(filter(None, (one.workload, ", ".join(split_params(one.params)))))
