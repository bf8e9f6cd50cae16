"""Single charts, for an article or a decision: on a white ground, with all below them that a reader must know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.charts.frame import add_frame, spanned
from results.files import replace_file
from results.report.build import build_document
from results.report.data import RunData
from results.report.files import writing
from results.report.sections import throughput_reading

if TYPE_CHECKING:
    import pandas as pd

    from results.compare import Comparison
    from results.records import RunRecord
    from results.store import Store

WIDTHS = {"column": 89.0, "page": 183.0}
"""Millimetres of a column and of a page of a journal (the two widths that Nature asks figures to have)."""

KINDS = {
    "startup": "time from the request to the first message, every trial and the median",
    "startup-phases": "where startup goes: a waterfall of its phases by arm",
    "shutdown-phases": "where shutdown goes",
    "cold-start": "starts with image, kernel or all dropped from the page cache",
    "parallel-start": "several started at once",
    "memory": "idle footprint: anonymous memory, page cache, kernel memory",
    "memory-waterfall": "whom idle memory serves: application, guest, VMM, host",
    "memory-moments": "memory idle, under load and afterwards",
    "memory-peak": "peak memory under each workload",
    "image-size": "bytes on disk that an arm needs, by part",
    "throughput": "ratios to the baseline with intervals, above 1 is better",
    "throughput-emulated": "ratios to the baseline under software emulation: function only, never performance",
    "latency": "latency by percentile, on a logarithmic axis",
    "cpu-time": "host CPU time of each workload",
    "references": "ratios beside those that others have published",
    "density": "memory and start against the number of instances",
    "interference": "slowdown beside a neighbour",
    "noise": "how quiet the host was, block by block",
    "limits": "how exactly limits were kept",
}
"""What each chart of :data:`results.charts.catalogue.CHARTS` shows, in a line."""

_OF_USUAL_STARTS = {"startup", "startup-phases", "shutdown-phases", "memory", "memory-waterfall", "image-size"}
"""Kinds that show the trials of the one case that stands for startup and idle footprint."""

_METRICS = {
    "startup": ("startup_time",),
    "startup-phases": ("startup.",),
    "shutdown-phases": ("shutdown.",),
    "cold-start": ("cold_start_time",),
    "parallel-start": ("parallel_start_time", "parallel_stop_time"),
    "memory": ("memory_footprint",),
    "memory-waterfall": ("memory_waterfall.",),
    "memory-moments": ("memory_loaded", "memory_after"),
    "memory-peak": ("memory_peak",),
    "image-size": ("image_size",),
    "latency": ("latency_p",),
    "cpu-time": ("cpu_time",),
    "density": ("",),
    "limits": ("limit.",),
}
"""What the metrics of kinds without intervals begin with."""

_WITH_INTERVALS = {"throughput", "throughput-emulated", "references", "interference"}


def save_chart(
    store: Store, run: RunRecord, kind: str, path: Path, *, width: float = WIDTHS["page"], title: str | None = None
) -> None:
    """Write one chart of a run; the same data give the same bytes.

    Args:
        store: open.
        run: of the store.
        kind: a key of :data:`results.charts.catalogue.CHARTS`.
        path: ends in ``.svg``, ``.png`` or ``.pdf``; its directory exists.
        width: millimetres.
        title: above it; None for one that says what it shows, empty for none.

    Raises:
        ValueError: no such chart, no such format, or the run has nothing for it.
        StoreError: the file cannot be written.
    """
    if kind not in CHARTS:
        raise ValueError(f"no chart {kind!r}; there are {', '.join(CHARTS)}")
    if path.suffix not in style.FORMS:
        raise ValueError(f"{path}: a chart is written as {', '.join(style.FORMS)}, by the end of its name")
    data = RunData.load(store, run)
    figure = CHARTS[kind](data.charts, width / 25.4)
    if figure is None:
        raise ValueError(f"run {run.id} measured nothing for the chart {kind!r}")
    shown = f"{run.suite}: {KINDS[kind].replace('the baseline', run.baseline)}" if title is None else title
    add_frame(figure, shown, caption(data, kind))
    content = style.render(figure, style.FORMS[path.suffix])
    with writing(path):
        replace_file(path, content)


def caption(data: RunData, kind: str) -> str:
    """What a reader of the chart alone must know: how to read it, n and method, host, what executed the arms that it
    shows, and which run.
    """
    run = data.run
    drawn = _drawn(data, kind)
    accels = dict.fromkeys((trial.arm, trial.accel) for trial in data.trials if trial.accel != "none")
    words = {"tcg": "software emulation: function only, never performance", "kvm": "KVM"}
    by = [f"{arm}: {words[accel]}" for arm, accel in accels if arm in drawn]
    cpu = data.host.get("facts", {}).get("cpu_model", "not recorded")
    parts = (
        _counted(data, kind),
        _reading(data, kind),
        f"Host: {cpu}, fingerprint {run.host_fingerprint}",
        "; ".join(by),
        f"Suite {run.suite} ({run.suite_hash}), run {run.id}",
    )
    return " ".join(f"{part.removesuffix('.')}." for part in parts if part)


def _reading(data: RunData, kind: str) -> str:
    """How to read the chart, as the report says it."""
    if kind.startswith("throughput"):
        return throughput_reading(data)
    sections = build_document(data, frozenset((kind,)), data.directory).sections
    return next((each.caption for section in sections for each in section.pictures if each.name == kind), "")


def _drawn(data: RunData, kind: str) -> set[str]:
    """The arms that a chart shows."""
    if kind == "noise":
        return set()
    if kind == "interference":
        return {one.arm for one in data.slowdowns}
    if kind == "density":
        return {one.arm for one in data.densities}
    if kind in _WITH_INTERVALS:
        return {data.run.baseline, *(one.arm for one in _comparisons(data, kind))}
    return {str(arm) for arm in _frame(data, kind)["arm"].unique()}


def _frame(data: RunData, kind: str) -> pd.DataFrame:
    """The samples that a chart of levels shows."""
    frame = data.reference_frame if kind in _OF_USUAL_STARTS else data.frame
    return frame[frame["metric"].astype(str).str.startswith(_METRICS[kind])]


def _counted(data: RunData, kind: str) -> str:
    if kind in _WITH_INTERVALS:
        counts = _blocks(data, kind)
        return (
            f"n = {spanned(counts)} blocks; Hodges–Lehmann estimates of ratios within blocks with 95 % signed-rank "
            "confidence intervals"
        )
    if kind == "noise":
        return f"n = {len(data.noise)} blocks"
    frame = _frame(data, kind)
    counts = [int(each) for each in frame.groupby(["workload", "params", "arm"], observed=True)["trial"].nunique()]
    return f"n = {spanned(counts)} trials, each a fresh instance, for each arm and workload; medians, without intervals"


def _blocks(data: RunData, kind: str) -> list[int]:
    """Blocks of each ratio that the chart shows."""
    if kind == "interference":
        return [one.n for one in data.slowdowns]
    return [one.n for one in _comparisons(data, kind)]


def _comparisons(data: RunData, kind: str) -> list[Comparison]:
    """Those that a chart of ratios shows."""
    if kind == "references":
        return [one.comparison for one in data.references if one.comparison.accel != "tcg"]
    return [one for one in data.throughput if (one.accel == "tcg") == (kind == "throughput-emulated")]
