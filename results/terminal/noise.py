"""Which blocks of a run were disturbed, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import percent
from results.noise import BlockNoise


def noise_view(blocks: Sequence[BlockNoise]) -> list[RenderableType]:
    """A line that says how many blocks were disturbed, and a table of those; nothing for a run without readings."""
    if not blocks:
        return []
    disturbed = [block for block in blocks if block.disturbed]
    count = f"{len(disturbed) or 'none'} of {len(blocks)} blocks disturbed"
    if not disturbed:
        return [Padding(Text.assemble(("noise  ", "dim"), count), (0, 0, 1, 0))]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text("disturbed block", "yellow"), justify="right")
    for name in ("speed", "stolen", "outside load"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for block in disturbed:
        shares = (percent(share) for share in (block.speed, block.steal, block.outside))
        table.add_row(str(block.block), *shares, Text("; ".join(block.reasons)))
    return [
        Text.assemble(("noise  ", "dim"), (f"{count}; they are marked, not left out", "yellow")),
        Padding(table, (0, 0, 1, 0)),
    ]
