"""A chart as others print it: with a title, what it shows and how, and where the figures come from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.charts.catalogue import CHARTS, ChartData
from results.charts.style import INK, MUTED, drawing, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RATIOS = (
    "Ratios within blocks, turned so that further right is better; Hodges–Lehmann estimates with 95 % signed-rank "
    "intervals, logarithmic axis. A hollow mark is inconclusive; the band is the practical threshold"
)
_LEVELS = "Medians over trials, each a fresh instance; lines run from the least trial to the greatest"
_MEDIANS = "Medians over trials, each a fresh instance"
_STARTS = "Host's monotonic clock, request to the first instruction inside; medians over faint trials, logarithmic axis"
_TEXT, _LINE = 6.5, 0.13
"""Size of the caption's text in points, and inches from line to line."""


@dataclass(frozen=True, slots=True)
class Print:
    """What is printed with a chart.

    Attributes:
        title: what it shows.
        method: how its figures came about, as a sentence without its full stop.
        compares: whether n counts the blocks of its comparisons, in place of the trials of its samples.
        usual: whether only the trials of the usual start are shown.
    """

    title: str
    method: str
    compares: bool = False
    usual: bool = False


PRINTS: Mapping[str, Print] = {
    "startup": Print("Startup time", _STARTS, usual=True),
    "startup-phases": Print("Startup by phase", _MEDIANS, usual=True),
    "shutdown-phases": Print("Shutdown by phase", _MEDIANS, usual=True),
    "cold-start": Print("Cold start", _STARTS),
    "parallel-start": Print("Several starts at once", _STARTS),
    "memory": Print("Idle memory by part", f"{_MEDIANS}; memory charged to the instance's cgroup", usual=True),
    "memory-waterfall": Print("Whom idle memory serves", _MEDIANS, usual=True),
    "memory-moments": Print("Whom memory serves while idle, under load and afterwards", _MEDIANS),
    "memory-peak": Print("Peak memory", f"{_LEVELS}; the kernel's high-water mark"),
    "image-size": Print("Image size by part", "Bytes on disk that an arm needs to start", usual=True),
    "throughput": Print("Throughput relative to the baseline", _RATIOS, compares=True),
    "throughput-emulated": Print("Software emulation: function only, never performance", _RATIOS, compares=True),
    "latency": Print("Latency by percentile", f"{_MEDIANS}; the lowest percentile is filled; logarithmic axis"),
    "cpu-time": Print("Host CPU time", f"{_LEVELS}; logarithmic axis"),
    "references": Print("Beside what others have published", _RATIOS, compares=True),
    "density": Print("Instances added one by one", "Medians over trials, faint lines are trials; logarithmic axes"),
    "interference": Print(
        "Slowdown beside a neighbour", "Ratios with 95 % intervals; above 1× is slower", compares=True
    ),
    "noise": Print("Noise of the host by block", "Readings before and after every block"),
    "limits": Print("Limits as given, relative to what was asked for", f"{_LEVELS}"),
}
"""By kind of chart, all of :data:`results.charts.catalogue.CHARTS`."""


def published(kind: str, data: ChartData, width: float, origin: str) -> Figure | None:
    """A chart with its title above and its caption below.

    Args:
        kind: a key of :data:`results.charts.catalogue.CHARTS`.
        data: of the run.
        width: inches.
        origin: where the figures come from, in a sentence.

    Returns:
        None if the run has nothing for it.
    """
    figure = CHARTS[kind](data, width)
    if figure is None:
        return None
    text = f"{PRINTS[kind].method}; {_counted(PRINTS[kind], data)}. {origin}"
    caption = textwrap.wrap(shown(text, 1200), int(width * 19))
    bottom = len(caption) * _LINE + 0.1
    title_lines = textwrap.wrap(PRINTS[kind].title, int(width * 10))
    top = 0.15 + 0.17 * len(title_lines)
    before = figure.get_figheight()
    height = before + bottom + top
    figure.set_figheight(height)
    legends = _legends_height(figure)
    middle = (0.0, bottom / height, 1.0, before / height)
    figure.set_layout_engine("constrained", rect=(*middle[:3], (before - legends) / height))
    for legend in figure.legends:
        # Where it is by itself, the top of the figure, the title stands.
        legend.set_in_layout(False)
        legend.set_bbox_to_anchor(middle, figure.transFigure)
    with drawing():
        title = figure.text(
            0.1 / width, 1 - 0.1 / height, "\n".join(title_lines), va="top", weight="bold", size=10, color=INK
        )
        below = figure.text(
            0.1 / width, 0.07 / height, "\n".join(caption), va="bottom", size=_TEXT, color=MUTED, linespacing=1.25
        )
    for each in (title, below):
        each.set_in_layout(False)
    return figure


def _legends_height(figure: Figure) -> float:
    """Inches that the legends above a chart take."""
    if not figure.legends:
        return 0.0
    with drawing():
        figure.draw_without_rendering()
    return max(legend.get_window_extent().height for legend in figure.legends) / figure.dpi + 0.1


def _counted(how: Print, data: ChartData) -> str:
    if how.compares:
        counts = [*(one.n for one in data.throughput), *(one.n for one in data.slowdowns)]
        return f"n {_range(counts)} blocks"
    frame = data.reference if how.usual else data.frame
    counts = frame.groupby(["workload", "params", "arm"], observed=True)["trial"].nunique().tolist()
    return f"n {_range(counts)} trials in each workload and arm"


def _range(counts: list[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    return str(most) if least == most else f"{least}–{most}"
