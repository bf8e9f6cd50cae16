"""Tables whose columns stand at the same place in all of them, and that give way as the terminal gets narrow.

Columns in which nothing stands are left out. Headings are broken first, then columns that can be done without are left
out, the least needed first. A label that does not fit is on a line of its own, above its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

_GAP = 2

_LABEL = 24
"""So wide a column of labels is not given up for further columns, nor is a third of the width."""

Drawn = Callable[[int, bool], Text]
"""What draws itself in so many cells; the second is whether to do with ASCII."""

Cell = Text | Drawn


@dataclass(frozen=True, slots=True)
class Column:
    """One column beside that of the labels.

    Attributes:
        heading: may be broken at spaces, not at no-break spaces; or what draws itself, in a column of such.
        justify: of its cells.
        spare: 0 for what is always there; of others the greatest is left out first.
        widths: the least and the most for cells that draw themselves; None for a column of texts.
    """

    heading: str | Drawn
    justify: Literal["left", "right"] = "right"
    spare: int = 0
    widths: tuple[int, int] | None = None

    @property
    def words(self) -> list[str]:
        """Of the heading."""
        return self.heading.split(" ") if isinstance(self.heading, str) else []


@dataclass(frozen=True, slots=True)
class Line:
    """A row: a label, and a cell for each column; or a label over all columns that are empty beside it."""

    label: Text
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One of the tables.

    Attributes:
        title: beside the headings where there is room, else above them; empty for none.
        lines: below.
    """

    title: Text
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns there are and how wide they are, and what is left for labels."""

    columns: tuple[tuple[int, int], ...]
    label: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Tables to be printed by rich, one below the other.

    Attributes:
        columns: of all of them.
        tables: in order.
        label: heading of the labels.
    """

    columns: tuple[Column, ...]
    tables: tuple[Table, ...]
    label: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Lay out for the width that there is; what draws itself is for terminals only."""
        plain = options.ascii_only
        layout = self._laid_out(options.max_width, draws=console.is_terminal)
        for table in self.tables:
            yield from self._headed(table, layout, plain)
            for line in table.lines:
                yield from self._line(line.label, line.cells, layout, plain)
            yield Text()

    def _laid_out(self, width: int, *, draws: bool) -> _Layout:
        lines = [line for table in self.tables for line in table.lines if line.cells]
        # A label beside nothing may reach over what is empty.
        labels = max((cell_len(line.label.plain) for line in lines if _tells(line.cells[0])), default=0)
        labels = min(labels, max(_LABEL, width // 3))
        places = [
            place
            for place, column in enumerate(self.columns)
            if (draws or column.widths is None) and any(_tells(line.cells[place]) for line in lines)
        ]
        while True:
            for whole in (True, False):
                widths = [self._width(place, lines, whole=whole) for place in places]
                left = width - sum(widths) - _GAP * len(widths)
                if left >= labels:
                    return self._widened(places, widths, left, labels)
            spare = max(places, key=lambda place: self.columns[place].spare, default=None)
            if spare is None or self.columns[spare].spare == 0:
                return _Layout(tuple(zip(places, widths, strict=True)), max(left, 0))
            places.remove(spare)

    def _width(self, place: int, lines: Sequence[Line], *, whole: bool) -> int:
        column = self.columns[place]
        if column.widths is not None:
            return column.widths[0]
        texts = [line.cells[place] for line in lines]
        content = max((cell_len(text.plain) for text in texts if isinstance(text, Text)), default=0)
        words = [" ".join(column.words)] if whole else column.words
        return max([content, *map(cell_len, words)])

    def _widened(self, places: Sequence[int], widths: Sequence[int], left: int, labels: int) -> _Layout:
        """What is left goes to what draws itself, up to its most, then to labels and titles as far as they need it."""
        final = list(widths)
        for index, place in enumerate(places):
            most = self.columns[place].widths
            if most is not None:
                more = min(left - labels, most[1] - final[index])
                final[index] += more
                left -= more
        texts = [table.title for table in self.tables] + [line.label for table in self.tables for line in table.lines]
        needed = max((cell_len(text.plain) for text in texts), default=0)
        return _Layout(tuple(zip(places, final, strict=True)), min(left, needed))

    def _headed(self, table: Table, layout: _Layout, plain: bool) -> Iterator[Text]:
        headings = [self._heading(place, width, plain) for place, width in layout.columns]
        height = max((len(lines) for lines in headings), default=0)
        title = table.title if table.title.plain or not self.label else Text(self.label, "dim")
        above = cell_len(title.plain) > layout.label
        if above:
            yield title
        for row in range(height):
            # Aligned at the bottom, as headings are.
            parts = [lines[row - height + len(lines)] if row >= height - len(lines) else Text() for lines in headings]
            label = title if not above and row == height - 1 else Text()
            yield self._joined(label, parts, layout)

    def _heading(self, place: int, width: int, plain: bool) -> list[Text]:
        column = self.columns[place]
        if not isinstance(column.heading, str):
            return [column.heading(width, plain)]
        whole = column.heading
        broken = [whole] if cell_len(whole) <= width else column.words
        return [Text(part.replace("\N{NO-BREAK SPACE}", " "), "dim") for part in broken]

    def _line(self, label: Text, cells: Sequence[Cell], layout: _Layout, plain: bool) -> Iterator[Text]:
        if not cells:
            yield label
            return
        parts = [
            cell if isinstance(cell, Text) else cell(width, plain)
            for cell, width in ((cells[place], width) for place, width in layout.columns)
        ]
        if cell_len(label.plain) + self._indent(parts, layout) > layout.label:
            yield label
            label = Text()
        if any(part.plain.strip() for part in parts) or label.plain:
            yield self._joined(label, parts, layout)

    def _indent(self, parts: Sequence[Text], layout: _Layout) -> int:
        """How far a label may reach over cells that are empty, as a negative width."""
        reach = 0
        for part, (_, width) in zip(parts, layout.columns, strict=True):
            if part.plain.strip():
                break
            reach += width + _GAP
        return -reach

    def _joined(self, label: Text, parts: Sequence[Text], layout: _Layout) -> Text:
        line = Text.assemble(label)
        at = layout.label
        for (place, width), part in zip(layout.columns, parts, strict=True):
            at += _GAP
            free = width - cell_len(part.plain)
            if part.plain.strip():
                before = at + (free if self.columns[place].justify == "right" else 0)
                line.append(" " * (before - cell_len(line.plain)))
                line.append_text(part)
            at += width
        return line


def _tells(cell: Cell) -> bool:
    return not isinstance(cell, Text) or bool(cell.plain)
