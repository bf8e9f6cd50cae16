"""What became of a run as Markdown, to be a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from results.charts.quantities import quantity
from results.history.changes import Change, WithChanges
from results.history.regress import Finding, Regress
from results.history.series import SeriesKey
from results.history.wording import difference, levels, since, size, summary_line
from results.markdown import escaped, table

_SIGNS = {"worse": "🔴", "better": "🟢", "same": "⚪", "inconclusive": "🟡"}


def regress_markdown(found: Regress) -> str:
    """The outcome in a line, what is worse, what is suspicious and what is better as tables; the rest folded."""
    title = "Regressions" if found.alarms else "No regression"
    lines = [f"### {_SIGNS['worse' if found.alarms else 'same']} {title} in {escaped(found.run.suite)}", ""]
    lines += [f"Run `{found.run.id}`: {escaped(summary_line(found))}.", ""]
    better = [each for each in found.findings if each.verdict == "better"]
    lines += _table("Worse", found.alarms) + _table("Suspicious", found.suspicious) + _table("Better", better)
    lines += _table("Known", found.known)
    shown = {id(each) for each in (*found.alarms, *found.suspicious, *better, *found.known)}
    rest = [each for each in found.findings if id(each) not in shown]
    if rest:
        count = f"{len(rest)} other metric{'' if len(rest) == 1 else 's'}"
        lines += ["<details>", f"<summary>{count}</summary>", "", *_table("", rest), "</details>", ""]
    return "\n".join(lines)


def history_markdown(found: Sequence[WithChanges]) -> str:
    """A row a series: its newest value, and its last change of level."""
    rows = []
    for series, changes in found:
        key, unit = series.key, series.unit
        last = changes[-1] if changes else None
        told = "" if last is None else _told(last)
        span = f"{quantity(float(series.values.min()), unit)} to {quantity(float(series.values.max()), unit)}"
        newest = quantity(float(series.values[-1]), unit)
        rows.append((_arm(key), key.case, key.metric, newest, span, str(series.values.size), told))
    titles = ("Arm", "Workload", "Metric", "Newest", "Range", "Runs", "Last change")
    return table(titles, ("text", "text", "text", "number", "number", "number", "text"), rows) + "\n"


def _told(change: Change) -> str:
    word = {True: "worse", False: "better", None: "changed"}[change.worse]
    known = f"; known: {change.known.reason}" if change.known is not None else ""
    return f"{word} {size(change)} since {change.run.id} ({change.id}){known}"


def _table(title: str, findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    rows = []
    for each in findings:
        change = f"{each.change.id}, {since(each)}" if each.change else ""
        verdict = f"{_SIGNS[each.verdict]} {each.verdict}"
        named = (verdict, _arm(each.key), each.key.case, each.key.metric)
        rows.append((*named, difference(each), levels(each), change, "; ".join(each.notes)))
    titles = ("", "Arm", "Workload", "Metric", "Change", "Level", "Since", "Notes")
    return [*([f"**{title}**", ""] if title else []), table(titles, ("text",) * len(titles), rows), ""]


def _arm(key: SeriesKey) -> str:
    return f"{key.arm} (emulated)" if key.accel == "tcg" else key.arm
