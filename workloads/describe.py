"""A workload as its file would say it, and its parts in words, for people and for programs that read it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from workloads.commands import PLACEHOLDER, CommandLine
from workloads.fields import Parameter, Scalar, format_scalar
from workloads.model import Metric, Workload
from workloads.units import format_duration, format_size

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def workload_data(workload: Workload) -> dict[str, Any]:
    """The workload as plain data in the form of its file, without what has the default value."""
    data = workload.model_dump(mode="json", exclude_defaults=True)
    if "timeout" in data:
        data["timeout"] = format_duration(workload.timeout)
    if workload.server is not None and "timeout" in data["server"]:
        data["server"]["timeout"] = format_duration(workload.server.timeout)
    if isinstance(workload.scratch, int):
        data["scratch"] = format_size(workload.scratch)
    if workload.files:
        data["files"] = [file.name for file in workload.files]
    for name, parameter in workload.parameters.items():
        bounds = {"min": parameter.min, "max": parameter.max}
        data["parameters"][name] |= {
            key: _bound(bound, parameter) for key, bound in bounds.items() if bound is not None
        }
    return data


def allowed_values(parameter: Parameter) -> str:
    """What a parameter can be, in a few words: ``read, write``, ``1 to 64``, ``at least 4k``, ``text``."""
    if parameter.choices:
        return ", ".join(map(format_scalar, parameter.choices))
    least, most = (None if each is None else _bound(each, parameter) for each in (parameter.min, parameter.max))
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None or most is not None:
        return f"at most {most}" if least is None else f"at least {least}"
    return "a size" if parameter.type == "size" else _KINDS[type(parameter.default)]


def command_text(command: CommandLine, params: Mapping[str, Scalar]) -> str:
    """A command as one would type it: with the values of parameters put in, other placeholders as they are.

    The text of a shell is given as it is: the shell has the parameters as variables.
    """
    if command.shell is not None:
        return command.shell.rstrip("\n")
    values = {name: format_scalar(value) for name, value in params.items()}
    filled = (PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text) for text in command.arguments)
    return shlex.join(filled)


def commands_text(workload: Workload, params: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    """Every command in the order in which it is run: what it is and where it runs, and :func:`command_text`."""
    where = workload.client
    named: list[tuple[str, CommandLine]] = [("prepare, instance", command) for command in workload.prepare]
    if workload.server is not None:
        named.append(("server, instance", workload.server.command))
    named += [(f"load, {where}", command) for command in workload.load]
    named += [(f"warmup, {where}", command) for command in workload.warmup]
    if workload.run is not None:
        named.append((f"run, {where}", workload.run))
    return [(what, command_text(command, params)) for what, command in named]


def where_found(metric: Metric) -> str:
    """Where in the output a figure is found: a pattern, a path, a column, or of what it is the price."""
    if metric.host_cpu_per is not None:
        place = f"host CPU time / {metric.host_cpu_per}"
    elif metric.column is not None:
        row = " and ".join(f"{heading} is {text}" for heading, text in (metric.row or {}).items())
        place = f"column {metric.column}{f' where {row}' if row else ''}"
    else:
        place = metric.pattern or metric.path or ""
    place = f"{metric.select} of {place}" if metric.select else place
    return place if metric.factor == 1 else f"{place} × {Decimal(repr(metric.factor)):f}"


def _bound(bound: float, parameter: Parameter) -> int | float | str:
    whole = int(bound) if bound.is_integer() else bound
    return format_size(int(bound)) if parameter.type == "size" else whole
