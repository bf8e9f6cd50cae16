"""Terminal tables of what is no comparison: checks, and limits as given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import MISSING, percentage, quantity, tick
from results.checks import Checks, Tally, claim, sentence
from results.limits import GivenLimit, tolerance
from results.limits import sentence as limits_sentence

_EMULATED = (" tcg", "bold red")


def check_tables(checks: Sequence[Checks]) -> list[RenderableType]:
    """A pass/fail table a workload case: claims down, arms across, and how many hold in the last row."""
    return [_check_table(one) for one in checks]


def limit_table(limits: Sequence[GivenLimit]) -> list[RenderableType]:
    """Limits as asked for and as given, by limit; empty for none. The sign at an error is that of its outcome."""
    if not limits:
        return []
    table = _table("limits as given")
    for name in ("asked", "given", "error", "least", "greatest", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for limit, members in groupby(limits, key=lambda given: given.limit):
        of_limit = list(members)
        table.add_row(Text.assemble(limit, (f" ±{tick(tolerance(limit), '%')}", "dim")))
        is_shared = len({(given.workload, given.params) for given in of_limit}) > 1
        for given in of_limit:
            measured = f" {given.workload} {given.params}".rstrip() if is_shared else ""
            table.add_row(
                Text.assemble("  ", given.arm, _EMULATED if given.emulated else "", (measured, "dim")),
                Text(_short(tick(given.asked, given.unit, 6))),
                Text(_short(quantity(given.given, given.unit))),
                _error(given),
                percentage(min(given.errors)),
                percentage(max(given.errors)),
                str(len(given.errors)),
            )
    return [Padding(table, (0, 0, 1, 0))]


def outcome_notes(arms: Sequence[str], checks: Sequence[Checks], limits: Sequence[GivenLimit]) -> list[RenderableType]:
    """A line an arm that says in words what its checks and limits came to; none for an arm without either."""
    said = ((arm, " ".join(filter(None, (sentence(checks, arm), limits_sentence(limits, arm))))) for arm in arms)
    return [Text.assemble((f"{arm}: ", "bold"), text) for arm, text in said if text]


def _check_table(one: Checks) -> RenderableType:
    table = _table(one.workload, one.params)
    for arm in one.arms:
        table.add_column(Text.assemble(arm, _EMULATED if arm in one.emulated else ""), overflow="fold")
    for metric, tallies in one.claims.items():
        table.add_row(Text(claim(metric)), *(_cell(tallies.get(arm)) for arm in one.arms))
    table.add_section()
    table.add_row(Text("in all", "bold"), *(Text(one.total(arm), "bold") for arm in one.arms))
    return Padding(table, (0, 0, 1, 0))


def _cell(tally: Tally | None) -> Text:
    if tally is None:
        return Text(MISSING, "dim")
    return Text(f"✓ {tally.words}", "green") if tally.holds else Text(f"✗ {tally.words}", "bold red")


def _error(given: GivenLimit) -> Text:
    error = percentage(given.error)
    return Text(f"✓ {error}", "green") if given.outcome == "met" else Text(f"✗ {error}", "bold red")


def _short(figure: str) -> str:
    # A terminal has 80 columns, and the limit's name says of what.
    return figure.replace(" requests/s", "/s")


def _table(title: str, params: str = "") -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    heading = Text.assemble((title, "bold underline"), ("  " + params.replace(",", " "), "not dim") if params else "")
    table.add_column(heading, ratio=1, overflow="fold")
    return table
