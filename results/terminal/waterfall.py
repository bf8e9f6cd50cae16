"""The memory waterfall on a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import MISSING, quantity
from results.waterfall import Waterfalls, step_label, steps_of


def waterfall_table(
    waterfalls: Waterfalls, arms: Sequence[str], emulated: Collection[str] = ()
) -> list[RenderableType]:
    """Steps down, arms across, and what they add up to in the last row; empty where no arm has any.

    Args:
        waterfalls: from :func:`results.waterfall.waterfalls_of`.
        arms: in the order to show them.
        emulated: those that ran under software emulation.
    """
    shown = [arm for arm in arms if arm in waterfalls]
    if not shown:
        return []
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text("whom idle memory serves", "bold underline"), ratio=1, overflow="fold")
    for arm in shown:
        heading = Text.assemble(arm, (" tcg", "bold red") if arm in emulated else "")
        table.add_column(heading, justify="right", overflow="fold")
    for step in steps_of(waterfalls):
        table.add_row(Text(step_label(step)), *(_cell(waterfalls[arm].get(step)) for arm in shown))
    table.add_section()
    totals = (quantity(sum(waterfalls[arm].values()), "bytes") for arm in shown)
    table.add_row(Text("in all", "bold"), *(Text(total, "bold") for total in totals))
    return [Padding(table, (0, 0, 1, 0))]


def _cell(value: float | None) -> Text:
    return Text(MISSING, "dim") if value is None else Text(quantity(value, "bytes"))
