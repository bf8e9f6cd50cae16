"""Every trial of a run, each with a way to its log."""

from __future__ import annotations

import os
from pathlib import Path

from results.charts.cases import trial_values
from results.charts.quantities import MISSING, quantity
from results.records import format_params
from results.report.data import RunData
from results.report.document import ColumnKind, Link, Section, Table


def trials(data: RunData, place: Path) -> Section:
    """The trials in order of execution.

    Args:
        data: of the run.
        place: directory that the report is written to, from which links lead to the logs; a log that is not there, or
            not in the run's directory, gets none.
    """
    values = trial_values(data.frame, "startup_time")
    starts = {int(trial): float(value) for trial, value in zip(values["trial"], values["value"], strict=True)}
    rows = tuple(
        (
            str(trial.trial),
            str(trial.block),
            f"{trial.workload} {format_params(trial.params).replace(',', ', ')}".rstrip(),
            data.labels.get(trial.arm, trial.arm),
            trial.status,
            quantity(starts[trial.trial], "s") if trial.trial in starts else MISSING,
            _link(data.directory, trial.log, place),
        )
        for trial in data.trials
    )
    columns: dict[str, ColumnKind] = {
        "Trial": "number",
        "Block": "number",
        "Workload": "text",
        "Arm": "text",
        "Status": "text",
        "Startup": "number",
        "Log": "link",
    }
    failed = sum(trial.status == "failed" for trial in data.trials)
    text = (
        f"{len(data.trials)} fresh instances, of which {failed} failed. Logs lie in the run's directory of the store."
    )
    return Section("trials", "Trials", (text,), (), (), (Table("Every trial", columns, rows, folded=True),))


def _link(directory: Path, log: str | None, place: Path) -> Link:
    if log is None:
        return Link("none")
    path, root = (directory / log).resolve(), directory.resolve()
    if not path.is_relative_to(root):
        return Link("outside the run's directory")
    if not path.is_file():
        return Link("not there")
    return Link("log", os.path.relpath(path, place.resolve()).replace(os.sep, "/"))
