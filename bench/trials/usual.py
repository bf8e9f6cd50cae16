"""The usual trial: one fresh instance, the workload in it, and what both came to."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import fairness, metrics
from bench.asked_limits import limit_samples
from bench.drive import Driven, WorkloadError, drive
from bench.peak_sampler import PeakSampler
from runtimes.accounting import host_available
from runtimes.agent.client import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.trials.attempt import Attempt
    from results.records import Sample
    from runtimes.agent.client import AgentClient
    from runtimes.base import Instance, Limits, Usage


def carry_out(attempt: Attempt) -> None:
    """Start one instance, run the workload in it, stop it, and take every figure that there is."""
    trial, measured = attempt.trial, attempt.measured
    opened, image = attempt.opened, attempt.context.image
    with ExitStack() as stack:
        scratch = stack.enter_context(attempt.scratch_disk())
        peer = stack.enter_context(attempt.load_generator())
        available = host_available()
        instance = stack.enter_context(opened.runtime.start(attempt.specification(scratch)))
        memory = _Memory(instance, available)
        memory.read("idle")
        with PeakSampler(instance.unreclaimable) as sampler:
            driven = _drive(attempt, instance, peer, lambda: memory.read("loaded"))
        measured.window = driven.window
        usage = instance.usage()
        moments = trial.case.workload.memory
        if moments is not None:
            time.sleep(moments.settle)
            memory.read("after")
        measured.facts = {
            **instance.facts,
            **fairness.resources(instance.agent, instance.facts),
            **_clock_facts(instance, driven),
            "memory_sampling": sampler.described,
        }
        if attempt.observe:
            programs = trial.case.workload.program_names()
            measured.observed = {
                **instance.facts,
                **fairness.observe(instance.agent),
                **fairness.digests(instance.agent, programs),
            }
        instance.stop()
        measured.samples = [
            *metrics.startup_samples(instance.timeline, driven.first_output_at),
            *memory.samples,
            *metrics.usage_samples(usage),
            *metrics.peak_samples(sampler.highest),
            *metrics.run_samples(driven.cpus_used),
            *metrics.image_samples(opened.runtime.image_parts(image)),
            *driven.samples,
        ]
        measured.samples += list(limit_samples(trial.case.limit, trial.arm.limits, measured.samples))
        if not driven.samples:
            measured.samples = [replace(sample, primary=sample.metric in metrics.ALONE) for sample in measured.samples]


class _Memory:
    """The memory of one instance, read at several moments.

    Attributes:
        samples: what that came to so far.
    """

    def __init__(self, instance: Instance, available: int) -> None:
        """``available`` is the host's MemAvailable before the instance was started, bytes."""
        self._instance = instance
        self._available = available
        self.samples: list[Sample] = []

    def read(self, moment: str) -> None:
        reading = self._instance.memory()
        drop = self._available - host_available()
        self.samples += metrics.memory_samples(reading, drop, moment)


def _drive(attempt: Attempt, instance: Instance, peer: AgentClient | None, loaded: Callable[[], None]) -> Driven:
    """Run the workload, and name the limits that the instance had hit if it fails."""
    limits = attempt.trial.arm.limits
    try:
        return drive(attempt.trial.case, limits, attempt.context.host, instance, peer, attempt.log, loaded)
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
