"""Single charts, for an article or a decision: on a white ground, with all below them that a reader must know."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.files import replace_file
from results.report.data import RunData
from results.report.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    "throughput-emulated": "the same for arms under software emulation",
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

_METRICS = {"cpu-time": "cpu_time", "memory-peak": "memory_peak", "latency": "latency_p"}
"""What the metrics of other kinds begin with, where these show one sort."""

_WITH_INTERVALS = {"throughput", "throughput-emulated", "references", "interference"}
_MARGIN, _LINE, _SIZE = 0.1, 0.125, 6.5


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
    _frame(figure, f"{run.suite}: {KINDS[kind]}" if title is None else title, caption(data, kind))
    content = style.render(figure, style.FORMS[path.suffix])
    with writing(path):
        replace_file(path, content)


def caption(data: RunData, kind: str) -> str:
    """What a reader of the chart alone must know: n, the method, the host, what executed the arms, and which run."""
    run = data.run
    accels = dict.fromkeys((trial.arm, trial.accel) for trial in data.trials if trial.accel != "none")
    words = {"tcg": "software emulation: function only, never performance", "kvm": "KVM"}
    by = [f"{arm}: {words[accel]}" for arm, accel in accels]
    cpu = data.host.get("facts", {}).get("cpu_model", "not recorded")
    parts = (
        _counted(data, kind),
        f"Host: {cpu}, fingerprint {run.host_fingerprint}",
        "; ".join(by),
        f"Suite {run.suite} ({run.suite_hash}), run {run.id}",
    )
    return " ".join(f"{part}." for part in parts if part)


def _counted(data: RunData, kind: str) -> str:
    if kind in _WITH_INTERVALS:
        counts = _blocks(data, kind)
        return (
            f"n = {_range(counts)} blocks; Hodges–Lehmann estimates of ratios within blocks with 95 % signed-rank "
            "confidence intervals"
        )
    if kind == "noise":
        return f"n = {len(data.noise)} blocks"
    frame = data.reference_frame if kind in _OF_USUAL_STARTS else data.frame
    if kind in _METRICS:
        frame = frame[frame["metric"].astype(str).str.startswith(_METRICS[kind])]
    counts = [int(each) for each in frame.groupby(["workload", "params", "arm"], observed=True)["trial"].nunique()]
    return f"n = {_range(counts)} trials, each a fresh instance, for each arm and workload; medians, without intervals"


def _blocks(data: RunData, kind: str) -> list[int]:
    """Blocks of each ratio that the chart shows."""
    if kind == "interference":
        return [one.n for one in data.slowdowns]
    if kind == "references":
        return [one.comparison.n for one in data.references if one.comparison.accel != "tcg"]
    return [one.n for one in data.throughput if (one.accel == "tcg") == (kind == "throughput-emulated")]


def _range(counts: list[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    return str(least) if least == most else f"{least} to {most}"


def _frame(figure: Figure, title: str, text: str) -> None:
    """Add a title above and a caption below, in height of their own: nothing that was laid out changes its size."""
    style.settle(figure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(style.shown(text, 2000), max(20, int(width * 19)))
    headings = textwrap.wrap(style.shown(title, 200), max(12, int(width * 12)))
    below = _MARGIN + _LINE * len(lines)
    above = _MARGIN + 0.16 * len(headings) if headings else 0.0
    whole = height + below + above
    figure.set_size_inches(width, whole)
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, (box.y0 * height + below) / whole, box.width, box.height * height / whole))
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, below / whole, 1, height / whole), transform=figure.transFigure)
    with style.drawing():
        figure.text(0.012, _MARGIN / 2 / whole, "\n".join(lines), size=_SIZE, color=style.MUTED, va="bottom")
        figure.text(0.012, 1 - _MARGIN / 2 / whole, "\n".join(headings), size=9, weight="bold", va="top")
