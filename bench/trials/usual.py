"""The usual trial: one fresh instance, the workload in it, and what both came to."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import fairness, metrics
from bench.asked_limits import limit_samples
from bench.drive import Driven, WorkloadError, drive
from runtimes.accounting import host_available
from runtimes.agent.client import AgentError

if TYPE_CHECKING:
    from bench.trials.attempt import Attempt
    from runtimes.agent.client import AgentClient
    from runtimes.base import Instance, Limits, MemoryReading, Usage


def carry_out(attempt: Attempt) -> None:
    """Start one instance, run the workload in it, stop it, and take every figure that there is."""
    trial, measured = attempt.trial, attempt.measured
    opened, image = attempt.opened, attempt.context.image
    with ExitStack() as stack:
        scratch = stack.enter_context(attempt.scratch_disk())
        peer = stack.enter_context(attempt.load_generator())
        available = host_available()
        instance = stack.enter_context(opened.runtime.start(attempt.specification(scratch)))
        idle: MemoryReading = instance.memory()
        drop = available - host_available()
        driven = _drive(attempt, instance, peer)
        measured.window = driven.window
        usage = instance.usage()
        measured.facts = {**instance.facts, **_clock_facts(instance, driven)}
        if attempt.observe:
            measured.observed = {**instance.facts, **fairness.observe(instance.agent)}
        instance.stop()
        measured.samples = [
            *metrics.startup_samples(instance.timeline, driven.first_output_at),
            *metrics.memory_samples(idle, drop),
            *metrics.usage_samples(usage),
            *metrics.run_samples(driven.cpus_used),
            *metrics.image_samples(opened.runtime.image_parts(image)),
            *driven.samples,
        ]
        measured.samples += list(limit_samples(trial.case.limit, trial.arm.limits, measured.samples))
        if not driven.samples:
            measured.samples = [replace(sample, primary=sample.metric in metrics.ALONE) for sample in measured.samples]


def _drive(attempt: Attempt, instance: Instance, peer: AgentClient | None) -> Driven:
    """Run the workload, and name the limits that the instance had hit if it fails."""
    limits = attempt.trial.arm.limits
    try:
        return drive(attempt.trial.case, limits, attempt.context.host, instance, peer, attempt.log)
    except (WorkloadError, AgentError) as failure:
        hit = _limits_hit(instance.usage(), limits)
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
