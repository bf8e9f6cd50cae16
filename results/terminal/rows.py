"""What rows of figures have in common, whether they compare or only tell: which are shown, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from results.charts.quantities import is_scaled, quantity
from results.compare import Comparison
from results.records import EMULATED, TrialRecord
from results.selection import left_out
from results.summary import Summary
from results.trials import WorkloadCase

Row = TypeVar("Row", bound=Comparison | Summary)

VERDICT_STYLES = {"better": "green", "worse": "red", "same": "cyan", "inconclusive": "yellow"}


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


def banner(rows: Sequence[Comparison] | Sequence[Summary]) -> list[RenderableType]:
    """The notice of emulation, if any of the rows is of it."""
    emulated = list(dict.fromkeys(row.arm for row in rows if row.accel == EMULATED))
    return [emulation_banner(emulated)] if emulated else []


def left_out_line(selected: Sequence[Row], shown: Sequence[Row]) -> list[RenderableType]:
    """A line that says what is left out of the rows that were selected; nothing for nothing."""
    said = left_out(selected, shown)
    return [Text(said, "dim")] if said else []


def metric_title(row: Comparison | Summary) -> Text:
    """The metric, with its unit unless each figure has its own or it is the metric's name."""
    unit = "" if is_scaled(row.unit) or row.unit in {"", row.metric} else f" ({row.unit})"
    return Text.assemble((row.metric, "bold" if row.primary else ""), (unit, "dim"))


def figure(value: float | None, unit: str) -> str:
    """A value; with its unit where that goes by the value, otherwise it stands beside the metric."""
    return quantity(value, unit if is_scaled(unit) else "")


def case_title(case: WorkloadCase) -> Text:
    """The title of a case's table."""
    return Text.assemble((case[0], "bold underline"), ("  " + case[1].replace(",", " ") if case[1] else "", "not dim"))


def row_label(case: str, row: Comparison | Summary) -> Text:
    """A row's name in a list of all: what :func:`results.charts.cases.case_labels` calls its case, and the metric."""
    return Text.assemble(case, ("  ", ""), metric_title(row))


def arm_label(arm: str, accel: str, before: str = "  ") -> Text:
    """An arm, marked where it was emulated."""
    return Text.assemble(before, arm, (f" {EMULATED}", "bold red") if accel == EMULATED else "")


def nothing(trials: Sequence[TrialRecord]) -> RenderableType:
    """That a run measured nothing, and why."""
    reason = "no trial succeeded" if trials else "no trial was carried out"
    return Text(f"Nothing was measured: {reason}.\n", "bold")


def failed_trials(trials: Sequence[TrialRecord]) -> list[RenderableType]:
    """A table of the trials that failed, with reason and log; nothing for none."""
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
