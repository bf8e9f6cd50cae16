"""A suite as its file has it; :mod:`bench.suite` makes of it what is run."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, Strict

from workloads.fields import Duration, Name, Part, Scalar, check_scalar
from workloads.units import parse_size

MAX_CPUS = 8192
"""The most CPUs that Linux supports on any architecture (NR_CPUS on x86)."""

MIN_MEMORY = 4 * 2**20
MAX_MEMORY = 64 * 2**40

_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)


def _cpus(value: object) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, str):
        ranges = [_RANGE.fullmatch(part.strip()) for part in value.split(",")]
        value = [cpu for found in ranges if found for cpu in range(int(found[1]), int(found[2] or found[1]) + 1)]
        if not all(ranges):
            value = None
    if not isinstance(value, list) or not value or not all(type(cpu) is int and 0 <= cpu < MAX_CPUS for cpu in value):
        raise ValueError("expected CPU numbers, as a list or as in 0-3,6")
    return tuple(sorted(set(value)))


def _memory(value: object) -> int:
    size = parse_size(value)
    if not MIN_MEMORY <= size <= MAX_MEMORY:
        raise ValueError("expected between 4M and 64T of memory")
    return size


def _values(value: object) -> tuple[Scalar, ...]:
    """The values of one parameter: one, or a list of them."""
    if not isinstance(value, list):
        return (check_scalar(value),)
    if not value:
        raise ValueError("expected a value, or a list of at least one")
    return tuple(check_scalar(each) for each in value)


def _use(value: object) -> object:
    return {"workload": value} if isinstance(value, str) else value


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("expected more than no time")
    return seconds


Cpus = Annotated[float, Strict(), Field(gt=0, le=MAX_CPUS)]
CpuSet = Annotated[tuple[int, ...], PlainValidator(_cpus)]
Memory = Annotated[int, PlainValidator(_memory)]


class LimitsFile(Part):
    """What every instance may use."""

    cpus: Cpus
    cpuset: CpuSet = ()
    memory: Memory


class LimitsOverride(Part):
    """What the instances of one arm may use, where it differs."""

    cpus: Cpus | None = None
    cpuset: CpuSet | None = None
    memory: Memory | None = None


class ArmFile(Part):
    """One arm; every other key is an option of its runtime."""

    model_config = ConfigDict(extra="allow")

    runtime: str
    limits: LimitsOverride = LimitsOverride()


class UseFile(Part):
    """One workload and the values of its parameters."""

    workload: str
    params: dict[str, Annotated[tuple[Scalar, ...], PlainValidator(_values)]] = Field(default_factory=dict)


class SamplingFile(Part):
    """How much is measured.

    Attributes:
        blocks: rounds over all cases and arms.
        seed: of the random order; without it, every run takes a new one and records it.
        time_budget: seconds; no block is begun after them.
    """

    blocks: Annotated[int, Strict(), Field(ge=1, le=10_000)] = 10
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = None
    time_budget: Annotated[Duration, AfterValidator(_positive)] | None = None


class SuiteFile(Part):
    """The whole file."""

    name: Name
    description: str = ""
    baseline: str
    limits: LimitsFile
    arms: Annotated[dict[Name, ArmFile], Field(min_length=1)]
    workloads: Annotated[tuple[Annotated[UseFile, BeforeValidator(_use)], ...], Field(min_length=1)]
    sampling: SamplingFile = SamplingFile()
