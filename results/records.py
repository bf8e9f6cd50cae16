"""The records of a run: frozen, free of state, storage and presentation."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Better = Literal["lower", "higher", "neutral"]
"""Which direction of a metric is the good one; ``neutral`` where neither is."""

Accel = Literal["none", "kvm", "tcg"]
"""What executes an instance's instructions: the host itself, KVM, or QEMU's software emulation."""

EMULATED: Accel = "tcg"
"""Its figures say nothing about how fast a virtual machine is, and are held against nothing else."""

RunStatus = Literal["running", "complete", "partial", "failed"]

TrialStatus = Literal["ok", "failed"]

ParamValue = str | int | float | bool


_BASELINE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")

CONFIRMING = "-confirm"
"""What the suite of a run is called more that only confirms another, so that no history takes it for a night of its
own."""

INSTANCE_METRICS = ("startup_time", "first_output_time", "shutdown_time", "memory_footprint", "image_size")
"""What the harness takes of every trial and that the workload hardly touches."""

OTHER_STARTS = ("cold_start_time", "parallel_start_time", "parallel_stop_time")
"""What takes the place of these where a trial's start is another one: from a cold page cache, or several at once."""

DENSITY_METRICS = (
    "marginal_memory",
    "start_time_growth",
    "instances_reached",
    "memory_knee",
    "start_time_knee",
    "unsettled_steps",
)
"""What comes of a trial that adds instance to instance."""

MEMORY_MOMENTS = {"idle": "memory", "loaded": "memory_loaded", "after": "memory_after"}
"""When an instance's memory is read: just after READY, under load, and some time after the load has ended; and what its
metrics begin with. The whole is ``memory_footprint``, ``memory_loaded`` and ``memory_after``."""

HARNESS_METRICS = (
    *INSTANCE_METRICS,
    *OTHER_STARTS,
    *DENSITY_METRICS,
    "memory_loaded",
    "memory_after",
    "memory_peak",
    "cpu_time",
    "cpus_used",
    "pids_peak",
)
"""What the harness takes of every trial, whatever the workload."""

FOOTPRINT_PARTS = ("anon", "file", "kernel")
"""The parts of ``memory.<part>`` that make up ``memory_footprint`` without overlap (kernel documentation, cgroup-v2,
``memory.stat``)."""

WATERFALL_STEPS = (
    "application",
    "guest_kernel",
    "guest_page_cache",
    "guest_free",
    "vmm",
    "host_kernel",
    "host_page_cache",
    "helpers",
    "residual",
)
"""The steps of ``memory_waterfall.<step>``, and of those of the other moments (``MEMORY_MOMENTS``), which add up to
what the host holds for an instance."""

_PART_PREFIXES = (
    "startup.",
    "shutdown.",
    "parallel_start.",
    "cold_start.",
    "page_cache.",
    *(f"{prefix}{rest}" for prefix in MEMORY_MOMENTS.values() for rest in (".", "_waterfall.")),
    "memory_peak.",
    "image_size.",
    "cpu.",
    "io.",
    "pressure.",
    "limit.",
    "marginal_memory.",
    "density.",
    "beside.",
)


def is_part(metric: str) -> bool:
    """Whether ``metric`` is a detail beside the whole figures.

    That is a phase of startup or shutdown, a part of the memory, of the image or of the CPU time, what went to the
    disks, how long was waited for a resource, what a limit gave, how a density was found, or how
    busy a neighbour was.
    """
    return metric.startswith(_PART_PREFIXES)


def is_step(metric: str) -> bool:
    """Whether ``metric`` has a value for each step of a trial, in ``iteration``, and none for the whole trial."""
    return metric.startswith("density.")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a suite.

    Attributes:
        id: from :func:`new_run_id`.
        suite: the suite's name.
        suite_hash: hash of the suite as run.
        baseline: the arm that the others are divided by.
        seed: what the order of the trials was drawn from.
        image: id of the image that every arm ran.
        host_fingerprint: hash of the host's stable facts; results of different fingerprints are never joined unasked.
        started: ISO 8601, UTC.
        ended: ISO 8601, UTC; None while it runs, and for ever if it died.
        status: ``partial`` is a run that stopped early and keeps what it measured.
        stop_reason: why no further block was started, in words.
        version: of this program.
        threshold: the practical threshold of verdicts: a ratio between 1 and 1 + it, or the inverse, makes no
            difference that matters.
        ci_width: how well the ratios were to be known (:class:`bench.sampling.Sampling`); None where the number of
            blocks was fixed.
        arms: names of the arms, in the order of the suite.

    Raises:
        ValueError: one of the times is none.
    """

    id: str
    suite: str
    suite_hash: str
    baseline: str
    seed: int
    image: str
    host_fingerprint: str
    started: str
    ended: str | None
    status: RunStatus
    stop_reason: str | None
    version: str
    threshold: float
    ci_width: float | None
    arms: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_moment(self.started)
        if self.ended is not None:
            _require_moment(self.ended)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One fresh instance that ran one workload: the unit of replication.

    Attributes:
        run: id of the run.
        trial: number in the run, in order of execution; unique there.
        block: the round over all arms that it belongs to.
        position: its place in the block.
        workload: name of the workload.
        params: its parameters, all of them.
        arm: name of the arm.
        runtime: name of the arm's runtime.
        accel: ``none`` where no virtual machine is involved.
        status: a failed trial has no samples that count.
        error: why it failed, for a reader; None if it did not.
        started: ISO 8601, UTC.
        log: path of its log, relative to the run's directory; None if it left none.
        facts: what the instance reported of itself (``kernel``, ``clocksource``…).

    Raises:
        ValueError: ``started`` is no time.
    """

    run: str
    trial: int
    block: int
    position: int
    workload: str
    params: Mapping[str, ParamValue]
    arm: str
    runtime: str
    accel: Accel
    status: TrialStatus
    error: str | None
    started: str
    log: str | None
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_moment(self.started)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric.

    Attributes:
        metric: name of the metric.
        value: in ``unit``; finite.
        unit: ``s``, ``bytes``, or what the workload declares.
        better: which direction is the good one.
        iteration: which repetition inside the instance, from 0.
        primary: whether the workload names it as what it measures foremost.

    Raises:
        ValueError: the value is not a finite number.
    """

    metric: str
    value: float
    unit: str
    better: Better
    iteration: int = 0
    primary: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"metric {self.metric}: {self.value} is not a finite number")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A run with a name, for later ones to be held against.

    Attributes:
        name: unique in the store; new ones are of a form (:func:`is_baseline_name`).
        run: id of the run.
        created: ISO 8601, UTC.
        reason: why this one, for a reader; may be empty.
    """

    name: str
    run: str
    created: str
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A change of a metric's level that is known, and no longer an alarm.

    Attributes:
        suite: name of the suite.
        suite_hash: of the suite as run.
        image: id of the image.
        host_fingerprint: of the host.
        workload: name of the workload.
        params: its parameters as one string, ``k=v,k=v``.
        arm: the arm that changed.
        accel: what executed its instructions.
        metric: name of the metric.
        run: id of the first run of the new level; it may have been removed from the store since.
        kind: ``step`` or ``drift``.
        ratio: the new level divided by the one before it.
        reason: why the change is all right, for a reader.
        created: ISO 8601, UTC.
    """

    suite: str
    suite_hash: str
    image: str
    host_fingerprint: str
    workload: str
    params: str
    arm: str
    accel: Accel
    metric: str
    run: str
    kind: Literal["step", "drift"]
    ratio: float
    reason: str
    created: str


ACKNOWLEDGEMENT_KEY = ("suite", "workload", "params", "arm", "accel", "metric", "run", "kind")
"""What an acknowledgement is of; another with the same takes its place."""


def new_run_id(now: datetime | None = None) -> str:
    """A new id such as ``20261124-114502-3f9a``: UTC second, then chance; ids sort as the runs started."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def is_baseline_name(text: str) -> bool:
    """Whether ``text`` can be given to a run as a name: it has the form that the names of suites and arms have."""
    return _BASELINE_NAME.fullmatch(text) is not None


def _require_moment(text: str) -> None:
    """Find out whether ``text`` is a date and a time of ISO 8601, in its extended form and with a zone.

    Raises:
        ValueError: it is none, or not one that can be told in UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time of ISO 8601") from error
    # Python also reads other forms, which neither sort as the moments do nor begin with the date.
    if moment.tzinfo is None or moment.isoformat()[:16] != text[:16]:
        raise ValueError(f"{text!r} is no time such as 2026-11-24T11:45:02Z")


def format_params(params: Mapping[str, ParamValue]) -> str:
    """Parameters as one string ``k=v,k=v``, sorted by key; empty for none.

    Booleans read ``true`` and ``false``; a string that holds a comma, an equals sign or a quote, or nothing, is quoted
    as in JSON, so that where one parameter ends and the next begins is never in doubt.
    """
    return ",".join(f"{key}={_format_param(params[key])}" for key in sorted(params))


# One `key=value` of `format_params`: the value is bare, or quoted as in JSON.
_PARAM = re.compile(r'[^,=]+=(?:"(?:[^"\\]|\\.)*"|[^,"]*)(?:,|$)')


def split_params(params: str) -> list[str]:
    """The ``k=v`` parts of a string of parameters; the whole as one part where it is not of that form."""
    parts = [match.group() for match in _PARAM.finditer(params)]
    if "".join(parts) != params:
        return [params]
    return [part.rstrip(",") for part in parts]


BESIDE = "beside"
"""The parameter of a case that has a neighbour: another instance that ran something meanwhile."""


def neighbour_of(params: str) -> tuple[str, str | None]:
    """The parameters without the neighbour, and the neighbour; None for a case that was alone."""
    parts = split_params(params)
    beside = next((part for part in parts if part.startswith(f"{BESIDE}=")), None)
    if beside is None:
        return params, None
    value = beside.removeprefix(f"{BESIDE}=")
    alone = ",".join(part for part in parts if part is not beside)
    return alone, str(json.loads(value)) if value.startswith('"') else value


def _format_param(value: ParamValue) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if not value or any(character in value for character in ',="'):
        return json.dumps(value, ensure_ascii=False)
    return value
