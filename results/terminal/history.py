"""Series and what became of a run, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import quantity
from results.history.changes import Change, WithChanges
from results.history.regress import Finding, Regress
from results.history.wording import beginning, change_levels, difference, levels, since, size, summary_line
from results.terminal.rows import VERDICT_STYLES

_BARS = "▁▂▃▄▅▆▇█"
_SPARK, _LEAST = 60, 12
"""Blocks of a sparkline at the most, and where the terminal has little room."""


def history_renderables(found: Sequence[WithChanges], width: int = 120) -> list[RenderableType]:
    """A line of blocks for every series, its newest value and level, and a line for every change of it.

    Args:
        found: series with their changes.
        width: of the terminal, in characters.
    """
    shown: list[RenderableType] = []
    for series, changes in found:
        values = series.values
        emulated = series.key.accel == "tcg"
        title = Text.assemble(
            (series.key.arm, "bold"),
            (" tcg" if emulated else "", "bold red"),
            f"  {series.key.case}  ",
            (series.key.metric, "bold" if series.primary else ""),
        )
        first, last = series.runs[0].started[:10], series.runs[-1].started[:10]
        span = quantity(float(values.min()), series.unit), quantity(float(values.max()), series.unit)
        newest = f"  {quantity(float(values[-1]), series.unit)}"
        runs = "1 run" if values.size == 1 else f"{values.size} runs"
        about = f"  {runs}, {first} to {last}, {span[0]} to {span[1]}"
        room = max(_LEAST, min(_SPARK, width - len(newest) - len(about) - 3))
        spark = Text.assemble(
            "  ",
            (sparkline(values.tolist(), room), VERDICT_STYLES["inconclusive" if emulated else "same"]),
            newest,
            (about, "dim"),
        )
        shown.append(Padding(Group(title, spark, *(_change_line(change) for change in changes)), (0, 0, 1, 0)))
    return shown


def sparkline(values: Sequence[float], width: int = _SPARK) -> str:
    """Values as blocks of eight heights, of which the lowest is the least value; medians where there are too many.

    Args:
        values: at least one, finite.
        width: blocks at the most.
    """
    if len(values) > width:
        edges = [round(place * len(values) / width) for place in range(width + 1)]
        values = [sorted(values[a:b])[(b - a) // 2] for a, b in pairwise(edges)]
    low, high = min(values), max(values)
    if high == low:
        return _BARS[3] * len(values)
    return "".join(_BARS[min(int((value - low) / (high - low) * len(_BARS)), len(_BARS) - 1)] for value in values)


def _change_line(change: Change) -> Text:
    word = {True: "worse", False: "better", None: "inconclusive"}[change.worse]
    signs = {True: "▼ worse", False: "▲ better", None: "± changed"}
    state = "" if change.lasts else ", gone again"
    if change.known is not None:
        state = f", acknowledged: {change.known.reason}"
    return Text.assemble(
        "  ",
        (signs[change.worse], VERDICT_STYLES[word] if change.known is None and change.lasts else "dim"),
        f" {size(change)} ({change_levels(change)})",
        f" {beginning(change)} {change.run.started[:10]}, run {change.run.id}",
        (f" [{change.id}]", "dim"),
        state,
    )


def regress_renderables(found: Regress, *, strict: bool = False) -> list[RenderableType]:
    """The outcome in a line, and what is worse, suspicious, better or known; the others are counted only.

    Args:
        found: the outcome.
        strict: whether what is inconclusive counts as a failure, so that it is told one by one as well.
    """
    line = Text(summary_line(found), "bold red" if found.alarms else "")
    better = [each for each in found.findings if each.verdict == "better"]
    told = [*found.alarms, *found.suspicious, *better, *found.known]
    rest = [each for each in found.findings if strict and each.verdict == "inconclusive"]
    notable = list({id(each): each for each in (*told, *rest)}.values())
    shown: list[RenderableType] = [
        Text.assemble(("run ", "dim"), f"{found.run.id}  ", ("suite ", "dim"), found.run.suite)
    ]
    if notable:
        shown.append(Padding(_table(notable), (1, 0)))
    shown.append(line)
    if found.alarms and found.baseline is None:
        shown.append(Text("A change that is meant: bench ack ID --reason TEXT", "dim"))
    return shown if strict else [*shown, *_little_history(found)]


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("arm, workload, metric", overflow="fold", ratio=2)
    table.add_column("change [95 %]", justify="right")
    table.add_column("level", overflow="fold")
    table.add_column("since, notes", overflow="fold", ratio=3)
    for each in findings:
        word = "suspicious" if each.suspicious and each.verdict != "worse" else each.verdict
        known = f" [{each.change.id}]" if each.change else ""
        notes = "; ".join(part for part in (since(each) + known, *each.notes) if part)
        name = Text.assemble((each.key.arm, "bold"), (" tcg" if each.key.accel == "tcg" else "", "bold red"))
        name.append(f"\n{each.key.case}\n")
        name.append(each.key.metric, "bold")
        table.add_row(
            Text(word, VERDICT_STYLES[each.verdict]), name, Text(difference(each)), Text(levels(each)), Text(notes)
        )
    return table


def _little_history(found: Regress) -> list[RenderableType]:
    short = [each for each in found.findings if each.verdict == "inconclusive" and each.ratio is None]
    if not short or found.baseline:
        return []
    notes = sorted({note for each in short for note in each.notes})
    return [Text(f"{len(short)} inconclusive: {'; '.join(notes)}", "yellow")] if notes else []
