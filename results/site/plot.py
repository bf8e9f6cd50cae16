"""A series with its changes as SVG: small, without any library in the page, and readable without its script.

:mod:`results.charts.history` draws the same for files; it takes fifty times as long and four times the room
(docs/architecture.md, "The static site").
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from results.charts.quantities import moment, quantity, tick
from results.history.changes import Change
from results.history.series import Series
from results.history.wording import turn

_WIDTH, _HEIGHT = 460, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 450, 22, 160
_LEAST_SPAN = 0.1
"""Share of the median that the axis covers at least, so that mere noise does not look like mountains."""
_MOST_DOTS = 120
"""Beyond this many points a line alone is clearer."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A series, drawn.

    Attributes:
        svg: the picture.
        data: what the page's script needs to show values: where the axes are, and of each point its height and text.
    """

    svg: Markup
    data: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values lie in the picture."""

    low: float
    high: float
    last: int

    @classmethod
    def around(cls, values: Sequence[float]) -> _Frame:
        low, high = min(values), max(values)
        least = abs(statistics.median(values)) * _LEAST_SPAN or 1.0
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        room = (high - low) * 0.08
        return cls(low - room, high + room, len(values) - 1)

    def across(self, at: float) -> float:
        """Of the point with the number ``at``."""
        return round(_LEFT + at * (_RIGHT - _LEFT) / self.last, 1) if self.last else (_LEFT + _RIGHT) / 2

    def up(self, value: float) -> float:
        return round(_BOTTOM - (value - self.low) / (self.high - self.low) * (_BOTTOM - _TOP), 1)


def draw(series: Series, changes: Sequence[Change], description: str) -> Plot:
    """Draw a series with its changes, whose content ``description`` tells in words."""
    values = series.values.tolist()
    frame = _Frame.around(values)
    places = [(frame.across(at), frame.up(value)) for at, value in enumerate(values)]
    parts = [
        *_axes(series, frame),
        *_levels(values, [change.shift.index for change in changes], frame),
        f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in places)}"/>',
    ]
    if len(places) <= _MOST_DOTS:
        parts += [f'<circle class="dot" cx="{x}" cy="{y}" r="2"/>' for x, y in places]
    parts += [_mark(change, frame.across(max(change.shift.index - 0.5, 0))) for change in changes]
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" tabindex="0" aria-label="{escape(description)}">'
    texts = [
        f"{moment(run.started)} · {quantity(value, series.unit)} · n {trials.size} · {run.id}"
        for run, value, trials in zip(series.runs, values, series.trials, strict=True)
    ]
    data: dict[str, object] = {"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM}
    data["values"] = [[y, text] for (_, y), text in zip(places, texts, strict=True)]
    return Plot(Markup(f"{head}{''.join(parts)}</svg>"), data)


def _axes(series: Series, frame: _Frame) -> Iterator[str]:
    for value in MaxNLocator(4).tick_values(frame.low, frame.high):
        if frame.low <= value <= frame.high:
            y = frame.up(value)
            text = escape(tick(value, series.unit, 4))
            yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>'
    first, last = (moment(series.runs[at].started)[:10] for at in (0, -1))
    yield f'<text x="{_LEFT}" y="{_HEIGHT - 12}">{first}</text>'
    if first != last:
        yield f'<text x="{_RIGHT}" y="{_HEIGHT - 12}" text-anchor="end">{last}</text>'


def _levels(values: Sequence[float], changes: Sequence[int], frame: _Frame) -> Iterator[str]:
    """The median between every two changes; nothing where there was none."""
    if changes:
        for begin, end in pairwise(sorted({0, *changes, len(values)})):
            y = frame.up(statistics.median(values[begin:end]))
            left, right = frame.across(begin), frame.across(end - 1)
            yield f'<line class="level" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'


def _mark(change: Change, x: float) -> str:
    known = " known" if change.known is not None else ""
    word = turn(change.worse)
    points = f"{x - 5},{_TOP - 14} {x + 5},{_TOP - 14} {x},{_TOP - 5}"
    if change.shift.ratio > 1:
        points = f"{x - 5},{_TOP - 5} {x + 5},{_TOP - 5} {x},{_TOP - 14}"
    return (
        f'<line class="mark {word}" x1="{x}" x2="{x}" y1="{_TOP - 5}" y2="{_BOTTOM}"/>'
        f'<polygon class="mark {word}{known}" points="{points}"/>'
    )
