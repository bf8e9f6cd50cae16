"""Finds a workload's figures in what it wrote: by regular expression, JSON path or CSV column.

A figure that cannot be found, or is no finite number, is an error: a trial without figures has failed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from workloads.model import Metric, Workload

_SHOWN_LINES = 3
_SHOWN_CHARACTERS = 160


class ParseError(Exception):
    """The output lacks a figure. The message names it, says why, and shows how the output began and ended."""


@dataclass(frozen=True, slots=True)
class ParsedMetric:
    """One figure.

    Attributes:
        name: of the metric.
        value: finite, in ``unit``.
        unit: the metric's unit.
        better: whether less or more of it is better.
        primary: the figure that the workload is run for.
    """

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher", "neutral"]
    primary: bool


def parse(workload: Workload, stdout: str, host_cpu: float) -> list[ParsedMetric]:
    """The figures in ``stdout``, in the order of the workload's file.

    Args:
        workload: what ran.
        stdout: all that its ``run`` wrote there.
        host_cpu: seconds of host CPU time that the instance cost meanwhile.

    Raises:
        ParseError: the output is not what the parser reads, or a metric that is not optional is not in it, or is in it
            more than once, or is no finite number.
    """
    if workload.parser is None:
        return []
    try:
        find = _OPEN[workload.parser](stdout)
    except ValueError as error:
        raise ParseError(f"{workload.name}: {error}; {_excerpt(stdout)}") from None
    values: dict[str, float] = {}
    for name, metric in workload.metrics.items():
        if metric.host_cpu_per is not None:
            continue
        try:
            matches = find(metric)
            if metric.optional and not matches:
                continue
            values[name] = _above_nothing(_number(_selected(matches, metric)) * metric.factor, metric)
        except ValueError as error:
            raise ParseError(f"{workload.name}: no metric '{name}': {error}; {_excerpt(stdout)}") from None
    for name, metric in workload.metrics.items():
        if metric.host_cpu_per is not None:
            if values[metric.host_cpu_per] <= 0:
                raise ParseError(f"{workload.name}: no metric '{name}': '{metric.host_cpu_per}' is not above 0")
            values[name] = host_cpu / values[metric.host_cpu_per] * metric.factor
    return [
        ParsedMetric(name, values[name], metric.unit, metric.better, metric.primary)
        for name, metric in workload.metrics.items()
        if name in values
    ]


@lru_cache(maxsize=64)
def compile_path(path: str) -> Any:  # noqa: ANN401 - jsonpath-ng has no types
    """``path`` as jsonpath-ng's object; ValueError if it is no JSON path."""
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.parser import parse as parse_path

    try:
        return parse_path(path)
    except JSONPathError as error:
        raise ValueError(f"'{path}' is no JSON path: {error}") from None


_Find = Callable[["Metric"], list[object]]


def _open_regex(stdout: str) -> _Find:
    def find(metric: Metric) -> list[object]:
        pattern = re.compile(metric.pattern or "", re.MULTILINE)
        group: str | int = "value" if "value" in pattern.groupindex else 1
        return [found[group] for found in pattern.finditer(stdout)]

    return find


def _open_json(stdout: str) -> _Find:
    # fio writes notes before its JSON, so that the document begins with the first line that begins one.
    start = re.search(r"^\s*[{\[]", stdout, re.MULTILINE)
    if start is None:
        raise ValueError("the output holds no JSON")
    try:
        data = json.loads(stdout[start.start() :], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the output is not valid JSON: {error}") from None

    def find(metric: Metric) -> list[object]:
        return [found.value for found in compile_path(metric.path or "").find(data)]

    return find


def _open_csv(stdout: str) -> _Find:
    try:
        table = list(csv.reader(io.StringIO(stdout), strict=True))
    except csv.Error as error:
        raise ValueError(f"the output is not valid CSV: {error}") from None
    lines = [line for line in table if line]
    if not lines:
        raise ValueError("the output holds no CSV")
    heading, *rows = lines
    if len(set(heading)) != len(heading):
        raise ValueError(f"the CSV has a heading twice: {', '.join(heading)}")
    for row in rows:
        if len(row) != len(heading):
            raise ValueError(f"the CSV has {len(heading)} headings and a row of {len(row)}: {','.join(row)[:80]}")
    records = [dict(zip(heading, row, strict=True)) for row in rows]

    def find(metric: Metric) -> list[object]:
        wanted: Mapping[str, str] = metric.row or {}
        missing = [name for name in (*wanted, metric.column) if name not in heading]
        if missing and records:
            raise ValueError(f"no column '{missing[0]}' among {', '.join(heading)}")
        chosen = [record for record in records if all(record[name] == text for name, text in wanted.items())]
        return [record[str(metric.column)] for record in chosen]

    return find


_OPEN: Mapping[str, Callable[[str], _Find]] = {"regex": _open_regex, "json": _open_json, "csv": _open_csv}


def _selected(matches: list[object], metric: Metric) -> object:
    where = metric.pattern or metric.path or f"column {metric.column}"
    if not matches:
        raise ValueError(f"nothing matches {where}")
    if metric.select is None and len(matches) > 1:
        raise ValueError(f"{len(matches)} matches of {where}, where one is expected")
    return matches[-1] if metric.select == "last" else matches[0]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.40} is no number")  # noqa: TRY004 - parse() turns ValueErrors into ParseErrors
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r:.40} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value} is no finite number")
    return number


def _above_nothing(value: float, metric: Metric) -> float:
    """``value``, unless it says that nothing of what the workload is run for was done."""
    if metric.primary and metric.better == "higher" and metric.unit != "check" and value <= 0:
        raise ValueError(f"it is {value:g}, so that nothing was done")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _excerpt(stdout: str) -> str:
    lines = [line[:_SHOWN_CHARACTERS] for line in stdout.splitlines() if line.strip()]
    if not lines:
        return "the output is empty"
    if len(lines) <= 2 * _SHOWN_LINES:
        return "the output is:\n" + "\n".join(lines)
    first, last = lines[:_SHOWN_LINES], lines[-_SHOWN_LINES:]
    return "the output begins and ends:\n" + "\n".join([*first, "…", *last])
