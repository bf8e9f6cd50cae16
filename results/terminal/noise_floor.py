"""The noise floor on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import ratio
from results.noise_floor import NoiseFloor, summary, width


def noise_floor_table(floors: Sequence[NoiseFloor], overhead: str) -> list[RenderableType]:
    """A row a pair of identical arms and metric, and what the harness costs; empty where there is no such pair.

    Args:
        floors: from :func:`results.noise_floor.noise_floors`.
        overhead: from :func:`results.noise_floor.overhead`.
    """
    if not floors:
        return []
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text("noise floor", "bold underline"), ratio=1, overflow="fold")
    for name in ("ratio", "spread", "interval", "advised", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for (workload, params), of_case in groupby(floors, key=lambda one: (one.workload, one.params)):
        table.add_row(Text.assemble(workload, ("  " + params.replace(",", " ") if params else "", "dim")))
        for one in of_case:
            table.add_row(
                Text.assemble(f"  {one.metric}", (f"  {one.twin}", "dim")),
                Text(ratio(one.ratio), "red" if one.verdict in {"better", "worse"} else ""),
                width(one.spread),
                width(one.half_width),
                width(one.advised),
                str(one.n),
            )
    notes = Text("\n".join(filter(None, (summary(floors), overhead))))
    return [Padding(table, (0, 0, 1, 0)), Padding(notes, (0, 0, 1, 0))]
