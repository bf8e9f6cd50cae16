"""What a run measured, and its comparison, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from results.charts.cases import of_case, reference_case
from results.charts.quantities import MISSING, effect, interval, is_scaled, quantity, ratio
from results.checks import UNIT as CHECK
from results.checks import checks_of
from results.clocks import clock_warnings
from results.compare import Comparison
from results.compare import to_json as comparisons_json
from results.density import densities_of
from results.density import to_json as densities_json
from results.identical_arms import identical_arms
from results.interference import slowdowns_of
from results.interference import to_json as slowdowns_json
from results.iterations import iterations_of
from results.iterations import to_json as iterations_json
from results.limits import is_limit, limits_of
from results.noise import blocks_of, disturbed_blocks
from results.noise import to_json as noise_json
from results.noise_floor import NoiseFloor, noise_floors, overhead
from results.noise_floor import to_json as noise_floors_json
from results.records import INSTANCE_METRICS, RunRecord, TrialRecord, is_part
from results.references import references_of, runtimes_of
from results.references import to_json as reference_json
from results.resources import counting_note
from results.stored_comparisons import comparisons_of
from results.summary import Summary, describe
from results.summary import to_json as summary_json
from results.terminal.experiments import density_tables, slowdown_tables
from results.terminal.iterations import iterations_table
from results.terminal.noise import noise_view
from results.terminal.noise_floor import noise_floor_table
from results.terminal.outcomes import check_tables, limit_table, outcome_notes
from results.terminal.references import no_reference, reference_tables
from results.terminal.waterfall import waterfall_table
from results.trials import choose_reference, natural
from results.waterfall import waterfalls_of

if TYPE_CHECKING:
    import pandas as pd

    from results.store import Store

Row = TypeVar("Row", Comparison, Summary)
Cells = tuple[str | Text, ...]

VERDICT_STYLES = {"better": "green", "worse": "red", "same": "cyan", "inconclusive": "yellow"}
STATUS_STYLES = {"running": "cyan", "complete": "green", "partial": "yellow", "failed": "red"}
EMULATED = "tcg"

_DETAILS = ("cpus_used", "pids_peak")
"""Neutral metrics of every trial that stand for themselves, and are details all the same."""


def show_renderables(store: Store, run: RunRecord) -> list[RenderableType]:
    """What ``bench show`` prints: the run, blocks that were disturbed, checks, limits, whom idle memory serves, what
    iterations did, the noise floor, figures by workload case, notes, and trials that failed.

    Raises:
        StoreError: the store cannot be read, or the run's ``suite.yaml`` is unreadable or damaged.
    """
    frame = store.frame(run.id)
    trials = store.trials(run.id)
    emulated = {trial.arm for trial in trials if trial.accel == EMULATED}
    waterfalls = waterfalls_of(of_case(frame, reference_case(frame)))
    outcomes = [
        *noise_view(blocks_of(store.noise(run.id))),
        *check_tables(checks_of(frame)),
        *limit_table(limits_of(frame)),
        *waterfall_table(waterfalls, run.arms, emulated),
        *iterations_table(iterations_of(frame)),
        *noise_floor_table(_noise_floors(store, run, frame), overhead(frame, trials)),
        *density_tables(densities_of(frame)),
        *slowdown_tables(slowdowns_of(frame, run.threshold, disturbed_blocks(store.noise(run.id)))),
    ]
    return summary_view(run, trials, describe(frame), outcomes)


def show_json(store: Store, run: RunRecord) -> dict[str, object]:
    """The same as plain data, parts of metrics included: run, trials (how many), failed (each), warnings, summaries,
    iterations, noise (each block), noise_floor, densities, slowdowns.

    Raises:
        StoreError: the store cannot be read, or the run's ``suite.yaml`` is unreadable or damaged.
    """
    frame = store.frame(run.id)
    return {
        **summary_json(run, store.trials(run.id), describe(frame)),
        "iterations": iterations_json(iterations_of(frame)),
        "noise": noise_json(blocks_of(store.noise(run.id))),
        "noise_floor": noise_floors_json(_noise_floors(store, run, frame)),
        "densities": densities_json(densities_of(frame)),
        "slowdowns": slowdowns_json(slowdowns_of(frame, run.threshold, disturbed_blocks(store.noise(run.id)))),
    }


def _noise_floors(store: Store, run: RunRecord, frame: pd.DataFrame) -> list[NoiseFloor]:
    return noise_floors(frame, identical_arms(store.run_directory(run.id)), run.threshold)


def compare_renderables(store: Store, run: RunRecord, reference: str | None = None) -> list[RenderableType]:
    """What ``bench compare`` prints: a table a workload case, then notes on what needs a caveat, then slowdowns.

    Checks and limits are no comparisons: a line an arm says in words what they came to. Where no trial succeeded it
    says so, and lists the trials that failed.

    Args:
        store: open.
        run: of the store.
        reference: key of a source whose published ratios are told as well (:mod:`results.references`).

    Raises:
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    if frame.empty:
        trials = store.trials(run.id)
        return [_nothing(trials), *_failed_trials(trials)]
    notes = outcome_notes(run.arms, checks_of(frame), limits_of(frame))
    comparisons = comparisons_of(store, run, frame)
    counting = counting_note(store.trials(run.id))
    if counting is not None:
        notes = [*notes, Text.assemble("* ", (counting, "yellow"))]
    slowdowns = slowdown_tables(slowdowns_of(frame, run.threshold, disturbed_blocks(store.noise(run.id))))
    return [*comparison_view(comparisons), *notes, *slowdowns, *_published(frame, comparisons, reference)]


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
    return [*_banner(describe(frame)), *tables, *outcome_notes(run.arms, checks, limits)]


def compare_json(store: Store, run: RunRecord, reference: str | None = None) -> list[dict[str, object]]:
    """The same as plain data, parts of metrics included: :func:`results.compare.to_json`.

    With a reference each comparison has the key ``published``, a list of what that source has of the same.

    Raises:
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    comparisons = comparisons_of(store, run, frame)
    rows = comparisons_json(comparisons)
    if reference is not None:
        runtimes = runtimes_of(frame)
        for row, comparison in zip(rows, comparisons, strict=True):
            row["published"] = [reference_json(each) for each in references_of([comparison], runtimes, reference)]
    return rows


def comparison_view(comparisons: Sequence[Comparison]) -> list[RenderableType]:
    """Tables of comparisons, primary metrics first, parts of metrics left out; see :func:`compare_renderables`.

    Where a comparison is inconclusive there is a column that tells what effect it could have seen.
    """
    if not comparisons:
        return [Text("Nothing to compare: no arm has a successful trial beside the baseline's.")]
    shown = _shown(comparisons)
    columns = ["median", "ratio", "95 % interval", "verdict", "could see", "n"]
    if not any(map(_could_see, shown)):
        columns.remove("could see")
    tables = _tables(columns, shown, partial(_comparison_rows, "could see" in columns))
    return [*_banner(comparisons), *tables, *_notes(shown), *_left_out(comparisons, shown)]


def summary_view(
    run: RunRecord, trials: Sequence[TrialRecord], summaries: Sequence[Summary], outcomes: Sequence[RenderableType] = ()
) -> list[RenderableType]:
    """A run's head, ``outcomes``, tables of its summaries and of its failed trials; see :func:`show_renderables`.

    Checks and limits are no summaries, and are left to ``outcomes``.
    """
    head = _run_header(run, trials)
    if not summaries:
        return [head, _nothing(trials), *_failed_trials(trials)]
    banner = _banner(summaries)
    summaries = [summary for summary in summaries if summary.unit != CHECK and not is_limit(summary.metric)]
    shown = _shown(summaries)
    tables = _tables(("median", "minimum", "25 %", "75 %", "maximum", "n"), shown, _summary_rows)
    notes = [Text.assemble("* ", (warning, "yellow")) for warning in clock_warnings(trials)]
    return [head, *banner, *outcomes, *tables, *notes, *_left_out(summaries, shown), *_failed_trials(trials)]


def emulation_banner(arms: Iterable[str]) -> Panel:
    """The loud notice that the named arms ran under software emulation."""
    text = Text.assemble(
        ("NOT A PERFORMANCE RESULT: ", "bold"),
        ", ".join(arms),
        " ran under QEMU's software emulation (tcg), not KVM. It shows that everything works. Its figures say nothing"
        " about how fast a virtual machine is, and are marked ",
        (EMULATED, "bold"),
        ".",
    )
    return Panel(text, border_style="bold red", title="software emulation", title_align="left")


def _banner(rows: Sequence[Comparison] | Sequence[Summary]) -> list[RenderableType]:
    emulated = list(dict.fromkeys(row.arm for row in rows if row.accel == EMULATED))
    return [emulation_banner(emulated)] if emulated else []


def _shown(rows: Sequence[Row]) -> list[Row]:
    """The rows to show, by workload case, that of the instances themselves first; in a case primary metrics first.

    Left out are parts of a metric (``startup.exec``, ``memory.file``) and other details, with which a run is hundreds
    of lines, and in all cases but one what instances have before any workload has touched them.
    """
    arms: dict[tuple[str, str], set[str]] = {case: set() for case in sorted(map(_case_of, rows), key=natural)}
    for row in rows:
        arms[_case_of(row)].add(row.arm)
        if isinstance(row, Comparison) and row.baseline_median is not None:
            arms[_case_of(row)].add(row.baseline)
    reference = choose_reference({case: len(names) for case, names in arms.items()})
    places = {case: place for place, case in enumerate(arms)} | ({reference: -1} if reference else {})

    def is_shown(row: Row) -> bool:
        of_instance = row.metric in INSTANCE_METRICS
        is_detail = is_part(row.metric) or row.metric in _DETAILS
        return (row.primary or not is_detail) and (_case_of(row) == reference or not of_instance)

    return sorted(filter(is_shown, rows), key=lambda row: (places[_case_of(row)], not row.primary))


def _left_out(rows: Sequence[Row], shown: Sequence[Row]) -> list[RenderableType]:
    if len(rows) == len(shown):
        return []
    kept = set(map(id, shown))
    left_out = [row.metric for row in rows if id(row) not in kept]
    details = [metric for metric in left_out if is_part(metric) or metric in _DETAILS]
    named = list(dict.fromkeys(f"{metric.split('.')[0]}.*" if is_part(metric) else metric for metric in details))
    if len(details) < len(left_out):
        named.append("startup and footprint of further workloads")
    return [Text(f"Not shown: {len(rows) - len(shown)} rows ({', '.join(named)}); --format json has them.", "dim")]


def _tables(
    columns: Sequence[str], rows: Sequence[Row], rows_of_metric: Callable[[list[Row]], list[Cells]]
) -> list[RenderableType]:
    """A table a workload case, with columns that stand at the same place in all of them."""
    cases = [
        (case, [cells for _, metric in groupby(of_case, _metric_of) for cells in rows_of_metric(list(metric))])
        for case, of_case in groupby(rows, _case_of)
    ]
    contents = [
        max((cell_len(str(cells[place])) for _, table in cases for cells in table if len(cells) > 1), default=0)
        for place in range(1, len(columns) + 1)
    ]
    widths = [max(len(name), content) for name, content in zip(columns, contents, strict=True)]
    return [_table(case, list(zip(columns, widths, strict=True)), table_rows) for case, table_rows in cases]


def _table(case: tuple[str, str], columns: Sequence[tuple[str, int]], rows: list[Cells]) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    title = Text.assemble((case[0], "bold underline"), ("  " + case[1].replace(",", " "), "not dim"))
    table.add_column(title, ratio=1, overflow="fold")
    for name, width in columns:
        table.add_column(name, width=width, justify="left" if name == "verdict" else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return Padding(table, (0, 0, 1, 0))


def _case_of(row: Comparison | Summary) -> tuple[str, str]:
    return row.workload, row.params


def _metric_of(row: Comparison | Summary) -> str:
    return row.metric


def _comparison_rows(with_effect: bool, rows: list[Comparison]) -> list[Cells]:
    first = rows[0]
    no_effect: Cells = ("",) if with_effect else ()
    baseline = _figure(first.baseline_median, first.unit)
    cells: list[Cells] = [
        (_metric_title(first),),
        (f"  {first.baseline}", baseline, "1", "", "baseline", *no_effect, ""),
    ]
    for row in rows:
        seen: Cells = (_could_see(row),) if with_effect else ()
        between = interval(row.ci_low, row.ci_high) or MISSING
        median = _figure(row.median, row.unit)
        cells.append((_arm(row.arm, row.accel), median, ratio(row.ratio), between, _verdict(row), *seen, str(row.n)))
    return cells


def _summary_rows(rows: list[Summary]) -> list[Cells]:
    cells: list[Cells] = [(_metric_title(rows[0]),)]
    for row in rows:
        figures = (row.median, row.minimum, row.quartile_low, row.quartile_high, row.maximum)
        cells.append((_arm(row.arm, row.accel), *(_figure(value, row.unit) for value in figures), str(row.n)))
    return cells


def _metric_title(row: Comparison | Summary) -> Text:
    unit = "" if is_scaled(row.unit) or not row.unit else f" ({row.unit})"
    return Text.assemble((row.metric, "bold" if row.primary else ""), (unit, "dim"))


def _figure(value: float | None, unit: str) -> str:
    """A value; with its unit where that goes by the value, otherwise it stands beside the metric."""
    return quantity(value, unit if is_scaled(unit) else "")


def _arm(arm: str, accel: str) -> Text:
    return Text.assemble("  ", arm, (f" {EMULATED}", "bold red") if accel == EMULATED else "")


def _could_see(row: Comparison) -> str:
    """What effect an inconclusive comparison could have seen; nothing of those that have a verdict."""
    return effect(row.detectable) if row.verdict == "inconclusive" else ""


def _verdict(row: Comparison) -> Text:
    mark = " *" if row.warnings else ""
    return Text(f"{row.verdict}{mark}", VERDICT_STYLES[row.verdict])


def _notes(rows: Sequence[Comparison]) -> list[RenderableType]:
    """Every warning once, with the comparisons that it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            about.setdefault(warning, []).append(f"{row.workload} {row.metric} ({row.arm})")
    notes: list[RenderableType] = []
    for warning, concerned in about.items():
        others = f" and {len(concerned) - 2} more" if len(concerned) > 2 else ""
        note = Text.assemble("* ", (f"{warning}: ", "yellow"), "; ".join(concerned[:2]), others)
        notes.append(note)
    return notes


def _run_header(run: RunRecord, trials: Sequence[TrialRecord]) -> RenderableType:
    failed = sum(trial.status == "failed" for trial in trials)
    grid = Table.grid(padding=(0, 2))
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
        ("image", Text(run.image)),
        ("host", Text(run.host_fingerprint)),
        ("seed", Text(str(run.seed))),
    ):
        grid.add_row(name, value)
    return Padding(grid, (0, 0, 1, 0))


def _nothing(trials: Sequence[TrialRecord]) -> RenderableType:
    reason = "no trial succeeded" if trials else "no trial was carried out"
    return Text(f"Nothing was measured: {reason}.\n", "bold")


def _failed_trials(trials: Sequence[TrialRecord]) -> list[RenderableType]:
    failed = [trial for trial in trials if trial.status == "failed"]
    if not failed:
        return []
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text("failed trial", "bold red"), justify="right")
    for name in ("workload", "arm"):
        table.add_column(name, overflow="fold")
    table.add_column("error, log", ratio=1, overflow="fold")
    for trial in failed:
        error = Text(trial.error or "no reason recorded")
        if trial.log:
            error.append(f"\n{trial.log}", "dim")
        table.add_row(str(trial.trial), Text(trial.workload), Text(trial.arm), error)
    return [table]
