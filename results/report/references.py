"""What others have published of the same, in a report."""

from __future__ import annotations

from collections.abc import Collection

from results.charts.cases import case_labels
from results.charts.quantities import quantity, ratio
from results.references import Reference, sources_of
from results.report.data import RunData
from results.report.document import Picture, Section, Table
from results.report.overview import with_interval


def references(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """A table, a chart, and whose figures they are; no section where nothing was published."""
    if not data.references:
        return ()
    text = (
        "What others have measured of the same workloads, on other hardware and with other software: a reference to "
        "read figures by, and never a target. A ratio is the arm's figure divided by the native one."
    )
    points = tuple(" ".join((f"{one.key}: {one.title}.", *one.notes)) for one in sources_of(data.references))
    picture = Picture(
        "references",
        "Ratios to native, ours and as published",
        "; ".join(_spoken(data, each) for each in data.references if each.comparison.accel != "tcg") + ".",
        "Filled marks with 95 % confidence intervals are ours, hollow diamonds as published; beside each row stand "
        "both. Arms under software emulation are left out. Logarithmic axis; further right is more.",
    )
    shown = (picture,) if "references" in charts else ()
    return (Section("references", "As published", (text,), points, shown, (_table(data),)),)


def _table(data: RunData) -> Table:
    labels = case_labels((each.comparison.workload, each.comparison.params) for each in data.references)
    rows = tuple(
        (
            f"{labels[each.comparison.workload, each.comparison.params]}: {each.comparison.metric}",
            data.labels[each.comparison.arm],
            with_interval(each.comparison),
            ratio(each.ratio),
            quantity(each.comparison.baseline_median, each.comparison.unit),
            quantity(each.published.native, each.comparison.unit),
            _published(each),
        )
        for each in data.references
    )
    baseline = data.run.baseline
    return Table(
        "Ratios to native, ours and as published",
        {
            "Workload": "text",
            "Arm": "text",
            "Ours [95 % interval]": "number",
            "Published": "number",
            f"Our {baseline}": "number",
            "Their native": "number",
            "Source": "text",
        },
        rows,
        grouped=True,
    )


def _published(reference: Reference) -> str:
    published = reference.published
    return ", ".join(
        filter(None, (published.source.key, published.setting, f"n = {published.n}" if published.n else ""))
    )


def _spoken(data: RunData, reference: Reference) -> str:
    ours = reference.comparison
    own = "no ratio" if ours.ratio is None else ratio(ours.ratio)
    return f"{ours.workload} {ours.metric} {data.labels[ours.arm]}: {own}, published {ratio(reference.ratio)}"
