"""Comparisons and summaries for others to read on: CSV with all there is, and Markdown for a pull request."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from results.charts.quantities import MISSING, interval, is_scaled, quantity, ratio
from results.compare import Comparison
from results.compare_runs import BETWEEN_RUNS, RunComparison, unlike
from results.markdown import escaped, table
from results.records import RunRecord
from results.selection import (
    AS_IT_IS,
    View,
    case_name,
    left_out,
    shown_of,
    sorted_comparisons,
    sorted_summaries,
)
from results.summary import Summary

_NO_RESULT = (
    "> **Not a performance result:** {arms} ran under QEMU's software emulation (tcg), not KVM. The figures say "
    "nothing about how fast a virtual machine is."
)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of plain data with the keys of the first as header, full precision; None is empty, lists end in ``; ``.

    Keys whose values are objects are left out: CSV has no place for them. The workload ``null`` is a word, see
    :func:`results.export.export_run`.
    """
    if not rows:
        return ""
    columns = [key for key in rows[0] if not any(_is_nested(row[key]) for row in rows)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(row[column]) for column in columns] for row in rows)
    return stream.getvalue()


def comparison_markdown(comparisons: Sequence[Comparison], view: View = AS_IT_IS) -> str:
    """A table of the arms of a run, with the notes that its verdicts need; the rows that a terminal has as well.

    Args:
        comparisons: all of the run.
        view: what to show, and how.

    Raises:
        SelectionError: something is asked for that is not there.
    """
    selected = view.selection.checked(comparisons)
    rows = sorted_comparisons(shown_of(comparisons, view.selection), view.order)
    if not rows:
        return "Nothing to compare.\n"
    titles = ("Workload", "Metric", "Arm", "Median", "Ratio", "95 % interval", "Verdict", "n")
    kinds = ("text", "text", "text", "number", "number", "number", "text", "number")
    cells = [
        (*_name(row), _figure(row.median, row.unit), ratio(row.ratio), _interval(row), _verdict(row), str(row.n))
        for row in rows
    ]
    base = f"Ratios are to {escaped(rows[0].baseline)}. {escaped(left_out(selected, rows))}".rstrip()
    return _document([_emulated(rows), table(titles, kinds, cells), base, *_notes(rows)])


def runs_markdown(comparisons: Sequence[RunComparison], runs: Sequence[RunRecord], view: View = AS_IT_IS) -> str:
    """A table of runs against the first of them, with the notes that its verdicts need.

    Args:
        comparisons: all of the runs.
        runs: the first is what the others are divided by.
        view: what to show, and how.

    Raises:
        SelectionError: something is asked for that is not there.
    """
    selected = view.selection.checked(comparisons)
    rows = sorted_comparisons(shown_of(comparisons, view.selection), view.order)
    if not rows:
        return "Nothing to compare.\n"
    numbers = {run.id: str(number) for number, run in enumerate(runs, start=1)}
    titles = ("Workload", "Metric", "Arm", "Run", "Run 1", "This run", "Ratio", "95 % interval", "Verdict", "n")
    kinds = ("text", "text", "text", "text", "number", "number", "number", "number", "text", "text")
    cells = [
        (
            *_name(row),
            numbers[row.run],
            _figure(row.baseline_median, row.unit),
            _figure(row.median, row.unit),
            ratio(row.ratio),
            _interval(row),
            _verdict(row),
            f"{row.n}, {row.baseline_n}",
        )
        for row in rows
    ]
    named = "\n".join(f"- run {number}: {escaped(run)}" for run, number in numbers.items())
    differences = [
        f"> **Not alike:** run {numbers[run.id]}: {escaped('; '.join(differing))}."
        for run in runs[1:]
        if (differing := unlike(run, runs[0]))
    ]
    explained = {warning for run in runs[1:] for warning in unlike(run, runs[0])}
    notes = _notes(rows, explained)
    hidden = escaped(left_out(selected, rows))
    return _document(
        [_emulated(rows), named, *differences, table(titles, kinds, cells), *notes, hidden, escaped(BETWEEN_RUNS)]
    )


def summary_markdown(summaries: Sequence[Summary], view: View = AS_IT_IS) -> str:
    """A table of what a run measured; the rows that a terminal has as well, and checks and limits as figures.

    Args:
        summaries: all of the run.
        view: what to show, and how.

    Raises:
        SelectionError: something is asked for that is not there.
    """
    selected = view.selection.checked(summaries)
    rows = sorted_summaries(shown_of(summaries, view.selection), view.order)
    if not rows:
        return "Nothing was measured.\n"
    titles = ("Workload", "Metric", "Arm", "Median", "Minimum", "25 %", "75 %", "Maximum", "n")
    kinds = ("text", "text", "text", *("number",) * 6)
    cells = [
        (
            *_name(row),
            *(
                _figure(value, row.unit)
                for value in (row.median, row.minimum, row.quartile_low, row.quartile_high, row.maximum)
            ),
            str(row.n),
        )
        for row in rows
    ]
    return _document([_emulated(rows), table(titles, kinds, cells), escaped(left_out(selected, rows))])


def _document(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _name(row: Comparison | Summary) -> tuple[str, str, str]:
    unit = "" if is_scaled(row.unit) or row.unit in {"", row.metric} else f" ({row.unit})"
    emulated = " tcg" if row.accel == "tcg" else ""
    return case_name(row.workload, row.params), f"{row.metric}{unit}", f"{row.arm}{emulated}"


def _figure(value: float | None, unit: str) -> str:
    return quantity(value, unit if is_scaled(unit) else "")


def _interval(row: Comparison) -> str:
    return interval(row.ci_low, row.ci_high) or MISSING


def _verdict(row: Comparison) -> str:
    return f"{row.verdict} *" if row.warnings else row.verdict


def _emulated(rows: Sequence[Comparison] | Sequence[Summary]) -> str:
    arms = list(dict.fromkeys(row.arm for row in rows if row.accel == "tcg"))
    return _NO_RESULT.format(arms=escaped(", ".join(arms))) if arms else ""


def _notes(rows: Sequence[Comparison], explained: Iterable[str] = ()) -> list[str]:
    warnings = dict.fromkeys(warning for row in rows for warning in row.warnings)
    left = [warning for warning in warnings if warning not in set(explained)]
    return ["\n".join(f"- \\* {escaped(warning)}" for warning in left)] if left else []


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, Mapping) for one in value))


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return "" if value is None else value
