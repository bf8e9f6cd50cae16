"""Limits asked for against limits given: which limits a suite can have measured, and by what.

A use of a workload says ``limit: {io.read_bytes: mb_per_second}``: this figure shows how much of that limit an instance
got. Every trial of an arm that has the limit then gets three samples more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.records import Sample
from workloads.document import InvalidValue
from workloads.errors import expected

if TYPE_CHECKING:
    from runtimes.base import Limits
    from workloads.model import Workload

CPUS_USED = "cpus_used"
"""Host CPU time of an instance while the workload's run command ran, divided by how long that was; in CPUs."""

_CPUS = {"CPUs": 1.0}
_BYTES = {"bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_BYTE_RATES = {f"{name}/s": factor for name, factor in _BYTES.items()}
_REQUEST_RATES = {"requests/s": 1.0}
_BIT_RATES = {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}


@dataclass(frozen=True, slots=True)
class _Measurable:
    """One limit that can be measured.

    Attributes:
        units: the units that a figure may be in, and how much each is of the first, in which the limit is told.
        asked: the limit in the first unit, or None where there is none.
    """

    units: Mapping[str, float]
    asked: Callable[[Limits], float | None]

    @property
    def unit(self) -> str:
        return next(iter(self.units))


_LIMITS: Mapping[str, _Measurable] = {
    "cpus": _Measurable(_CPUS, lambda limits: limits.cpus),
    "memory": _Measurable(_BYTES, lambda limits: limits.memory),
    "io.read_bytes": _Measurable(_BYTE_RATES, lambda limits: limits.io.read_bytes),
    "io.write_bytes": _Measurable(_BYTE_RATES, lambda limits: limits.io.write_bytes),
    "io.read_ops": _Measurable(_REQUEST_RATES, lambda limits: limits.io.read_ops),
    "io.write_ops": _Measurable(_REQUEST_RATES, lambda limits: limits.io.write_ops),
    "net.ingress": _Measurable(_BIT_RATES, lambda limits: limits.net.ingress),
    "net.egress": _Measurable(_BIT_RATES, lambda limits: limits.net.egress),
}

MEASURABLE = tuple(_LIMITS)
"""The names of the limits that can be measured."""


def check_limit(name: str, metric: str, workload: Workload, arms: Iterable[Limits]) -> None:
    """Check that ``metric`` of ``workload`` can show how much of the limit ``name`` one of the arms was given.

    Raises:
        InvalidValue: there is no such limit or metric, the metric is in another unit, or no arm has the limit.
    """
    if name not in _LIMITS:
        raise InvalidValue(f"unknown limit; {expected(name, MEASURABLE)}", at_key=True)
    figures = {each: figure.unit for each, figure in workload.metrics.items()}
    if workload.run is not None:
        figures[CPUS_USED] = "CPUs"
    if metric not in figures:
        raise InvalidValue(f"no metric '{metric}' of {workload.name}; {expected(metric, figures)}")
    units = _LIMITS[name].units
    if figures[metric] not in units:
        raise InvalidValue(
            f"'{metric}' is in {figures[metric]}, and a limit on {name} shows in a metric in one of {', '.join(units)}"
        )
    if all(_LIMITS[name].asked(limits) is None for limits in arms):
        raise InvalidValue(f"no arm of the suite has a limit on {name}, so there is nothing to measure", at_key=True)


def limit_samples(limit: Mapping[str, str], limits: Limits, measured: Iterable[Sample]) -> Iterator[Sample]:
    """Asked, given, and the error in percent of each limit in ``limit`` that ``limits`` have.

    Args:
        limit: as checked by :func:`check_limit`.
        limits: of the trial's arm.
        measured: the trial's samples; a metric that is optional and missing gives nothing.
    """
    figures = {sample.metric: sample for sample in measured}
    for name, metric in limit.items():
        known = _LIMITS[name]
        asked, figure = known.asked(limits), figures.get(metric)
        if asked is None or figure is None:
            continue
        given = figure.value * known.units[figure.unit]
        yield Sample(f"limit.{name}.asked", asked, known.unit, "neutral")
        yield Sample(f"limit.{name}.given", given, known.unit, "neutral")
        yield Sample(f"limit.{name}.error", (given / asked - 1) * 100, "%", "neutral")
