"""Every trial of a run, with its log a click away."""

from __future__ import annotations

import os
from pathlib import Path

from results.charts.cases import trial_values
from results.charts.quantities import MISSING, quantity
from results.records import TrialRecord, format_params
from results.report.data import RunData
from results.report.document import ColumnKind, Section, Table

LINKS = (
    "Links lead to the logs in the run's directory of the store. They hold as long as report and store stay where "
    "they are to each other; a copy of this file alone has the ends of failed trials' logs under Failed trials, "
    "and no others."
)
"""What is said where there are links."""


def trials(data: RunData, directory: Path) -> Section:
    """A row a trial, in the order of execution.

    Args:
        data: the run.
        directory: where the report will lie, for links from there to the logs.
    """
    values = trial_values(data.frame, "startup_time")
    startups = {int(trial): float(value) for trial, value in zip(values["trial"], values["value"], strict=True)}
    columns: dict[str, ColumnKind] = {"Trial": "number", "Block": "number"}
    columns |= dict.fromkeys(("Workload", "Parameters", "Arm", "Status"), "text")
    columns |= {"Startup": "number", "Log": "link"}
    rows = tuple(
        (
            str(trial.trial),
            str(trial.block),
            trial.workload,
            format_params(trial.params).replace(",", ", "),
            data.labels.get(trial.arm, trial.arm),
            trial.status,
            quantity(startups[trial.trial], "s") if trial.trial in startups else MISSING,
            log_address(data.directory, trial, directory),
        )
        for trial in data.trials
    )
    linked = any(row[-1] for row in rows)
    table = Table("Trials in the order of execution", columns, rows, folded=True)
    return Section("trials", "Trials", (LINKS,) if linked else (), (), (), (table,) if rows else ())


def log_address(run_directory: Path, trial: TrialRecord, directory: Path) -> str:
    """The path of a trial's log from ``directory``; empty where none lies in the run's directory."""
    if trial.log is None:
        return ""
    path = (run_directory / trial.log).resolve()
    if not path.is_file() or not path.is_relative_to(run_directory.resolve()):
        return ""
    return os.path.relpath(path, directory.resolve())
