"""``bench compare`` of several runs on a terminal: one against another, or many as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, ratio
from results.compare_runs import (
    BETWEEN_RUNS,
    RunComparison,
    compare_measured,
    measured,
    unlike,
    unshared,
)
from results.selection import AS_IT_IS, View, case_of, metric_of, shown_of, sorted_comparisons
from results.terminal.bar import FITTING, axis_of
from results.terminal.comparisons import (
    comparison_cells,
    comparison_columns,
    notes_on,
    shared_warnings,
    tally_view,
)
from results.terminal.grid import Column, Grid, Line, Table
from results.terminal.rows import (
    VERDICT_STYLES,
    arm_label,
    banner,
    case_title,
    figure,
    left_out_line,
    metric_title,
    row_label,
)

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store

SIGNS = {"better": "✓", "worse": "✗", "same": "=", "inconclusive": "?"}
"""A verdict in a column of a run, for which a word is too long."""


def runs_renderables(store: Store, runs: Sequence[RunRecord], view: View = AS_IT_IS) -> list[RenderableType]:
    """What ``bench compare`` prints of several runs: which they are, how they are unlike, and each later one against
    the first: two as one table a workload case with intervals, more of them as columns of ratios.

    Args:
        store: open.
        runs: two or more; the first is what the others are divided by.
        view: what to show, and how. It changes nothing in what a row says.

    Raises:
        SelectionError: something is asked for that is not there.
        StoreError: the store cannot be read.
    """
    read = [measured(store, run) for run in runs]
    comparisons = compare_measured(read)
    view.selection.checked(comparisons)
    missing = [Text.assemble("* ", (sentence, "yellow")) for sentence in unshared(read)]
    return [_legend(runs), *_unlike(runs), *runs_view(comparisons, runs, view), *missing, Text(BETWEEN_RUNS, "dim")]


def runs_view(
    comparisons: Sequence[RunComparison], runs: Sequence[RunRecord], view: View = AS_IT_IS
) -> list[RenderableType]:
    """The tables and their notes; see :func:`runs_renderables`."""
    if not comparisons:
        return [Text("Nothing to compare: the runs have no workload and arm in common.")]
    selected = view.selection.of(comparisons)
    shown = shown_of(comparisons, view.selection)
    explained = [warning for run in runs[1:] for warning in unlike(run, runs[0])]
    numbers = {run.id: str(number) for number, run in enumerate(runs, start=1)}
    if len(runs) > 2:
        table: RenderableType = _Columns(tuple(shown), numbers, view.order)
        tally = tally_view(shown, lambda row: f"{numbers[row.run]} / 1" if isinstance(row, RunComparison) else row.arm)
    else:
        ordered = sorted_comparisons(shown, view.order)
        unmarked = [*explained, *shared_warnings(shown)]
        table = _pair_list(ordered, unmarked) if view.order else _pair_by_case(shown, unmarked)
        tally = tally_view(shown, lambda row: row.arm)
    return [*banner(selected), table, *tally, *notes_on(shown, explained), *left_out_line(selected, shown)]


def _legend(runs: Sequence[RunRecord]) -> RenderableType:
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in ("", "run", "suite", "started", "status"):
        table.add_column(name, overflow="fold")
    for number, run in enumerate(runs, start=1):
        cells = (run.id, run.suite, run.started, run.status)
        table.add_row(Text(str(number), "bold"), *map(Text, cells))
    return Padding(table, (0, 0, 1, 0))


def _unlike(runs: Sequence[RunRecord]) -> list[RenderableType]:
    """The loud notice of what the runs do not have in common."""
    said = [
        Text.assemble((f"{number}  ", "bold"), "; ".join(differences))
        for number, run in enumerate(runs[1:], start=2)
        if (differences := unlike(run, runs[0]))
    ]
    if not said:
        return []
    last = Text("What differs below may come from there.", "bold")
    return [Panel(Text("\n").join([*said, last]), border_style="bold yellow", title="not alike", title_align="left")]


def _pair_by_case(shown: Sequence[RunComparison], explained: Sequence[str]) -> RenderableType:
    tables = []
    for case, of_case in groupby(shown, case_of):
        lines: list[Line] = []
        for _, of_metric in groupby(of_case, metric_of):
            rows = list(of_metric)
            axis, empty = axis_of(rows), Text()
            lines.append(Line(metric_title(rows[0]), (empty, empty, empty, empty, axis, empty, empty, empty)))
            lines += [
                Line(
                    arm_label(row.arm, row.accel),
                    (*_medians(row), *comparison_cells(row, axis, explained, _count(row))),
                )
                for row in rows
            ]
        tables.append(Table(case_title(case), tuple(lines)))
    return Grid((Column("run 1", spare=1), Column("run 2", spare=1), *comparison_columns("", "2 / 1")), tuple(tables))


def _pair_list(shown: Sequence[RunComparison], explained: Sequence[str]) -> RenderableType:
    labels, axis = case_labels(map(case_of, shown)), axis_of(shown, FITTING)
    lines = [
        Line(
            row_label(labels[case_of(row)], row),
            (
                arm_label(row.arm, row.accel, ""),
                *_medians(row),
                *comparison_cells(row, axis, explained, _count(row)),
            ),
        )
        for row in shown
    ]
    columns = (Column("arm", "left"), Column("run 1", spare=1), Column("run 2", spare=1))
    return Grid((*columns, *comparison_columns(axis, "2 / 1")), (Table(Text(), tuple(lines)),), "metric")


def _medians(row: RunComparison) -> tuple[Text, Text]:
    return Text(figure(row.baseline_median, row.unit)), Text(figure(row.median, row.unit))


def _count(row: RunComparison) -> str:
    return str(row.n) if row.n == row.baseline_n else f"{row.n}/{row.baseline_n}"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Runs as columns, as many beside each other as there is room for, the others below.

    Attributes:
        rows: to show, of all later runs.
        numbers: what each run is called, by id.
        order: one of :data:`results.selection.COMPARISON_ORDERS`, by the row that comes first among the runs'; None for
            a table a workload case.
    """

    rows: tuple[RunComparison, ...]
    numbers: Mapping[str, str]
    order: str | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        later = [run for run in self.numbers if any(row.run == run for row in self.rows)]
        width = max(cell_len(_signed(row).plain) for row in self.rows) + 2
        labels = 40 if self.order else 16 + max(cell_len(row.arm) for row in self.rows)
        at_once = max(1, (options.max_width - labels) // width)
        for first in range(0, len(later), at_once):
            yield self._grid(later[first : first + at_once])
        signs = (f"{sign} {verdict}" for verdict, sign in SIGNS.items())
        yield Text(f"Ratios to run 1.  {'  '.join(signs)}\n", "dim")

    def _grid(self, runs: Sequence[str]) -> Grid:
        ratios = tuple(Column(f"{self.numbers[run]} / 1") for run in runs)
        if self.order is None:
            return Grid((Column("run 1", spare=1), *ratios), tuple(self._by_case(runs)))
        labels = case_labels(map(case_of, self.rows))
        lines = [
            Line(
                row_label(labels[case_of(row)], row),
                (arm_label(row.arm, row.accel, ""), *self._cells(of_arm, runs)),
            )
            for row, of_arm in self._grouped()
        ]
        return Grid(
            (Column("arm", "left"), Column("run 1", spare=1), *ratios), (Table(Text(), tuple(lines)),), "metric"
        )

    def _by_case(self, runs: Sequence[str]) -> Iterator[Table]:
        for case, of_case in groupby(self._grouped(), lambda group: case_of(group[0])):
            lines: list[Line] = []
            for _, of_metric in groupby(of_case, lambda group: metric_of(group[0])):
                groups = list(of_metric)
                lines.append(Line(metric_title(groups[0][0])))
                lines += [Line(arm_label(row.arm, row.accel), self._cells(of_arm, runs)) for row, of_arm in groups]
            yield Table(case_title(case), tuple(lines))

    def _grouped(self) -> list[tuple[RunComparison, dict[str, RunComparison]]]:
        """The rows of each workload case, metric and arm by run, with the first of them."""
        groups: dict[tuple[str, ...], dict[str, RunComparison]] = {}
        for row in sorted_comparisons(self.rows, self.order):
            key = (row.workload, row.params, row.metric, row.unit, row.better, row.arm)
            groups.setdefault(key, {})[row.run] = row
        return [(next(iter(of_arm.values())), of_arm) for of_arm in groups.values()]

    def _cells(self, of_arm: Mapping[str, RunComparison], runs: Sequence[str]) -> tuple[Text, ...]:
        first = next(iter(of_arm.values()))
        ratios = (_signed(of_arm[run]) if run in of_arm else Text(MISSING, "dim") for run in runs)
        return (Text(figure(first.baseline_median, first.unit)), *ratios)


def _signed(row: RunComparison) -> Text:
    return Text(f"{ratio(row.ratio)} {SIGNS[row.verdict]}", VERDICT_STYLES[row.verdict])
