"""The noise floor in a report."""

from __future__ import annotations

from results.charts.quantities import ratio
from results.identical_arms import identical_arms
from results.noise_floor import READING, noise_floors, overhead, summary, width
from results.records import split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Section, Table


def noise_floor(data: RunData) -> tuple[Section, ...]:
    """A row a metric and pair of identical arms; no section where no two arms are.

    Raises:
        StoreError: the run's ``suite.yaml`` is unreadable or damaged.
    """
    floors = noise_floors(data.frame, identical_arms(data.directory), data.run.threshold)
    if not floors:
        return ()
    columns: dict[str, ColumnKind] = {"Workload": "text", "Metric": "text", "Arms": "text"}
    columns |= dict.fromkeys(("Ratio", "Spread", "Interval", "Advised", "n"), "number")
    columns["Verdict"] = "verdict"
    rows = tuple(
        (
            " ".join(filter(None, (one.workload, ", ".join(split_params(one.params))))),
            one.metric,
            f"{data.labels[one.twin]} / {data.labels[one.arm]}",
            ratio(one.ratio),
            width(one.spread),
            width(one.half_width),
            width(one.advised),
            str(one.n),
            one.verdict,
        )
        for one in floors
    )
    table = Table("Identical arms beside each other", columns, rows, grouped=True)
    paragraphs = tuple(filter(None, (READING, summary(floors), overhead(data.frame, data.trials))))
    return (Section("noise-floor", "Noise floor", paragraphs, (), (), (table,)),)
