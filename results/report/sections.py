"""The body of a report: what was measured, section by section."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from results.charts.cases import arm_medians, part_medians
from results.charts.quantities import MISSING, Written, effect, quantity, ratio, tick
from results.charts.throughput import advantage
from results.compare import Comparison
from results.records import is_part, split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Section, Table
from results.report.overview import with_interval
from results.report.starts import other_starts_table, pictures
from results.report.waterfall import (
    moment_steps_table,
    moments_picture,
    moments_table,
    waterfall_picture,
    waterfall_table,
)
from results.summary import Summary, describe
from results.trials import natural

Charts = Collection[str]
"""Names of the charts that have something to show."""

ARROWS = {"lower": "↓", "higher": "↑", "neutral": ""}
_PEAKS = {
    "memory_peak": "The kernel's mark",
    "memory_peak.unreclaimable": "Not reclaimable, the highest reading",
}
"""Peaks of memory, and how a column is called."""
_USE = ("cpus_used", "cpu.", "pids_peak", "io.", "pressure.")
"""What metrics of an instance's use start with that no other section shows."""


def startup(data: RunData, charts: Charts) -> Section:
    """Startup: arms side by side and beside the floor, phases, cold starts, several at once, quantiles."""
    tables = (
        _levels(data, ("startup_time", "first_output_time", "shutdown_time"), "Startup and shutdown"),
        other_starts_table(data),
    )
    return Section("startup", "Startup", (_reference_note(data),), (), _only(pictures(data), charts), _filled(tables))


def memory(data: RunData, charts: Charts) -> Section:
    """Memory while idle, by part, and at its peak; and the image."""
    footprints = arm_medians(data.reference_frame, "memory_footprint")
    images = arm_medians(data.reference_frame, "image_size")
    peaks = arm_medians(data.frame, "memory_peak")
    pictures = (
        Picture(
            "memory",
            "Idle footprint",
            f"Idle memory footprint by arm, medians: {_spoken(data, footprints, 'bytes')}.",
            "Memory charged to the instance's cgroup after READY and before any work: anonymous memory, page cache and "
            "kernel memory. For a virtual machine that is the cgroup of QEMU, the guest's memory in it; for a "
            "container engine also what its own processes hold for the instance's sake (helpers).",
        ),
        waterfall_picture(data),
        moments_picture(data),
        Picture(
            "memory-peak",
            "Peak under each workload",
            f"Peak memory by arm over all workloads, medians: {_spoken(data, peaks, 'bytes')}.",
            "The kernel's own high-water mark over the workload; further left is less. It counts page cache that "
            "could have been reclaimed, and stops at the limit. Logarithmic axis; lines run from the least trial "
            "to the greatest.",
        ),
        Picture(
            "image-size",
            "Image",
            f"Image size by arm: {_spoken(data, images, 'bytes')}.",
            "Bytes on disk that the arm needs to start, by part.",
        ),
    )
    tables = (
        _levels(data, ("memory_footprint", "memory.pss"), "Idle memory, charged and mapped"),
        waterfall_table(data),
        moments_table(data),
        moment_steps_table(data),
        _peaks(data),
        _parts(data, "memory", "memory_footprint", "Idle memory by part, medians"),
        _parts(data, "image_size", "image_size", "Image by part"),
    )
    text = (
        "The same memory is looked at in several ways, so not all parts add up. The footprint is what is charged to "
        "the instance's cgroup, anon, file and kernel together, and what helpers hold; shmem and file_mapped are "
        "contained in file, slab, kernel_stack and page_tables in kernel. charged is the cgroup's counter, which the "
        "kernel moves by 64 pages at a time on each CPU, so that it says little of a small instance. Guest figures are "
        "what a guest kernel says "
        "of the memory it was given."
    )
    mapped = (
        "memory.pss is the proportional set size: what the instance's processes have mapped, each page divided by the "
        "number of processes that share it. Program files, such as QEMU's binary and its libraries, are in it, and not "
        "in the footprint: the page cache that they lie in is charged to whoever read them first, which is seldom the "
        "instance. Kernel memory is in the footprint only."
    )
    return Section("memory", "Memory and image", (text, mapped), (), _only(pictures, charts), _filled(tables))


def throughput(data: RunData, charts: Charts) -> Section:
    """What the workloads measure foremost, relative to the baseline."""
    if not data.throughput:
        return Section(
            "throughput", "Throughput", ("No workload metric was measured in both the baseline and another arm.",)
        )
    reading = throughput_reading(data)
    pictures = (
        Picture(
            "throughput",
            f"Throughput relative to {data.run.baseline}",
            f"Ratio to {data.run.baseline}, above 1 is better. {_spans(data, emulated=False)} The table below has all.",
            "Arms that the host's processor executes.",
        ),
        Picture(
            "throughput-emulated",
            "Software emulation: function only, never performance",
            f"Ratio to {data.run.baseline} under emulation. {_spans(data, emulated=True)} The table below has all.",
            "Arms under software emulation, on a scale of their own so that they do not crush the others.",
        ),
    )
    table = _comparisons(data, data.throughput, f"Throughput against {data.run.baseline}")
    return Section("throughput", "Throughput", (reading,), (), _only(pictures, charts), (table,))


def throughput_reading(data: RunData) -> str:
    """How to read the charts of ratios."""
    return (
        f"Ratios to {data.run.baseline}. Further right is better, for every metric: where lower values are better the "
        "ratio is turned over. Logarithmic axis. Lines are 95 % confidence intervals. The shaded band is "
        f"±{tick(100 * data.run.threshold, '%')}: a difference within it makes none in practice. "
        "A hollow mark is inconclusive."
    )


def cpu_time(data: RunData, charts: Charts) -> Section:
    """What the work cost the host in CPU time."""
    totals = arm_medians(data.frame, "cpu_time")
    picture = Picture(
        "cpu-time",
        "CPU time",
        f"Host CPU time by arm over all workloads, medians: {_spoken(data, totals, 's')}.",
        "CPU time of the instance's processes on the host, for a virtual machine that of QEMU, which runs the guest; "
        "further left is less. Logarithmic axis; lines run from the least trial to the greatest.",
    )
    text = (
        "An arm that matches the baseline's throughput at twice its CPU time has not matched it. Kernel threads that "
        "work for an instance, such as those that serve its disk or move its packets, are not among its processes, so "
        "that their time is not in it."
    )
    tables = (_use(data),)
    return Section("cpu-time", "CPU time", (text,), (), _only((picture,), charts), _filled(tables))


def comparisons(data: RunData) -> Section:
    """Every comparison there is."""
    whole = [comparison for comparison in data.comparisons if not is_part(comparison.metric)]
    parts = [comparison for comparison in data.comparisons if is_part(comparison.metric)]
    tables = (
        _comparisons(data, whole, "Every metric", folded=True),
        _comparisons(data, parts, "Phases; parts of memory, image, CPU time, I/O and pressure", folded=True),
    )
    text = f"Ratios as measured: arm divided by {data.run.baseline}, so whether above 1× is good depends on the metric."
    return Section("comparisons", "All comparisons", (text,), (), (), _filled(tables))


def _comparisons(data: RunData, found: Sequence[Comparison], caption: str, *, folded: bool = False) -> Table:
    columns: dict[str, ColumnKind] = {
        "Workload": "text",
        "Metric": "text",
        "Arm": "text",
        "Median": "number",
        f"Median of {data.run.baseline}": "number",
        "Ratio [95 % interval]": "number",
        "n": "number",
        "Could see": "number",
        "Verdict": "verdict",
        "Warnings": "text",
    }
    rows = [
        (
            _case(comparison),
            f"{comparison.metric} {ARROWS[comparison.better]}".rstrip(),
            data.labels[comparison.arm],
            quantity(comparison.median, comparison.unit),
            quantity(comparison.baseline_median, comparison.unit),
            with_interval(comparison),
            str(comparison.n),
            effect(comparison.detectable) or MISSING,
            comparison.verdict,
            "; ".join(comparison.warnings),
        )
        for comparison in found
    ]
    return Table(f"{caption} (↑ higher is better, ↓ lower is better)", columns, tuple(rows), folded, grouped=True)


def _case(one: Comparison | Summary) -> str:
    return f"{one.workload} {', '.join(split_params(one.params))}".rstrip()


def _levels(data: RunData, metrics: Sequence[str], caption: str) -> Table:
    summaries = sorted(
        (summary for summary in describe(data.reference_frame) if summary.metric in metrics),
        key=lambda summary: metrics.index(summary.metric),
    )
    return Table(
        caption,
        {
            "Metric": "text",
            "Arm": "text",
            "Median": "number",
            "Least": "number",
            "Quartiles": "number",
            "Greatest": "number",
            "n": "number",
            f"Ratio to {data.run.baseline} [95 % interval]": "number",
        },
        tuple(_level(data, summary) for summary in summaries),
    )


def _level(data: RunData, summary: Summary) -> tuple[str, ...]:
    comparison = data.against_baseline(summary.arm, summary.metric)
    return (
        summary.metric,
        data.labels[summary.arm],
        quantity(summary.median, summary.unit),
        quantity(summary.minimum, summary.unit),
        Written(
            f"{quantity(summary.quartile_low, summary.unit)} – {quantity(summary.quartile_high, summary.unit)}",
            summary.quartile_low,
        ),
        quantity(summary.maximum, summary.unit),
        str(summary.n),
        with_interval(comparison) if comparison else "",
    )


def _parts(data: RunData, prefix: str, whole: str, caption: str) -> Table:
    """A column an arm, a row for the whole and one for each part."""
    arms = [arm for arm in data.arms if arm.name in arm_medians(data.reference_frame, whole)]
    wholes = arm_medians(data.reference_frame, whole)
    parts = part_medians(data.reference_frame, prefix)
    names = dict.fromkeys(name for arm in arms for name in parts.get(arm.name, {}))
    rows = [(whole, *(quantity(wholes[arm.name], "bytes") for arm in arms))]
    rows += [
        (f"{prefix}.{name}", *(quantity(parts.get(arm.name, {}).get(name), "bytes") for arm in arms)) for name in names
    ]
    columns: dict[str, ColumnKind] = {"Metric": "text", **dict.fromkeys((arm.label for arm in arms), "number")}
    return Table(caption, columns, tuple(rows) if arms else ())


def _peaks(data: RunData) -> Table:
    """The highest memory in each case, by the kernel's own mark and by readings of what it could not take back."""
    found = {(_case(one), one.arm, one.metric): one for one in describe(data.frame) if one.metric in _PEAKS}
    rows = {(case, arm.name): arm.label for case, _, _ in found for arm in data.arms}
    cells = {
        key: [quantity(one.median, "bytes") if (one := found.get((*key, metric))) else MISSING for metric in _PEAKS]
        for key in rows
    }
    columns: dict[str, ColumnKind] = {"Workload": "text", "Arm": "text", **dict.fromkeys(_PEAKS.values(), "number")}
    listed = tuple((key[0], label, *cells[key]) for key, label in rows.items() if set(cells[key]) != {MISSING})
    return Table("Peak memory, medians", columns, listed, folded=True, grouped=True)


def _use(data: RunData) -> Table:
    """A column an arm, and a row for each part of what a workload case used of processor, disk and processes."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    used = [summary for summary in describe(data.frame) if summary.metric.startswith(_USE)]
    for summary in sorted(used, key=lambda summary: natural((summary.workload, summary.params))):
        cells = rows.setdefault((_case(summary), summary.metric), {})
        cells[summary.arm] = quantity(summary.median, summary.unit)
    columns: dict[str, ColumnKind] = {"Workload": "text", "Metric": "text"}
    columns |= dict.fromkeys((arm.label for arm in data.arms), "number")
    return Table(
        "CPU time by part, processes, I/O and pressure, medians",
        columns,
        tuple((*key, *(cells.get(arm.name, MISSING) for arm in data.arms)) for key, cells in rows.items()),
        folded=True,
        grouped=True,
    )


def _reference_note(data: RunData) -> str:
    if data.reference is None:
        return "Not measured: no trial succeeded."
    workload, params = data.reference
    trials = data.reference_frame.groupby("arm", observed=True)["trial"].nunique()
    counts = ", ".join(f"{data.labels[str(arm)]} {count}" for arm, count in trials.items())
    return f"From the trials of {workload}{f' ({params})' if params else ''}: {counts}. Each is a fresh instance."


def _spoken(data: RunData, medians: dict[str, float], unit: str) -> str:
    return ", ".join(f"{arm.label} {quantity(medians[arm.name], unit)}" for arm in data.arms if arm.name in medians)


def _spans(data: RunData, *, emulated: bool) -> str:
    shown = [comparison for comparison in data.throughput if (comparison.accel == "tcg") == emulated]
    texts = []
    for arm in data.arms:
        turned = [advantage(comparison).ratio for comparison in shown if comparison.arm == arm.name]
        known = [value for value in turned if value is not None]
        if known:
            texts.append(f"{arm.label}: {len(known)} metrics, from {ratio(min(known))} to {ratio(max(known))}.")
    return " ".join(texts)


def _only(pictures: Iterable[Picture], charts: Charts) -> tuple[Picture, ...]:
    return tuple(picture for picture in pictures if picture.name in charts)


def _filled(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)
