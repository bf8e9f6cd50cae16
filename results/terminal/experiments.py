"""Density and interference on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import MISSING, interval, number, quantity, ratio
from results.density import Density, Estimate, Knee
from results.interference import Slowdown

_EMULATED = (" tcg", "bold red")
_STYLES = {"better": "green", "worse": "red", "same": "cyan", "inconclusive": ""}


def density_tables(densities: Sequence[Density]) -> list[RenderableType]:
    """A table a workload case, arms down: what one more instance adds, how starts grow, where lines are left."""
    return [
        _density_table(case, list(members))
        for case, members in groupby(densities, lambda one: (one.workload, one.params))
    ]


def slowdown_tables(slowdowns: Sequence[Slowdown]) -> list[RenderableType]:
    """A table a disturbed metric, neighbours down and arms across; empty for none."""
    arms = list(dict.fromkeys(one.arm for one in slowdowns))
    return [
        _slowdown_table(victim, list(members), arms)
        for victim, members in groupby(slowdowns, lambda one: (one.workload, one.params, one.metric))
    ]


def _density_table(case: tuple[str, str], members: Sequence[Density]) -> RenderableType:
    table = _table("one more instance")
    for name in ("footprint", "95 % interval", "MemAvailable", "start", "reached", "knee"):
        table.add_column(name, justify="right", overflow="fold")
    for one in members:
        knees = [f"{what} {knee.at:g}" for what, knee in _knees(one) if 2 * knee.found > knee.trials]
        unsettled = f", {one.unsettled} unsettled" if one.unsettled else ""
        table.add_row(
            Text.assemble("  ", one.arm, _EMULATED if one.emulated else ""),
            quantity(one.marginal["marginal_memory"].value, "bytes"),
            _interval(one.marginal["marginal_memory"]),
            quantity(one.marginal["marginal_memory.host_available"].value, "bytes"),
            f"×{number(one.growth)}",
            f"{'–'.join(dict.fromkeys(map(str, one.reached)))}{unsettled}",
            ", ".join(knees) or MISSING,
        )
    return _titled(case[0], case[1], table)


def _knees(one: Density) -> tuple[tuple[str, Knee], ...]:
    return ("memory", one.memory_knee), ("start", one.start_time_knee)


def _interval(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return MISSING
    return f"{quantity(figure.low, 'bytes')}–{quantity(figure.high, 'bytes')}"


def _slowdown_table(victim: tuple[str, str, str], members: Sequence[Slowdown], arms: Sequence[str]) -> RenderableType:
    workload, params, metric = victim
    table = _table(f"slowdown of {metric}")
    emulated = {one.arm for one in members if one.emulated}
    for arm in arms:
        table.add_column(Text.assemble(arm, _EMULATED if arm in emulated else ""), justify="right", overflow="fold")
    for neighbour, of_neighbour in groupby(members, lambda one: one.neighbour):
        by_arm = {one.arm: one for one in of_neighbour}
        cells = (_cell(by_arm[arm]) if arm in by_arm else Text(MISSING, "dim") for arm in arms)
        table.add_row(Text(f"  beside {neighbour}"), *cells)
    return _titled(workload, params, table)


def _cell(one: Slowdown) -> Text:
    between = interval(one.ci_low, one.ci_high)
    figure = f"{ratio(one.slowdown)} [{between}]" if between else ratio(one.slowdown)
    return Text(f"{figure} {one.verdict}", _STYLES[one.verdict])


def _table(first: str) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text(first), ratio=1, overflow="fold")
    return table


def _titled(workload: str, params: str, table: Table) -> RenderableType:
    title = Text.assemble((workload, "bold underline"), f"  {params.replace(',', ' ')}")
    return Padding(Group(title, table), (0, 0, 1, 0))
