"""A ratio with its interval drawn in one line of text, on a logarithmic axis around 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from results.charts.quantities import tick
from results.compare import Comparison

LEAST = 9
"""The least width at which a bar tells anything: four places on either side of 1."""

MOST = 31
"""More would move the figures away from their labels."""

FITTING = 0.75
"""The share of a list's rows that are to fit on its axis: few are as far out as the start of a guest."""

_LIMITS = (1.25, 1.5, 2.0, 4.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """From 1/``limit`` to ``limit``, 1 in the middle."""

    limit: float

    def place(self, ratio: float, width: int) -> float:
        """Where a ratio is, 0 being the middle of the first of ``width`` cells; beyond the cells for ones beyond."""
        share = math.log(ratio) / math.log(self.limit) if ratio > 0 else -math.inf
        return (width - 1) * (1 + share) / 2

    def __call__(self, width: int, plain: bool) -> Text:
        """Its ends, and the middle where there is room; the same in ASCII but for the signs."""
        divided, times = ("/", "x") if plain else ("÷", "×")
        low, high = f"{divided}{tick(self.limit, '')}", f"{times}{tick(self.limit, '')}"
        if len(low) + len(high) + 1 > width:
            return Text(high.rjust(width), "dim")
        text = low + high.rjust(width - len(low))
        middle = width // 2
        if text[middle - 1 : middle + 2] == "   ":
            text = f"{text[:middle]}1{text[middle + 1 :]}"
        return Text(text, "dim")


def axis_of(rows: Iterable[Comparison], share: float = 1.0) -> Axis:
    """The shortest axis of round limits on which a share of the rows fit with their intervals."""
    extents = sorted(_extent(row) for row in rows if row.ratio is not None and row.ratio > 0)
    if not extents:
        return Axis(_LIMITS[0])
    needed = extents[math.ceil(share * len(extents)) - 1]
    return Axis(next((limit for limit in _LIMITS if limit >= needed), _LIMITS[-1]))


@dataclass(frozen=True, slots=True)
class _Characters:
    middle: str
    line: str
    begins: str
    ends: str
    crossing: str
    point: str
    beyond: tuple[str, str]


_UNICODE = _Characters("│", "━", "╺", "╸", "┿", "●", ("◀", "▶"))
_PLAIN = _Characters("|", "-", "-", "-", "+", "o", ("<", ">"))


@dataclass(frozen=True, slots=True)
class Bar:
    """What a cell draws once its width is known.

    Attributes:
        row: whose ratio.
        axis: to draw it on.
        style: of the interval and the estimate.
    """

    row: Comparison
    axis: Axis
    style: str

    def __call__(self, width: int, plain: bool) -> Text:
        """Draw it: line and point for interval and estimate, an arrow where they are beyond an end.

        Args:
            width: cells, at least :data:`LEAST`.
            plain: whether to do with ASCII.
        """
        characters = _PLAIN if plain else _UNICODE
        width -= 1 - width % 2  # so that there is a cell in the middle
        cells = [" "] * width
        cells[width // 2] = characters.middle
        if self.row.ratio is None or self.row.ratio <= 0:
            return Text("".join(cells), "dim")
        low, high = (self._place(end, width) for end in (self.row.ci_low, self.row.ci_high))
        point = self._place(self.row.ratio, width)
        first, last = (_within(round(place), width) for place in (low, high))
        for cell in range(first, last + 1):
            cells[cell] = characters.crossing if cell == width // 2 else characters.line
        if first < last:
            cells[first] = characters.begins if low > first else cells[first]
            cells[last] = characters.ends if high < last else cells[last]
        cells[_within(round(point), width)] = characters.point
        if round(low) < 0:
            cells[0] = characters.beyond[0]
        if round(high) >= width:
            cells[-1] = characters.beyond[1]
        return self._styled(cells, characters)

    def _place(self, ratio: float | None, width: int) -> float:
        place = self.axis.place(self.row.ratio if ratio is None else ratio, width)  # type: ignore[arg-type]
        return max(-1.0, min(place, float(width)))

    def _styled(self, cells: Sequence[str], characters: _Characters) -> Text:
        text = Text()
        for cell in cells:
            text.append(cell, "dim" if cell == characters.middle else self.style)
        return text


def _extent(row: Comparison) -> float:
    ends = [end for end in (row.ratio, row.ci_low, row.ci_high) if end is not None and end > 0]
    return max(max(end, 1 / end) for end in ends)


def _within(cell: int, width: int) -> int:
    return max(0, min(cell, width - 1))
