"""A comparison as the cells of a row, what is said of several of them below their tables, and how verdicts are spread.

Comparisons of arms and of runs share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.console import RenderableType
from rich.text import Text

from results.charts.quantities import MISSING, effect, interval, ratio
from results.compare import Comparison
from results.selection import sorted_comparisons
from results.stats.verdict import Verdict
from results.terminal.bar import LEAST, MOST, Axis, Bar
from results.terminal.grid import Cell, Column, Drawn, Grid, Line, Table
from results.terminal.rows import VERDICT_STYLES

_ORDER: tuple[Verdict, ...] = ("better", "worse", "same", "inconclusive")

_MANY = 5
"""So many rows are not named one by one."""


def comparison_columns(axis: str | Drawn, of: str = "ratio") -> tuple[Column, ...]:
    """The columns of :func:`comparison_cells`.

    Args:
        axis: heading of the bars.
        of: heading of the ratios.
    """
    return (
        Column(of),
        Column("95\N{NO-BREAK SPACE}% interval"),
        Column(axis, "left", spare=2, widths=(LEAST, MOST)),
        Column("verdict", "left"),
        Column("could see", spare=3),
        Column("n"),
    )


def comparison_cells(
    row: Comparison, axis: Axis, explained: Iterable[str] = (), n: str | None = None
) -> tuple[Cell, ...]:
    """Ratio, interval, bar, verdict, what effect could have been seen where there is none, and n.

    Args:
        row: the comparison.
        axis: of the bar.
        explained: warnings that are told elsewhere, so that the verdict gets no mark for them.
        n: to be written in the place of the comparison's.
    """
    style = VERDICT_STYLES[row.verdict]
    mark = " *" if set(row.warnings) - set(explained) else ""
    seen = effect(row.detectable) if row.verdict == "inconclusive" else ""
    return (
        Text(ratio(row.ratio)),
        Text(interval(row.ci_low, row.ci_high) or MISSING),
        Bar(row, axis, style),
        Text(f"{row.verdict}{mark}", style),
        Text(seen),
        Text(str(row.n) if n is None else n),
    )


def shared_warnings(rows: Sequence[Comparison]) -> frozenset[str]:
    """The warnings that all of the rows have, if they are more than a few: a mark at each would mark nothing."""
    if len(rows) < _MANY:
        return frozenset()
    return frozenset.intersection(*(frozenset(row.warnings) for row in rows))


def notes_on(rows: Sequence[Comparison], explained: Iterable[str] = ()) -> list[RenderableType]:
    """Every warning once, with the comparisons that it is about; those explained elsewhere are left out."""
    shared = shared_warnings(rows)
    about: dict[str, list[str]] = {}
    elsewhere = set(explained)
    for row in rows:
        for warning in row.warnings:
            if warning not in elsewhere:
                about.setdefault(warning, []).append(f"{row.workload} {row.metric} ({row.arm})")
    notes: list[RenderableType] = []
    for warning, concerned in about.items():
        named = [f"all {len(rows)} comparisons"] if warning in shared else list(dict.fromkeys(concerned))
        others = f" and {len(named) - 2} more" if len(named) > 2 else ""
        notes.append(Text.assemble("* ", (f"{warning}: ", "yellow"), "; ".join(named[:2]), others))
    return notes


def tally_view(rows: Sequence[Comparison], of: Callable[[Comparison], str]) -> list[RenderableType]:
    """How often each verdict was given, and the largest of the differences for the worse: a line an arm, or a run.

    Metrics without a good direction are left out; nothing for a few comparisons, which tell it themselves.

    Args:
        rows: those that are shown.
        of: whose comparison it is.
    """
    directed = [row for row in rows if row.better != "neutral"]
    groups: dict[str, list[Comparison]] = {}
    for row in directed:
        groups.setdefault(of(row), []).append(row)
    if len(directed) < 2 * max(len(groups), 2):
        return []
    lines = [Line(Text(f"  {name}"), _tally(members)) for name, members in groups.items()]
    columns = (*(Column(verdict) for verdict in _ORDER), Column("worst", "left", spare=1))
    return [Grid(columns, (Table(Text("in all", "bold"), tuple(lines)),))]


def _tally(rows: Sequence[Comparison]) -> tuple[Cell, ...]:
    counts = Counter(row.verdict for row in rows)
    cells = [Text(str(counts[verdict] or ""), VERDICT_STYLES[verdict]) for verdict in _ORDER]
    worst = next((row for row in sorted_comparisons(rows, "effect") if row.verdict == "worse"), None)
    if worst is None:
        return (*cells, Text())
    return (*cells, Text(f"{ratio(worst.ratio)} {worst.metric}, {worst.workload}", "dim"))
