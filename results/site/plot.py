"""A trend as SVG: small, without any library in the page, and readable without its script.

matplotlib takes a tenth of a second a chart; a site has hundreds, many of which are drawn anew every night.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from results.charts.quantities import quantity
from results.site.trend import Trend, TrendChange

_WIDTH, _HEIGHT = 460, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 450, 22, 160
_LEAST_SPAN = 0.1
"""Share of the median that the axis covers at least, so that mere noise does not look like mountains."""
_MOST_DOTS = 120
"""Beyond this many points a line alone is clearer."""
_ZEROS = re.compile(r"\.(\d*?)0+(?!\d)")
"""What is behind a decimal point and says nothing."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A trend, drawn.

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


def draw(trend: Trend, description: str) -> Plot:
    """Draw a trend whose content ``description`` tells in words."""
    values = [point.value for point in trend.points]
    frame = _Frame.around(values)
    places = [(frame.across(at), frame.up(value)) for at, value in enumerate(values)]
    marks = [(change, at) for change in trend.changes if (at := trend.index_of(change.run)) is not None]
    parts = [
        *_axes(trend, frame),
        *_levels(values, [at for _, at in marks], frame),
        f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in places)}"/>',
    ]
    if len(places) <= _MOST_DOTS:
        parts += [f'<circle class="dot" cx="{x}" cy="{y}" r="2"/>' for x, y in places]
    parts += [_mark(change, frame.across(max(at - 0.5, 0))) for change, at in marks]
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" tabindex="0" aria-label="{escape(description)}">'
    texts = [
        f"{readable(point.started)} · {quantity(point.value, trend.unit)} · n {point.n} · {point.run}"
        for point in trend.points
    ]
    data: dict[str, object] = {"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM}
    data["values"] = [[y, text] for (_, y), text in zip(places, texts, strict=True)]
    return Plot(Markup(f"{head}{''.join(parts)}</svg>"), data)


def readable(moment: str) -> str:
    """A moment as a person reads it, UTC."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M}"


def _axes(trend: Trend, frame: _Frame) -> Iterator[str]:
    for value in MaxNLocator(4).tick_values(frame.low, frame.high):
        if frame.low <= value <= frame.high:
            y = frame.up(value)
            text = escape(_tick(value, trend.unit))
            yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>'
    first, last = (readable(trend.points[at].started)[:10] for at in (0, -1))
    yield f'<text x="{_LEFT}" y="{_HEIGHT - 12}">{first}</text>'
    if first != last:
        yield f'<text x="{_RIGHT}" y="{_HEIGHT - 12}" text-anchor="end">{last}</text>'


def _tick(value: float, unit: str) -> str:
    return _ZEROS.sub(lambda zeros: f".{zeros[1]}" if zeros[1] else "", quantity(value, unit, 4))


def _levels(values: Sequence[float], changes: Sequence[int], frame: _Frame) -> Iterator[str]:
    """The median between every two changes; nothing where there was none."""
    if changes:
        for begin, end in pairwise(sorted({0, *changes, len(values)})):
            y = frame.up(statistics.median(values[begin:end]))
            left, right = frame.across(begin), frame.across(end - 1)
            yield f'<line class="level" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'


def _mark(change: TrendChange, x: float) -> str:
    known = " known" if change.reason is not None else ""
    points = f"{x - 5},{_TOP - 14} {x + 5},{_TOP - 14} {x},{_TOP - 5}"
    if change.ratio > 1:
        points = f"{x - 5},{_TOP - 5} {x + 5},{_TOP - 5} {x},{_TOP - 14}"
    return (
        f'<line class="mark {change.turn}" x1="{x}" x2="{x}" y1="{_TOP - 5}" y2="{_BOTTOM}"/>'
        f'<polygon class="mark {change.turn}{known}" points="{points}"/>'
    )
