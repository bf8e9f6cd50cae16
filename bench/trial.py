"""One trial: a fresh instance, the workload in it, and what both came to."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import fairness, metrics
from bench.asked_limits import limit_samples
from bench.drive import Driven, TrialLog, WorkloadError, drive
from bench.parallel import parallel_samples, start_at_once
from results.records import Sample, TrialRecord
from runtimes.accounting import host_available
from runtimes.agent.client import AgentError
from runtimes.base import HostError, InstanceError, InstanceSpec, MemoryReading
from runtimes.storage import drop_from_cache, make_scratch, read_into_cache

if TYPE_CHECKING:
    from bench.plan import Trial
    from bench.suite_model import Arm
    from runtimes.agent.client import AgentClient
    from runtimes.base import Image, Instance, Limits, Runtime, Usage
    from runtimes.facilities import Facilities


@dataclass(frozen=True, slots=True)
class OpenArm:
    """An arm whose runtime is open for this run."""

    arm: Arm
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What all trials of a run share.

    Attributes:
        run: id of the run.
        directory: the run's directory in the store.
        facilities: what the run holds of the host.
        image: what every arm runs.
        host: what workloads may be told of the host (:func:`bench.host.host_values`).
    """

    run: str
    directory: Path
    facilities: Facilities
    image: Image
    host: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What goes into the store, and what the instance saw of its world if that was asked for."""

    record: TrialRecord
    samples: tuple[Sample, ...]
    observed: dict[str, str] | None


@dataclass(slots=True)
class _Measured:
    """What was measured so far; complete only if the trial went well."""

    samples: list[Sample] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)
    observed: dict[str, str] | None = None


@contextmanager
def _scratch_disk(trial: Trial, context: TrialContext) -> Iterator[Path | None]:
    """A new scratch disk for the trial, if its workload wants one, gone afterwards."""
    size = trial.case.scratch
    if size is None:
        yield None
        return
    path = context.facilities.scratch_directory / f"{trial.number}.ext4"
    make_scratch(path, size)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _load_generator(trial: Trial, context: TrialContext) -> Iterator[AgentClient | None]:
    """An agent in the peer namespace, if the workload's client stands there."""
    if trial.case.workload.client != "peer":
        yield None
        return
    from runtimes.peer import open_peer

    with open_peer(context.facilities, f"{context.facilities.run}-peer", trial.arm.limits) as peer:
        yield peer


def _specification(trial: Trial, context: TrialContext, scratch: Path | None) -> InstanceSpec:
    directory = _directory(trial, context)
    return InstanceSpec(
        name=f"{context.facilities.run}-{trial.number}",
        image=context.image,
        limits=trial.arm.limits,
        scratch=scratch,
        directory=directory,
        start_timeout=trial.arm.timeouts.start,
        stop_timeout=trial.arm.timeouts.stop,
    )


def _directory(trial: Trial, context: TrialContext) -> Path:
    return context.directory / "trials" / str(trial.number)


def _start_several(
    trial: Trial, count: int, opened: OpenArm, context: TrialContext, log: TrialLog, measured: _Measured
) -> None:
    """A trial that starts several instances at once; each keeps its files in a directory of its own."""
    alike = _specification(trial, context, None)
    specs = []
    for number in range(1, count + 1):
        directory = alike.directory / f"instance-{number}"
        directory.mkdir()
        specs.append(replace(alike, name=f"{alike.name}-{number}", directory=directory, at_once=count))
    started = start_at_once(opened.runtime, specs)
    waits = sorted((at - started.requested) / 1e9 for at in started.ready)
    log.note(f"{count} instances, ready after " + ", ".join(f"{wait:.6f}" for wait in waits) + " s")
    measured.facts = started.facts
    measured.samples = list(parallel_samples(started))


def _start_cold(trial: Trial, opened: OpenArm, context: TrialContext, measured: _Measured) -> None:
    """A trial whose instance finds nothing of its image in the page cache.

    Nothing else is measured of it: pages that it reads first are charged to it. Afterwards all are there again.
    """
    files = opened.runtime.start_files(context.image)
    for path in files:
        drop_from_cache(path)
    try:
        with opened.runtime.start(_specification(trial, context, None)) as instance:
            measured.facts = instance.facts
            instance.stop()
            measured.samples = list(metrics.cold_start_samples(instance.timeline))
    finally:
        for path in files:
            read_into_cache(path)


def _drive(
    trial: Trial, host: Mapping[str, str], instance: Instance, peer: AgentClient | None, log: TrialLog
) -> Driven:
    """Run the workload, and name the limits that the instance had hit if it fails."""
    try:
        return drive(trial.case, trial.arm.limits, host, instance, peer, log)
    except (WorkloadError, AgentError) as failure:
        hit = _limits_hit(instance.usage(), trial.arm.limits)
        if not hit:
            raise
        raise WorkloadError("; ".join([*hit, str(failure)])) from failure


def _limits_hit(usage: Usage, limits: Limits) -> list[str]:
    """What the kernel refused or killed because the instance was at a limit, in words."""
    hit: list[str] = []
    if usage.oom_kills:
        processes = "a process" if usage.oom_kills == 1 else f"{usage.oom_kills} processes"
        hit.append(f"out of memory: the kernel killed {processes} of the instance")
    if usage.pids_limit_hits and limits.pids is not None:
        times = "" if usage.pids_limit_hits == 1 else f" {usage.pids_limit_hits} times"
        hit.append(f"the limit of {limits.pids} processes was hit{times}")
    return hit


def _clock_facts(instance: Instance, driven: Driven) -> dict[str, str]:
    """By which clock the workload measured, read after it: a guest may have changed to another since READY."""
    facts = {"clocksource": fairness.clocksource(instance.agent)}
    if driven.clock_ratio is not None:
        facts["clock_ratio"] = f"{driven.clock_ratio:.4f}"
    return facts


def _measure(
    trial: Trial, opened: OpenArm, context: TrialContext, log: TrialLog, measured: _Measured, *, observe: bool
) -> None:
    if trial.case.instances is not None:
        _start_several(trial, trial.case.instances, opened, context, log, measured)
        return
    if trial.case.workload.page_cache == "cold":
        _start_cold(trial, opened, context, measured)
        return
    with ExitStack() as stack:
        scratch = stack.enter_context(_scratch_disk(trial, context))
        peer = stack.enter_context(_load_generator(trial, context))
        available = host_available()
        instance = stack.enter_context(opened.runtime.start(_specification(trial, context, scratch)))
        idle: MemoryReading = instance.memory()
        drop = available - host_available()
        driven = _drive(trial, context.host, instance, peer, log)
        usage = instance.usage()
        measured.facts = {**instance.facts, **_clock_facts(instance, driven)}
        if observe:
            measured.observed = {**instance.facts, **fairness.observe(instance.agent)}
        instance.stop()
        measured.samples = [
            *metrics.startup_samples(instance.timeline, driven.first_output_at),
            *metrics.memory_samples(idle, drop),
            *metrics.usage_samples(usage),
            *metrics.run_samples(driven.cpus_used),
            *metrics.image_samples(opened.runtime.image_parts(context.image)),
            *driven.samples,
        ]
        measured.samples += list(limit_samples(trial.case.limit, trial.arm.limits, measured.samples))
        if not driven.samples:
            measured.samples = [replace(sample, primary=sample.metric in metrics.ALONE) for sample in measured.samples]


def carry_out(trial: Trial, opened: OpenArm, context: TrialContext, *, observe: bool) -> TrialOutcome:
    """Carry out one trial. Its failure is an outcome, with a reason and a log; what is raised concerns the whole run.

    Args:
        trial: what to do.
        opened: the arm's runtime.
        context: what the run's trials share.
        observe: whether to read, after the measurement, what a program in the instance sees of its world.
    """
    directory = _directory(trial, context)
    directory.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    measured = _Measured()
    error: str | None = None
    with TrialLog(directory / "log.txt") as log:
        log.note(f"{trial.case.label} in {trial.arm.name}, block {trial.block}, trial {trial.number}, {started}")
        try:
            _measure(trial, opened, context, log, measured, observe=observe)
        except (WorkloadError, InstanceError, HostError, AgentError, OSError) as failure:
            if not isinstance(failure, WorkloadError):
                log.note("".join(traceback.format_exception(failure)))
            error = " ".join(str(failure).split())
            # At the end, which is what the report shows of a log.
            log.note(f"failed: {error}")
            if isinstance(failure, InstanceError) and failure.details:
                log.note(failure.details)
    record = TrialRecord(
        run=context.run,
        trial=trial.number,
        block=trial.block,
        position=trial.position,
        workload=trial.case.workload.name,
        params=trial.case.params,
        arm=trial.arm.name,
        runtime=trial.arm.runtime,
        accel=metrics.accelerator(measured.facts),
        status="ok" if error is None else "failed",
        error=error,
        started=started,
        log=str((directory / "log.txt").relative_to(context.directory)),
        facts=measured.facts,
    )
    return TrialOutcome(record, tuple(measured.samples) if error is None else (), measured.observed)
