"""Several instances that are started at once: how long until all of them are ready."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.records import Sample
from runtimes.base import InstanceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.trials.attempt import Attempt
    from runtimes.base import Instance, InstanceSpec, Runtime

_SPARE = 60.0
"""Seconds beyond the time that each may take to start, within which all are ready or some have failed."""


@dataclass(frozen=True, slots=True)
class StartedAtOnce:
    """What several instances came to.

    Attributes:
        requested: when the first of them was asked for, as its runtime stamps it: what a single start leaves out,
            such as making a saved state, is left out here too; ns of the host's CLOCK_MONOTONIC.
        ready: when each was ready.
        stop_requested: when the first of them was asked to stop.
        stopped: when the last of them was gone.
        cpu_time: seconds of host CPU time of all of them up to the stop.
        facts: of the first of them.
    """

    requested: int
    ready: tuple[int, ...]
    stop_requested: int
    stopped: int
    cpu_time: float
    facts: Mapping[str, str]


def carry_out(attempt: Attempt) -> None:
    """Start several instances at once, and stop them."""
    count = attempt.trial.case.instances
    assert count is not None
    specs = [attempt.numbered_specification(number, count) for number in range(1, count + 1)]
    started = start_at_once(attempt.opened.runtime, specs)
    waits = sorted((at - started.requested) / 1e9 for at in started.ready)
    attempt.log.note(f"{count} instances, ready after " + ", ".join(f"{wait:.6f}" for wait in waits) + " s")
    attempt.measured.facts = started.facts
    attempt.measured.samples = list(parallel_samples(started))


def start_at_once(runtime: Runtime, specs: Sequence[InstanceSpec]) -> StartedAtOnce:
    """Start instances at once, wait until all are ready, and stop them at once.

    Each has a thread from its start to its end, all of them threads of the caller, who must be in the run's namespaces.

    Raises:
        InstanceError: one did not come up, or did not stop; nothing of any is left.
    """
    crew = _Crew(runtime, len(specs), max(spec.start_timeout for spec in specs) + _SPARE)
    with ThreadPoolExecutor(len(specs), thread_name_prefix="start") as pool:
        try:
            lives = [pool.submit(crew.live, spec) for spec in specs]
            wait(lives, return_when=FIRST_EXCEPTION)
        finally:
            # Whatever happened, nobody waits for one who will not come; an interruption comes this way, too.
            crew.disband()
    broken = [error for life in lives if (error := life.exception()) is not None]
    # Those whom a failure elsewhere sent home say only that.
    for error in sorted(broken, key=lambda each: isinstance(each, threading.BrokenBarrierError)):
        if isinstance(error, threading.BrokenBarrierError):
            raise InstanceError("not all instances were ready in time") from error
        raise error
    return crew.outcome()


def parallel_samples(started: StartedAtOnce) -> Iterator[Sample]:
    """What they came to, seconds of host time.

    ``parallel_start_time`` runs until the last was ready, ``parallel_start.first`` and ``.median`` until the first and
    half of them were; ``parallel_stop_time`` from asking all of them to stop until the last was gone.
    """
    waits = [(at - started.requested) / 1e9 for at in started.ready]
    yield Sample("parallel_start_time", max(waits), "s", "lower", primary=True)
    yield Sample("parallel_start.first", min(waits), "s", "lower")
    yield Sample("parallel_start.median", statistics.median(waits), "s", "lower")
    yield Sample("parallel_stop_time", (started.stopped - started.stop_requested) / 1e9, "s", "lower", primary=True)
    yield Sample("cpu_time", started.cpu_time, "s", "lower")


class _Crew:
    """Instances that wait for each other: before they start, until all are ready, and until all may stop."""

    def __init__(self, runtime: Runtime, count: int, patience: float) -> None:
        self._runtime = runtime
        self._begin = threading.Barrier(count)
        self._all_ready = threading.Barrier(count, timeout=patience)
        self._all_read = threading.Barrier(count, timeout=patience)
        self._lock = threading.Lock()
        self._ended: list[tuple[Instance, float, Mapping[str, str]]] = []

    def live(self, spec: InstanceSpec) -> None:
        """One instance from its start to its end."""
        self._begin.wait()
        try:
            with self._runtime.start(spec) as instance:
                self._all_ready.wait()
                # Figures are read when nobody starts any more, lest that be part of the start.
                spent, facts = instance.usage().cpu_time, instance.facts
                self._all_read.wait()
                instance.stop()
                with self._lock:
                    self._ended.append((instance, spent, facts))
        except BaseException:
            self.disband()
            raise

    def disband(self) -> None:
        """Have nobody wait any more."""
        for barrier in (self._begin, self._all_ready, self._all_read):
            barrier.abort()

    def outcome(self) -> StartedAtOnce:
        lives = [instance.timeline.stamps for instance, _, _ in self._ended]
        return StartedAtOnce(
            requested=min(stamps["requested"] for stamps in lives),
            ready=tuple(stamps["ready"] for stamps in lives),
            stop_requested=min(stamps["stop_requested"] for stamps in lives),
            stopped=max(stamps["stopped"] for stamps in lives),
            cpu_time=sum(spent for _, spent, _ in self._ended),
            facts=self._ended[0][2],
        )
