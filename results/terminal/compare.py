"""``bench compare`` of one run on a terminal: its arms against one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from results.charts.cases import case_labels
from results.checks import checks_of
from results.compare import Comparison
from results.compare import to_json as comparisons_json
from results.interference import slowdowns_of
from results.left_out import left_out_arms, left_out_lines
from results.limits import limits_of
from results.noise import disturbed_blocks
from results.records import RunRecord
from results.references import references_of, runtimes_of
from results.references import to_json as reference_json
from results.resources import counting_note
from results.selection import AS_IT_IS, View, case_of, metric_of, shown_of, sorted_comparisons
from results.stored_comparisons import comparisons_of
from results.summary import describe
from results.terminal.bar import FITTING, axis_of
from results.terminal.comparisons import (
    comparison_cells,
    comparison_columns,
    notes_on,
    shared_warnings,
    tally_view,
)
from results.terminal.experiments import slowdown_tables
from results.terminal.grid import Column, Grid, Line, Table
from results.terminal.outcomes import check_tables, limit_table, outcome_notes
from results.terminal.references import no_reference, reference_tables
from results.terminal.rows import (
    arm_label,
    banner,
    case_title,
    failed_trials,
    figure,
    left_out_line,
    metric_title,
    nothing,
    row_label,
)

if TYPE_CHECKING:
    import pandas as pd

    from results.store import Store


def compare_renderables(
    store: Store, run: RunRecord, reference: str | None = None, baseline: str | None = None, view: View = AS_IT_IS
) -> list[RenderableType]:
    """What ``bench compare`` prints of a run: which it is, a table a workload case, then notes on what needs a caveat,
    then how the verdicts are distributed, then slowdowns.

    Checks and limits are no comparisons: a line an arm says in words what they came to. Where no trial succeeded it
    says so, and lists the trials that failed.

    Args:
        store: open.
        run: of the store.
        reference: key of a source whose published ratios are told as well (:mod:`results.references`).
        baseline: the arm to divide by, in the place of the suite's.
        view: what of it to show, and how. It changes nothing in what a row says.

    Raises:
        SelectionError: something is asked for that is not there.
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    if frame.empty:
        trials = store.trials(run.id)
        return [nothing(trials), *failed_trials(trials)]
    keep = view.selection
    comparisons = comparisons_of(store, run, frame, baseline)
    keep.checked(comparisons)
    notes = outcome_notes(run.arms, checks_of(frame), limits_of(frame)) if keep.is_everything else []
    counting = counting_note(store.trials(run.id))
    if counting is not None:
        notes = [*notes, Text.assemble("* ", (counting, "yellow"))]
    notes = [*notes, *_left_out_notes(store, run)]
    slowdowns = slowdowns_of(frame, run.threshold, disturbed_blocks(store.noise(run.id)))
    published = _published(frame, keep.of(comparisons), reference)
    head = Text(f"run {run.id}  suite {run.suite}  baseline {baseline or run.baseline}\n", "dim")
    return [head, *comparison_view(comparisons, view), *notes, *slowdown_tables(keep.of(slowdowns)), *published]


def _published(frame: pd.DataFrame, comparisons: Sequence[Comparison], reference: str | None) -> list[RenderableType]:
    if reference is None:
        return []
    tables = reference_tables(references_of(comparisons, runtimes_of(frame), reference))
    return tables or [no_reference(reference)]


def findings_renderables(store: Store, run: RunRecord) -> list[RenderableType]:
    """What ``bench run`` ends with: what a suite found that checks claims or measures limits, else the comparison.

    Raises:
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    checks, limits = checks_of(frame), limits_of(frame)
    if not checks and not limits:
        return compare_renderables(store, run)
    tables = [*check_tables(checks), *limit_table(limits)]
    notes = outcome_notes(run.arms, checks, limits)
    return [*banner(describe(frame)), *tables, *notes, *_left_out_notes(store, run)]


def _left_out_notes(store: Store, run: RunRecord) -> list[RenderableType]:
    lines = left_out_lines(left_out_arms(store.run_directory(run.id)))
    return [Text.assemble("* ", (line, "yellow")) for line in lines]


def compare_json(
    store: Store, run: RunRecord, reference: str | None = None, baseline: str | None = None, view: View = AS_IT_IS
) -> list[dict[str, object]]:
    """The same as plain data, parts of metrics included: :func:`results.compare.to_json`.

    With a reference each comparison has the key ``published``, a list of what that source has of the same.

    Raises:
        SelectionError: something is asked for that is not there.
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    comparisons = comparisons_of(store, run, frame, baseline)
    comparisons = sorted_comparisons(view.selection.checked(comparisons), view.order)
    rows = comparisons_json(comparisons)
    if reference is not None:
        runtimes = runtimes_of(frame)
        for row, comparison in zip(rows, comparisons, strict=True):
            row["published"] = [reference_json(each) for each in references_of([comparison], runtimes, reference)]
    return rows


def comparison_view(comparisons: Sequence[Comparison], view: View = AS_IT_IS) -> list[RenderableType]:
    """Tables of comparisons, primary metrics first, parts of metrics left out; see :func:`compare_renderables`.

    Where a comparison is inconclusive there is a column that tells what effect it could have seen.
    """
    if not comparisons:
        return [Text("Nothing to compare: no arm has a successful trial beside the baseline's.")]
    selected = view.selection.of(comparisons)
    shown = shown_of(comparisons, view.selection)
    tables = [_list(sorted_comparisons(shown, view.order))] if view.order else [_by_case(shown)]
    hidden = left_out_line(selected, shown)
    return [*banner(selected), *tables, *tally_view(shown, lambda row: row.arm), *notes_on(shown), *hidden]


def _by_case(shown: Sequence[Comparison]) -> RenderableType:
    tables, shared = [], shared_warnings(shown)
    for case, of_case in groupby(shown, case_of):
        lines: list[Line] = []
        for _, of_metric in groupby(of_case, metric_of):
            lines += _metric_lines(list(of_metric), shared)
        tables.append(Table(case_title(case), tuple(lines)))
    return Grid((Column("median", spare=1), *comparison_columns("")), tuple(tables))


def _metric_lines(rows: Sequence[Comparison], explained: Iterable[str]) -> Iterable[Line]:
    first, axis = rows[0], axis_of(rows)
    empty = Text()
    yield Line(metric_title(first), (empty, empty, empty, axis, empty, empty, empty))
    base = Text(figure(first.baseline_median, first.unit))
    yield Line(Text(f"  {first.baseline}"), (base, Text("1"), empty, empty, Text("baseline"), empty, empty))
    for row in rows:
        cells = comparison_cells(row, axis, explained)
        yield Line(arm_label(row.arm, row.accel), (Text(figure(row.median, row.unit)), *cells))


def _list(shown: Sequence[Comparison]) -> RenderableType:
    """All in one table, on one axis."""
    labels, axis, shared = case_labels(map(case_of, shown)), axis_of(shown, FITTING), shared_warnings(shown)
    lines = [
        Line(
            row_label(labels[case_of(row)], row),
            (
                arm_label(row.arm, row.accel, ""),
                Text(figure(row.median, row.unit)),
                *comparison_cells(row, axis, shared),
            ),
        )
        for row in shown
    ]
    columns = (Column("arm", "left"), Column("median", spare=1), *comparison_columns(axis))
    return Grid(columns, (Table(Text(), tuple(lines)),), "metric")
