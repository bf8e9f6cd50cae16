"""How quiet the host was, as a strip: a column a block, a row for each of speed, stolen time and outside load.

Every cell has its figure in words; what is beyond its limit is filled and framed, and named below its block, so that
nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.patches import Rectangle

from results.charts.quantities import percent
from results.charts.style import GRID, INK, MUTED, NARROW, SERIES, WIDE, drawing, new_figure, tell
from results.noise import OUTSIDE_LIMIT, SPEED_LIMIT, STEAL_LIMIT, BlockNoise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BEYOND, _WITHIN = SERIES[2], SERIES[3]
_LABELS = 1.25
"""Inches for the names of the rows."""
_CELL = {WIDE: 0.6, NARROW: 0.5}
_HEIGHT = 0.26
"""Inches of a row."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One property of a block.

    Attributes:
        name: what it is.
        value: of a block; None where it is not known.
        beyond: whether a value is beyond its limit.
        badness: how near a value is to its limit, from 0 (as good as can be) to 1 (at the limit).
    """

    name: str
    value: Callable[[BlockNoise], float | None]
    beyond: Callable[[float], bool]
    badness: Callable[[float], float]


_ROWS = (
    _Row(
        "speed",
        lambda block: block.speed,
        lambda share: share < SPEED_LIMIT,
        lambda share: (1 - share) / (1 - SPEED_LIMIT),
    ),
    _Row("stolen", lambda block: block.steal, lambda share: share > STEAL_LIMIT, lambda share: share / STEAL_LIMIT),
    _Row(
        "outside load",
        lambda block: block.outside,
        lambda share: share > OUTSIDE_LIMIT,
        lambda share: share / OUTSIDE_LIMIT,
    ),
)


def noise_chart(blocks: Sequence[BlockNoise], width: float = WIDE) -> Figure | None:
    """The strip of a run's blocks, in as many lines as they need.

    Args:
        blocks: in their order.
        width: inches.

    Returns:
        The figure, or None for a run that took no readings.
    """
    if not blocks:
        return None
    columns = int((width - _LABELS) / _CELL[NARROW if width <= NARROW else WIDE])
    lines = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    rows = len(_ROWS) + 2  # the numbers above, and what it comes to below
    with drawing():
        figure = new_figure(width, len(lines) * (rows + 0.4) * _HEIGHT + 0.1)
        every = figure.subplots(len(lines), 1, squeeze=False)
        for axes, line in zip(every[:, 0], lines, strict=True):
            _draw_line(axes, line, min(columns, len(blocks)))
        return figure


def _draw_line(axes: Axes, blocks: Sequence[BlockNoise], columns: int) -> None:
    axes.set_xlim(0, columns)
    axes.set_ylim(len(_ROWS) + 1, -1)
    axes.set_xticks([])
    axes.set_yticks([place + 0.5 for place in range(-1, len(_ROWS))], ["block", *(row.name for row in _ROWS)])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for column, block in enumerate(blocks):
        _write(axes, column, -1, str(block.block), bold=block.disturbed)
        for place, row in enumerate(_ROWS):
            _draw_cell(axes, column, place, row, block)
        _write(axes, column, len(_ROWS), "disturbed" if block.disturbed else "", bold=True, size=6.0)


def _draw_cell(axes: Axes, column: int, place: int, row: _Row, block: BlockNoise) -> None:
    value = row.value(block)
    look: dict[str, Any]
    if value is None:
        look = {"fc": "none", "ec": GRID, "hatch": "////"}
    elif row.beyond(value):
        look = {"fc": _BEYOND, "alpha": 0.55, "ec": INK, "lw": 1.2}
    else:
        look = {"fc": _WITHIN, "alpha": 0.12 + 0.2 * min(1.0, max(0.0, row.badness(value))), "lw": 0}
    cell = axes.add_patch(Rectangle((column + 0.04, place + 0.06), 0.92, 0.88, **look))
    tell(cell, f"Block {block.block}: {row.name} {percent(value)}", *block.reasons)
    _write(axes, column, place, percent(value), bold=value is not None and row.beyond(value))


def _write(axes: Axes, column: int, place: int, text: str, *, bold: bool = False, size: float = 7.0) -> None:
    axes.text(
        column + 0.5,
        place + 0.5,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color=INK if bold else MUTED,
        weight="bold" if bold else "normal",
    )
