"""``bench show`` on a terminal: what a run measured, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from results.charts.cases import case_labels, of_case, reference_case
from results.charts.quantities import MISSING, percent
from results.checks import UNIT as CHECK
from results.checks import checks_of
from results.clocks import clock_warnings
from results.density import densities_of
from results.density import to_json as densities_json
from results.engines import Engine, engines_of
from results.identical_arms import identical_arms
from results.interference import Slowdown, slowdowns_of
from results.interference import to_json as slowdowns_json
from results.iterations import iterations_of
from results.iterations import to_json as iterations_json
from results.left_out import left_out_arms
from results.limits import is_limit, limits_of
from results.noise import blocks_of, disturbed_blocks
from results.noise import to_json as noise_json
from results.noise_floor import NoiseFloor, noise_floors, overhead
from results.noise_floor import to_json as noise_floors_json
from results.records import EMULATED, RunRecord, TrialRecord
from results.selection import AS_IT_IS, Selection, View, case_of, metric_of, shown_of, sorted_summaries, spread
from results.summary import Summary, describe
from results.summary import to_json as summary_json
from results.terminal.experiments import density_tables, slowdown_tables
from results.terminal.grid import Column, Grid, Line, Table
from results.terminal.iterations import iterations_table
from results.terminal.noise import noise_view
from results.terminal.noise_floor import noise_floor_table
from results.terminal.outcomes import check_tables, limit_table
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
from results.terminal.waterfall import waterfall_table
from results.waterfall import waterfalls_of

if TYPE_CHECKING:
    import pandas as pd

    from results.store import Store

STATUS_STYLES = {"running": "cyan", "complete": "green", "partial": "yellow", "failed": "red"}

_NONE_LEFT_OUT: Mapping[str, str] = {}

_COLUMNS = (
    Column("median"),
    Column("minimum", spare=1),
    Column("25\N{NO-BREAK SPACE}%", spare=3),
    Column("75\N{NO-BREAK SPACE}%", spare=3),
    Column("maximum", spare=2),
    Column("n"),
)


def show_renderables(store: Store, run: RunRecord, view: View = AS_IT_IS) -> list[RenderableType]:
    """What ``bench show`` prints: the run, blocks that were disturbed, checks, limits, whom idle memory serves, what
    iterations did, the noise floor, figures by workload case, notes, and trials that failed.

    Where something is asked for it is the run and what belongs to that.

    Args:
        store: open.
        run: of the store.
        view: what of it to show, and how.

    Raises:
        SelectionError: something is asked for that is not there.
        StoreError: the store cannot be read, or the run's ``suite.yaml`` is unreadable or damaged.
    """
    frame = store.frame(run.id)
    trials = store.trials(run.id)
    summaries = describe(frame)
    view.selection.checked(summaries)
    outcomes = _outcomes(store, run, frame, trials, view.selection)
    left_out = left_out_arms(store.run_directory(run.id))
    return summary_view(run, trials, summaries, outcomes, view, left_out)


def show_json(store: Store, run: RunRecord, view: View = AS_IT_IS) -> dict[str, object]:
    """The same as plain data, parts of metrics included: run, trials (how many), failed (each), warnings, summaries,
    iterations, noise (each block), noise_floor, densities, slowdowns.

    Raises:
        SelectionError: something is asked for that is not there.
        StoreError: the store cannot be read, or the run's ``suite.yaml`` is unreadable or damaged.
    """
    frame = store.frame(run.id)
    keep = view.selection
    whole = keep.of_frame(frame) if not keep.metrics else frame.iloc[:0]
    summaries = sorted_summaries(keep.checked(describe(frame)), view.order)
    return {
        **summary_json(run, store.trials(run.id), summaries),
        "left_out": dict(left_out_arms(store.run_directory(run.id))),
        "iterations": iterations_json(keep.of(iterations_of(frame))),
        "noise": noise_json(blocks_of(store.noise(run.id))),
        "noise_floor": noise_floors_json(keep.of(_noise_floors(store, run, frame))),
        "densities": densities_json(densities_of(whole)),
        "slowdowns": slowdowns_json(keep.of(_slowdowns(store, run, frame))),
    }


def _outcomes(
    store: Store, run: RunRecord, frame: pd.DataFrame, trials: Sequence[TrialRecord], keep: Selection
) -> list[RenderableType]:
    """Tables of all that is no summary, as far as it is asked for; what is about no single metric only if none is."""
    whole = keep.of_frame(frame) if not keep.metrics else frame.iloc[:0]
    emulated = {trial.arm for trial in trials if trial.accel == EMULATED}
    waterfalls = waterfalls_of(of_case(frame, reference_case(frame))) if keep.is_everything else {}
    return [
        *(noise_view(blocks_of(store.noise(run.id))) if keep.is_everything else ()),
        *check_tables(checks_of(keep.of_frame(frame))),
        *limit_table(limits_of(whole)),
        *waterfall_table(waterfalls, run.arms, emulated),
        *iterations_table(keep.of(iterations_of(frame))),
        *noise_floor_table(keep.of(_noise_floors(store, run, frame)), overhead(frame, trials)),
        *density_tables(densities_of(whole)),
        *slowdown_tables(keep.of(_slowdowns(store, run, frame))),
    ]


def _noise_floors(store: Store, run: RunRecord, frame: pd.DataFrame) -> list[NoiseFloor]:
    return noise_floors(frame, identical_arms(store.run_directory(run.id)), run.threshold)


def _slowdowns(store: Store, run: RunRecord, frame: pd.DataFrame) -> list[Slowdown]:
    return slowdowns_of(frame, run.threshold, disturbed_blocks(store.noise(run.id)))


def summary_view(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    summaries: Sequence[Summary],
    outcomes: Sequence[RenderableType] = (),
    view: View = AS_IT_IS,
    left_out: Mapping[str, str] = _NONE_LEFT_OUT,
) -> list[RenderableType]:
    """A run's head, ``outcomes``, tables of its summaries and of its failed trials; see :func:`show_renderables`.

    Checks and limits are no summaries, and are left to ``outcomes``.
    """
    head = _run_header(run, trials, left_out)
    if not summaries:
        return [head, nothing(trials), *failed_trials(trials)]
    notice = banner(view.selection.of(summaries))
    summaries = [summary for summary in summaries if summary.unit != CHECK and not is_limit(summary.metric)]
    shown = shown_of(summaries, view.selection)
    notes = [Text.assemble("* ", (warning, "yellow")) for warning in clock_warnings(trials)]
    hidden = left_out_line(view.selection.of(summaries), shown)
    return [head, *notice, *outcomes, *_tables(shown, view.order), *notes, *hidden, *failed_trials(trials)]


def _tables(shown: Sequence[Summary], order: str | None) -> list[RenderableType]:
    if not shown:
        return []
    if order is not None:
        return [_list(sorted_summaries(shown, order))]
    tables = []
    for case, of_case_rows in groupby(shown, case_of):
        lines: list[Line] = []
        for _, of_metric in groupby(of_case_rows, metric_of):
            rows = list(of_metric)
            lines.append(Line(metric_title(rows[0])))
            lines += [Line(arm_label(row.arm, row.accel), _figures(row)) for row in rows]
        tables.append(Table(case_title(case), tuple(lines)))
    return [Grid(_COLUMNS, tuple(tables))]


def _list(shown: Sequence[Summary]) -> RenderableType:
    """All in one table, with the spread that it may be ordered by."""
    labels = case_labels(map(case_of, shown))
    lines = [
        Line(
            row_label(labels[case_of(row)], row),
            (arm_label(row.arm, row.accel, ""), *_figures(row), Text(percent(spread(row)))),
        )
        for row in shown
    ]
    columns = (Column("arm", "left"), *_COLUMNS, Column("spread"))
    return Grid(columns, (Table(Text(), tuple(lines)),), "metric")


def _figures(row: Summary) -> tuple[Text, ...]:
    figures = (row.median, row.minimum, row.quartile_low, row.quartile_high, row.maximum)
    return (*(Text(figure(value, row.unit)) for value in figures), Text(str(row.n)))


def _engine(engine: Engine) -> Text:
    parts = [engine.version, *([f"by {engine.oci_runtime}"] if engine.oci_runtime else [])]
    if engine.daemon_memory is not None:
        parts.append(f"its daemon holds {figure(engine.daemon_memory, 'bytes')} without an instance")
    return Text(f"{engine.arm}: {', '.join(parts)}")


def _run_header(run: RunRecord, trials: Sequence[TrialRecord], left_out: Mapping[str, str]) -> RenderableType:
    failed = sum(trial.status == "failed" for trial in trials)
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    status = Text(run.status, STATUS_STYLES[run.status])
    if run.stop_reason:
        status.append(f" ({run.stop_reason})", "not dim default")
    for name, value in (
        ("run", Text(run.id, "bold")),
        ("suite", Text(run.suite)),
        ("status", status),
        ("started", Text(run.started)),
        ("ended", Text(run.ended or MISSING)),
        ("trials", Text(f"{len(trials) - failed} ok, {failed} failed", "red" if failed else "")),
        ("arms", Text(f"{', '.join(run.arms)} (baseline: {run.baseline})")),
        *(("left out", Text(f"arm {name}: {why}", "yellow")) for name, why in left_out.items()),
        *(("engine", _engine(each)) for each in engines_of(trials)),
        ("image", Text(run.image)),
        ("host", Text(run.host_fingerprint)),
        ("seed", Text(str(run.seed))),
    ):
        grid.add_row(name, value)
    return Padding(grid, (0, 0, 1, 0))
