"""Changes, and what became of a run, in words: the same in the terminal, in charts, in Markdown, in XML, on a site."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from results.charts.quantities import MISSING, percentage, quantity
from results.history.changes import Change
from results.history.regress import Finding, Regress

Turn = Literal["better", "worse", "neutral"]


def turn(worse: bool | None) -> Turn:
    """What a change is for: the better, the worse, or neither, by its :attr:`results.history.changes.Change.worse`."""
    return "neutral" if worse is None else "worse" if worse else "better"


def size(change: Change) -> str:
    """By how much a level changed: ``+7.8 %``."""
    return percentage(100 * (change.shift.ratio - 1))


def change_levels(change: Change) -> str:
    """From which level to which: ``100 ms → 108 ms``."""
    return f"{quantity(change.before, change.series.unit)} → {quantity(change.after, change.series.unit)}"


def beginning(change: Change) -> str:
    """What stands before the run with which it began: ``since``, and of a drift ``drifting since``."""
    return "drifting since" if change.shift.kind == "drift" else "since"


def summary_line(found: Regress) -> str:
    """The whole outcome in one line."""
    counted = Counter(each.verdict for each in found.findings)
    held = f"against {found.baseline}" if found.baseline else f"against {_count(found.runs - 1, 'earlier run')}"
    parts = [
        f"{counted['worse']} worse",
        f"{counted['better']} better",
        f"{counted['same']} same",
        f"{counted['inconclusive']} inconclusive",
    ]
    suspicious = f", {len(found.suspicious)} of them suspicious" if found.suspicious else ""
    return f"{_count(len(found.findings), 'metric')} {held}: {', '.join(parts)}{suspicious}"


def difference(finding: Finding) -> str:
    """By how much, with its interval: ``+7.8 % [+7.3 … +8.3]``."""
    if finding.ratio is None:
        return MISSING
    text = percentage(100 * (finding.ratio - 1))
    if finding.interval is None or math.isinf(finding.interval[1]):
        return text
    low, high = (percentage(100 * (end - 1)).removesuffix(" %") for end in finding.interval)
    return f"{text} [{low} … {high}]"


def levels(finding: Finding) -> str:
    """From which level to which, or the newest value alone."""
    if finding.change is None or finding.known is not None:
        return quantity(finding.value, finding.unit)
    return change_levels(finding.change)


def since(finding: Finding) -> str:
    """Since which run, and how; empty where no level has changed."""
    if finding.change is None:
        return ""
    change = finding.change
    by = f"{size(change)} " if finding.known is not None else ""
    known = f", known: {finding.known}" if finding.known is not None else ""
    nights = _count(change.shift.after, "run")
    return f"{by}{beginning(change)} {change.run.id} ({change.run.started[:10]}, {nights}){known}"


def explained(finding: Finding) -> str:
    """A finding in a sentence."""
    parts = [f"{finding.verdict}: {difference(finding)}", levels(finding), since(finding), *finding.notes]
    return "; ".join(part for part in parts if part)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
