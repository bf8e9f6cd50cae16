"""A trial that starts instance after instance, all of which stay: what each further one costs the host.

After some of the starts it waits until memory has settled and reads what all instances hold together. How much memory
one more takes is the slope over these steps, so that what the first one alone pays for is not in it.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import fairness, metrics
from bench.drive import WorkloadError, warmed_up
from results.records import Sample
from runtimes.accounting import host_available
from runtimes.base import HostError, InstanceError
from workloads.units import format_size

if TYPE_CHECKING:
    from bench.trials.attempt import Attempt
    from runtimes.base import Instance
    from workloads.several import Crowd

_EVERY_ONE = 8
"""Instances up to which there is a step after each."""

_GROWTH = 1.25
"""From then on, how many times as many instances there are at the next step."""


def step_sizes(most: int) -> tuple[int, ...]:
    """The numbers of instances after which memory is read, ascending; the last one is ``most``.

    Few instances get a step each: a step takes seconds, and with eight points there is something to find a knee in.
    Beyond, each step has a quarter more than the one before: the number of steps, and so the time that settling takes,
    grows with the logarithm, while far ends, which decide a slope, stay; a knee is placed to within that quarter.
    """
    grown = itertools.accumulate(itertools.repeat(_EVERY_ONE), lambda size, _: math.ceil(size * _GROWTH))
    beyond = itertools.takewhile(lambda size: size < most, itertools.islice(grown, 1, None))
    return (*range(1, min(most, _EVERY_ONE) + 1), *beyond, *((most,) if most > _EVERY_ONE else ()))


@dataclass(frozen=True, slots=True)
class SettleRule:
    """When memory counts as settled: two readings some time apart that hardly differ.

    Attributes:
        pause: seconds between two readings.
        share: part of the footprint by which they may differ.
        least: bytes by which they may differ in any case; some instances have no more than that.
        cap: seconds after which nobody waits any longer.
    """

    pause: float = 1.0
    share: float = 0.01
    least: int = 256 * 2**10
    cap: float = 15.0

    def is_still(self, before: int, now: int) -> bool:
        """Whether two readings of the footprint, bytes, hardly differ."""
        return abs(now - before) <= max(self.share * max(before, now), self.least)


@dataclass(frozen=True, slots=True)
class Level:
    """What several instances hold together, bytes.

    Attributes:
        footprint: of their cgroups, and of the huge pages of guests that no cgroup is charged for.
        pss: proportional set sizes of their processes.
    """

    footprint: int
    pss: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What was read in the end.

    Attributes:
        level: the last reading.
        seconds: from the first reading to the last.
        still: whether it had settled; otherwise the cap was reached.
    """

    level: Level
    seconds: float
    still: bool


def settle(
    read: Callable[[], Level],
    rule: SettleRule,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Read until two readings in a row hardly differ, or for as long as ``rule`` has it."""
    began = clock()
    level = read()
    while True:
        sleep(rule.pause)
        before, level = level, read()
        waited = clock() - began
        still = rule.is_still(before.footprint, level.footprint)
        if still or waited >= rule.cap:
            return Settled(level, waited, still)


@dataclass(frozen=True, slots=True)
class Step:
    """A number of instances, and what was read of them.

    Attributes:
        instances: how many there are.
        settled: their memory.
        available_drop: by how much the host's MemAvailable is below that before the first of them, bytes.
        start_time: seconds that those started since the last step took to start; their median.
    """

    instances: int
    settled: Settled
    available_drop: int
    start_time: float


def density_samples(steps: Sequence[Step], start_times: Sequence[float]) -> Iterator[Sample]:
    """What comes of the steps, of which there are two at least.

    ``marginal_memory`` is what one more instance adds to the sum of footprints, which the kernel counts page by page
    and nobody else on the host disturbs; ``marginal_memory.pss`` and ``marginal_memory.host_available`` are the same by
    the proportional set sizes and by the host's MemAvailable, in which is also what no cgroup is charged for and what
    the host shares between instances, and whatever else happened on it meanwhile.

    ``start_time_growth`` is the median start of the last quarter of the instances divided by that of the first quarter.
    ``memory_knee`` and ``start_time_knee`` are the numbers of instances at which the footprint and the start leave
    their line (:func:`results.stats.line.knee`), where they do; ``unsettled_steps`` how many steps were read although
    memory had not settled. ``density.<figure>`` are the steps themselves, ``iteration`` being the step.
    """
    # Not above: it brings threads of numpy's, and an ordinary user's run enters its user namespace with one thread.
    from results.stats.line import knee, slope

    counts = [step.instances for step in steps]
    footprints = [step.settled.level.footprint for step in steps]
    ways = {
        "marginal_memory": footprints,
        "marginal_memory.pss": [step.settled.level.pss for step in steps],
        "marginal_memory.host_available": [step.available_drop for step in steps],
    }
    for metric, levels in ways.items():
        yield Sample(metric, slope(counts, levels), "bytes", "lower", primary=metric == "marginal_memory")
    quarter = max(1, len(start_times) // 4)
    growth = statistics.median(start_times[-quarter:]) / statistics.median(start_times[:quarter])
    yield Sample("start_time_growth", growth, "ratio", "lower")
    yield Sample("instances_reached", counts[-1], "instances", "higher")
    for metric, values in (("memory_knee", footprints), ("start_time_knee", [step.start_time for step in steps])):
        found = knee(counts, values)
        if found is not None:
            yield Sample(metric, found, "instances", "higher")
    yield Sample("unsettled_steps", sum(not step.settled.still for step in steps), "steps", "neutral")
    for index, step in enumerate(steps):
        yield from _step_samples(index, step)


def _step_samples(index: int, step: Step) -> Iterator[Sample]:
    figures = (
        ("instances", step.instances, "instances"),
        ("footprint", step.settled.level.footprint, "bytes"),
        ("pss", step.settled.level.pss, "bytes"),
        ("host_available_drop", step.available_drop, "bytes"),
        ("start_time", step.start_time, "s"),
        ("settle_time", step.settled.seconds, "s"),
    )
    for name, value, unit in figures:
        yield Sample(f"density.{name}", value, unit, "neutral", index)


def is_want_of_memory(error: BaseException) -> bool:
    """Whether a start failed because the host has no memory left: ENOMEM, or a program's words for it."""
    words = os.strerror(errno.ENOMEM)
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno == errno.ENOMEM:
            return True
        if words in str(chain) or (isinstance(chain, InstanceError) and words in chain.details):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def carry_out(attempt: Attempt) -> None:
    """Start instances until there are as many as were asked for, or memory is short; all go at the end.

    They are not stopped in order, of which nothing would be measured.
    """
    crowd = attempt.trial.case.crowd
    assert crowd is not None
    with ExitStack() as stack:
        line = _Line(attempt, stack, crowd, SettleRule(), host_available())
        reason = line.fill()
        attempt.log.note(f"{len(line.start_times)} instances: {reason}")
        if len(line.start_times) < 2:
            raise WorkloadError(f"{len(line.start_times)} instances, and a slope needs two: {reason}")
        line.observe()
        attempt.measured.facts = {**line.facts, "density_end": reason}
        attempt.measured.observed = line.observed
        attempt.measured.samples = list(density_samples(line.steps, line.start_times))


@dataclass(slots=True)
class _Line:
    """Instances, one after the other.

    Attributes:
        attempt: the trial.
        stack: what ends them.
        crowd: how many are asked for, and what must be left.
        rule: when memory has settled.
        before: the host's MemAvailable before the first, bytes.
        steps: those that were taken.
        start_times: of all instances, seconds.
        facts: of the first of them.
        observed: what a program in it saw of its world, if that was asked for.
    """

    attempt: Attempt
    stack: ExitStack
    crowd: Crowd
    rule: SettleRule
    before: int
    steps: list[Step] = field(default_factory=list)
    start_times: list[float] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    observed: dict[str, str] | None = None
    _instances: list[Instance] = field(default_factory=list)

    def fill(self) -> str:
        """Start instances and take the steps; why there are no more, in words."""
        sizes = step_sizes(self.crowd.most)
        for number in range(1, self.crowd.most + 1):
            reason = self._reserve_reached() or self._start(number)
            if reason is not None:
                if self._instances and len(self._instances) not in sizes:
                    self._take_step()
                return reason
            if number in sizes:
                self._take_step()
        return f"all {self.crowd.most} that were asked for"

    def _reserve_reached(self) -> str | None:
        """Why one more cannot be had without touching the reserve; by what they took so far, at first by the limit."""
        available, count = host_available(), len(self._instances)
        each = max(0, self.before - available) // count if count else self.attempt.trial.arm.limits.memory
        if available - each >= self.crowd.reserve:
            return None
        return (
            f"the host has {format_size(available >> 20 << 20)} of memory available, and one more instance would leave "
            f"less than the reserve of {format_size(self.crowd.reserve)}"
        )

    def _start(self, number: int) -> str | None:
        """Start one more instance; why there is no memory for it, or None."""
        attempt = self.attempt
        try:
            with ExitStack() as one:
                instance = one.enter_context(attempt.opened.runtime.start(attempt.numbered_specification(number)))
                limits, host = attempt.trial.arm.limits, attempt.context.host
                one.enter_context(warmed_up(attempt.trial.case, limits, host, instance, None, attempt.log))
                self.stack.push(one.pop_all())
        except (InstanceError, HostError, WorkloadError, OSError) as error:
            if not is_want_of_memory(error):
                raise
            return f"instance {number} found no memory on the host: {error}"
        self._instances.append(instance)
        self.start_times.append(instance.timeline.seconds("requested", "ready"))
        if number == 1:
            self.facts = dict(instance.facts)
        return None

    def observe(self) -> None:
        """Ask the first instance what it sees, now that nothing is measured any more."""
        first = self._instances[0]
        self.facts |= fairness.resources(first.agent, self.facts)
        if self.attempt.observe:
            self.observed = {**self.facts, **fairness.observe(first.agent)}

    def _take_step(self) -> None:
        before = self.steps[-1].instances if self.steps else 0
        settled = settle(self._read, self.rule)
        step = Step(
            instances=len(self._instances),
            settled=settled,
            available_drop=self.before - host_available(),
            start_time=statistics.median(self.start_times[before:]),
        )
        self.steps.append(step)
        if not settled.still:
            self.attempt.log.note(f"{step.instances} instances: memory has not settled within {self.rule.cap:g} s")

    def _read(self) -> Level:
        readings = [instance.memory() for instance in self._instances]
        return Level(sum(map(metrics.footprint, readings)), sum(reading.pss for reading in readings))
