"""The labels of iterations on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import MISSING, tick
from results.iterations import LABELS, Iterations

_FOLDED = {"no steady state": 9, "too few iterations": 10, "steady from": 6}
"""Widths of columns whose titles are folded between words: a terminal has 80 columns."""


def iterations_table(found: Sequence[Iterations]) -> list[RenderableType]:
    """How many trials have each label, by metric and arm; empty where no trial has more than one iteration.

    Columns for labels that no trial has are left out.
    """
    if not found:
        return []
    labels = [label for label in LABELS if any(one.counts[label] for one in found)]
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text("iterations", "bold underline"), ratio=1, overflow="fold")
    for name in ("each", *labels, "steady from"):
        table.add_column(name, justify="right", width=_FOLDED.get(name))
    for (workload, params), of_case in groupby(found, key=lambda one: (one.workload, one.params)):
        table.add_row(Text.assemble(workload, ("  " + params.replace(",", " ") if params else "", "dim")))
        for one in of_case:
            table.add_row(
                Text.assemble(f"  {one.metric}", (f"  {one.arm}", "dim"), (" tcg", "bold red") if one.emulated else ""),
                str(one.iterations),
                *(_count(one.counts[label]) for label in labels),
                MISSING if one.begins is None else tick(one.begins + 1, ""),
            )
    return [Padding(table, (0, 0, 1, 0))]


def _count(trials: int) -> Text:
    return Text(str(trials), "" if trials else "dim")
