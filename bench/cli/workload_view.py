"""A workload as tables, for ``bench workload show`` and ``check``.

Nothing is said by colour alone. What comes from files and programs is wrapped in ``Text``: in plain strings rich would
take square brackets for markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.quantities import is_scaled, number, quantity
from workloads.describe import allowed_values, commands_text, where_found
from workloads.fields import format_scalar
from workloads.units import format_duration, format_size

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

    from bench.check import Checked
    from results.records import Sample
    from workloads.fields import Scalar
    from workloads.model import Workload

_COMMAND_LINE = re.compile(r"\[[a-z, ]+\] \$ ")
"""How a command begins in a trial's log, see :class:`bench.drive.TrialLog`."""

_WHOLE_NAME = 30
"""Characters of a metric's name that stay in one line."""


def workload_renderables(workload: Workload, params: Mapping[str, Scalar], path: Path) -> list[RenderableType]:
    """What ``bench workload show`` prints.

    Args:
        workload: what is shown.
        params: a value for every parameter.
        path: the workload's file.
    """
    head = Text.assemble((workload.name, "bold"), f"\n{workload.description}\n")
    shown: list[RenderableType] = [head, _facts(workload, params, path)]
    if workload.parameters:
        shown.append(_parameters(workload, params))
    if workload.run is not None:
        shown += [_commands(workload, params), _metrics(workload)]
    return shown


def output_text(checked: Checked) -> Text:
    """What ``bench workload check`` prints first: a trial's log, what is the harness's told apart from the rest."""
    text = Text.assemble(("Output\n", "bold"))
    # The first line says which trial of which block this is.
    for line in checked.log.rstrip("\n").split("\n")[1:]:
        style = "bold" if _COMMAND_LINE.match(line) else "dim" if line.startswith("--- ") else ""
        text.append(f"{line}\n", style)
    return text


def checked_renderables(checked: Checked, workload: Workload) -> list[RenderableType]:
    """What ``bench workload check`` prints after that: the metrics found in it, and how the trial ended."""
    values = " ".join(f"{name}={format_scalar(value)}" for name, value in checked.params.items())
    name = Text.assemble((checked.workload, "bold"), f" {values}" if values else "")
    if checked.error is not None:
        failure = Text.assemble(("✗ failed", "bold red"), "  ", name, "\n", (checked.error, "red"))
        return [failure]
    ended = Text.assemble(("✓ ok", "bold green"), "  ", name)
    return [Padding(_figures(checked.figures, workload), (0, 0, 1, 0)), ended]


def _section(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)
    return table


def _add_metric_columns(table: Table, names: Iterable[str], *columns: str) -> None:
    """Columns of metrics: patterns may be long, and are broken before anything else is; then very long names are."""
    longest = max(map(len, names), default=0)
    table.add_column("name", overflow="fold", no_wrap=longest <= _WHOLE_NAME)
    for column in columns:
        justify: JustifyMethod = "right" if column == "value" else "left"
        table.add_column(column, overflow="fold", no_wrap=column != "found by", justify=justify)


def _facts(workload: Workload, params: Mapping[str, Scalar], path: Path) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    scratch = workload.scratch_bytes(params)
    where = {"instance": "in the instance", "peer": "in the peer, outside the instance"}
    limit = format_duration(workload.timeout) + (f" beyond {workload.duration}" if workload.duration else "")
    facts = {
        "tags": ", ".join(workload.tags),
        "source": workload.source,
        "file": str(path),
        "packages": ", ".join(workload.packages),
        "files": ", ".join(file.name for file in workload.files),
        "scratch disk": "" if scratch is None else format_size(scratch),
        "at once": "" if (count := workload.instances_at_once(params)) is None else f"{count} instances",
        "one by one": "" if (crowd := workload.crowd(params)) is None else f"up to {crowd.most} instances",
        "page cache": workload.page_cache if workload.page_cache == "cold" else "",
        "client": where[workload.client] if workload.server is not None else "",
        "time limit": limit if workload.run is not None else "",
    }
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(value))
    return Padding(grid, (0, 0, 1, 0))


def _parameters(workload: Workload, params: Mapping[str, Scalar]) -> RenderableType:
    quick = ["quick"] if workload.quick else []
    table = _section("Parameters", "name", "value", *quick, "possible", "meaning")
    for name, parameter in workload.parameters.items():
        brief = [format_scalar(workload.quick[name]) if name in workload.quick else ""] if quick else []
        chosen = params[name] != parameter.default
        value = Text(format_scalar(params[name]), "bold" if chosen else "")
        if chosen:
            value.append(f" (not {format_scalar(parameter.default)})", "not bold dim")
        table.add_row(Text(name), value, *map(Text, [*brief, allowed_values(parameter), parameter.description]))
    return Padding(table, (0, 0, 1, 0))


def _commands(workload: Workload, params: Mapping[str, Scalar]) -> RenderableType:
    table = _section("Commands", "what, where", "command")
    for what, command in commands_text(workload, params):
        table.add_row(what, Text(command))
    if workload.server is not None:
        ready = workload.server.ready
        until = f"its output matches {ready.log}" if ready.log is not None else f"port {ready.port} is listened on"
        limit = format_duration(workload.server.timeout)
        table.add_row("", Text(f"The server is ready when {until}, within {limit}.", "dim"))
    return Padding(table, (0, 0, 1, 0))


def _metrics(workload: Workload) -> RenderableType:
    table = _section(f"Metrics ({workload.parser})")
    _add_metric_columns(table, workload.metrics, "unit", "better", "", "found by")
    for name, metric in workload.metrics.items():
        kind = "primary" if metric.primary else "optional" if metric.optional else ""
        table.add_row(
            Text(name, "bold" if metric.primary else ""),
            Text(metric.unit),
            metric.better,
            kind,
            Text(where_found(metric)),
        )
    return table


def _figures(figures: Sequence[Sample], workload: Workload) -> RenderableType:
    table = _section("Metrics")
    _add_metric_columns(table, workload.metrics, "value", "unit", "better", "found by")
    for figure in figures:
        declared = workload.metrics.get(figure.metric)
        scaled = is_scaled(figure.unit)
        table.add_row(
            Text(figure.metric, "bold" if figure.primary else ""),
            quantity(figure.value, figure.unit, 4) if scaled else number(figure.value, 4),
            "" if scaled else Text(figure.unit),
            figure.better,
            Text(where_found(declared) if declared else "the harness"),
        )
    for name in (name for name in workload.metrics if name not in {figure.metric for figure in figures}):
        table.add_row(
            Text(name), Text("–", "dim"), Text(workload.metrics[name].unit), "", Text("not in the output (optional)")
        )
    return table
