"""Metrics over time: a panel a series, a point a run, and where the level changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from results.charts.frame import add_frame, spanned
from results.charts.quantities import tick
from results.charts.style import FORMS, GRID, INK, MUTED, PAPER, SERIES, WIDE, drawing, new_figure, render, shown
from results.errors import StoreError
from results.files import replace_file
from results.history.wording import size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.history.changes import Change, WithChanges
    from results.history.series import Series

PANELS = 24
"""So many series at the most in one chart."""

_PANEL = 1.55
"""Inches of height."""

_COLOURS = {True: SERIES[2], False: SERIES[3], None: SERIES[1]}
"""Of a change for the worse, for the better, and of neither."""


def history_chart(found: Sequence[WithChanges], width: float = WIDE) -> Figure | None:
    """A panel a series: medians over a run's trials, their quartiles as a band, and every change with its size.

    Args:
        found: series with their changes, ``PANELS`` at the most.
        width: inches.

    Returns:
        The figure, or None if there is no series.
    """
    if not found:
        return None
    with drawing():
        figure = new_figure(width, _PANEL * len(found) + 0.3)
        panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (series, changes) in zip(panels, found, strict=True):
            _draw(axes, series, changes)
        panels[-1].xaxis_date()
        panels[-1].xaxis.set_tick_params(length=0)
        return figure


def save_history_chart(found: Sequence[WithChanges], path: Path) -> None:
    """Write the chart whole, on a white ground, with all below it that a reader of it alone must know.

    Args:
        found: series with their changes.
        path: ends in ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        StoreError: there is no such form, there are too many series for one chart, or it cannot be written.
    """
    form = FORMS.get(path.suffix)
    if form is None:
        raise StoreError(f"{path}: a chart is written as .svg, .png or .pdf")
    if len(found) > PANELS:
        raise StoreError(f"{len(found)} series are too many for one chart of {PANELS}: ask for less by METRIC or --arm")
    figure = history_chart(found)
    if figure is None:
        raise StoreError(f"there is no series to draw into {path}")
    suites = ", ".join(dict.fromkeys(series.key.suite for series, _ in found))
    add_frame(figure, f"{suites}: metrics over time", caption([series for series, _ in found]))
    try:
        replace_file(path, render(figure, form))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; name another file with --output") from error


def caption(found: Sequence[Series]) -> str:
    """What a reader of the chart alone must know: how to read it, n, and what the runs have in common.

    Args:
        found: series that the chart shows, one at least.
    """
    runs = {run.id: run for series in found for run in series.runs}
    trials = spanned([len(values) for series in found for values in series.trials])
    emulated = any(series.key.accel == "tcg" for series in found)
    suites = [f"{run.suite} ({run.suite_hash[:12]})" for run in runs.values()]
    parts = (
        f"n = {spanned([len(series.runs) for series in found])} runs of {trials} trials each",
        "A point is the median over a run's trials, the pale band reaches from their lower to their upper quartile",
        "An upright line is a change of level and its size: orange for the worse, green for the better, blue for "
        "neither; grey where it did not last, or, dashed, is acknowledged",
        f"Host: {_listed([run.host_fingerprint for run in runs.values()])}",
        f"Suite {_listed(suites)}",
        f"Image {_listed([run.image[:12] for run in runs.values()])}",
        "Arms marked emulated ran under software emulation: function only, never performance" if emulated else "",
        f"Runs {min(runs)} to {max(runs)}",
    )
    return " ".join(f"{part}." for part in parts if part)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _draw(axes: Axes, series: Series, changes: Sequence[Change]) -> None:
    began = [datetime.fromisoformat(run.started) for run in series.runs]
    # matplotlib counts days since 1970 (date.epoch).
    at = [moment.timestamp() / 86400 for moment in began]
    quartiles = [series.quartiles(place) for place in range(len(at))]
    low, high = [ends[0] for ends in quartiles], [ends[1] for ends in quartiles]
    axes.fill_between(at, low, high, color=SERIES[1], alpha=0.16, lw=0)
    axes.plot(at, series.values, "-", color=SERIES[1], lw=0.7, alpha=0.6)
    axes.plot(at, series.values, "o", color=SERIES[1], ms=2.4, mew=0)
    for change in changes:
        place = at[change.shift.index]
        colour = MUTED if change.known is not None or not change.lasts else _COLOURS[change.worse]
        axes.axvline(place, color=colour, lw=1.1, ls="--" if change.known is not None else "-")
        words = " drift" if change.shift.kind == "drift" else ""
        known = " (known)" if change.known is not None else ""
        axes.annotate(
            f"{size(change)}{words}{known}",
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            color=colour,
            bbox={"facecolor": PAPER, "lw": 0, "pad": 0.5, "alpha": 0.8},
        )
    _label(axes, series)


def _label(axes: Axes, series: Series) -> None:
    arrow = {"lower": "↓ lower is better", "higher": "↑ higher is better"}.get(series.better, "")
    axes.set_title(f"{shown(series.key.title, 90)}  {arrow}".rstrip(), loc="left", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, series.unit, 4)))
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID)
    axes.margins(x=0.02, y=0.18)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
