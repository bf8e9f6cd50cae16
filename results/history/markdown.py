"""What became of a run as Markdown, to be a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from results.history.regress import Finding, Regress
from results.history.wording import difference, levels, since, summary_line

_SIGNS = {"worse": "🔴", "better": "🟢", "same": "⚪", "inconclusive": "🟡"}


def regress_markdown(found: Regress) -> str:
    """The outcome in a line, what is worse, what is suspicious and what is better as tables; the rest folded."""
    title = "Regressions" if found.alarms else "No regression"
    lines = [f"### {_SIGNS['worse' if found.alarms else 'same']} {title} in {_escaped(found.run.suite)}", ""]
    lines += [f"Run `{found.run.id}`: {summary_line(found)}.", ""]
    better = [each for each in found.findings if each.verdict == "better"]
    lines += _table("Worse", found.alarms) + _table("Suspicious", found.suspicious) + _table("Better", better)
    shown = {id(each) for each in (*found.alarms, *found.suspicious, *better)}
    rest = [each for each in found.findings if id(each) not in shown]
    if rest:
        count = f"{len(rest)} other metric{'' if len(rest) == 1 else 's'}"
        lines += ["<details>", f"<summary>{count}</summary>", "", *_table("", rest), "</details>", ""]
    return "\n".join(lines)


def _table(title: str, findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = [f"**{title}**", ""] if title else []
    lines += ["| | arm | workload | metric | change | level | since | notes |", "|---|---|---|---|---|---|---|---|"]
    for each in findings:
        arm = f"{each.key.arm} (emulated)" if each.key.accel == "tcg" else each.key.arm
        change = f"{each.change.id}, {since(each)}" if each.change else ""
        cells = (arm, each.key.case, each.key.metric, difference(each), levels(each), change, "; ".join(each.notes))
        lines.append(f"| {_SIGNS[each.verdict]} {each.verdict} | {' | '.join(map(_escaped, cells))} |")
    return [*lines, ""]


def _escaped(text: str) -> str:
    """Text in a cell of a table: without markup, on one line."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(re.sub(r"([\\|*_`\[\]])", r"\\\1", entities).split())
