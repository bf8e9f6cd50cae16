"""An instance that a container engine has started: what of it is the container, and what looks after that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from runtimes.accounting import (
    anonymous_part,
    limit_facts,
    proportional_set_size,
    read_memory,
    read_whole_usage,
    unreclaimable_part,
)
from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import HostError, InstanceError, MemoryReading, Timeline, Usage
from runtimes.cgroup import Cgroup, CgroupTree, adopt_cgroup
from runtimes.cgroup.figures import CpuTime
from runtimes.launcher.instance import wait_for_end

HELD_BY_HELPERS = ("anon", "kernel")
"""The parts of a cgroup's memory that are held for an instance's sake (:meth:`runtimes.cgroup.Cgroup.split`).

Page cache of an engine's programs is everybody's: the instance that reads it first would be charged for all others.
"""

NO_CPU_TIME = CpuTime(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Outside:
    """What an instance costs outside of its own cgroups, such as in those of an engine's daemon.

    Attributes:
        memory: bytes by who holds them: :attr:`runtimes.base.MemoryReading.helpers`.
        cpu: CPU time since the instance was requested.
    """

    memory: Mapping[str, int] = field(default_factory=dict)
    cpu: CpuTime = NO_CPU_TIME


def _nothing_outside() -> Outside:
    """Engines without a daemon cost nothing elsewhere."""
    return Outside()


@dataclass(frozen=True, slots=True)
class Contained:
    """The container of an instance, as the host sees it.

    Attributes:
        tree: the cgroups of the whole instance.
        cgroup: the one among them that the engine has made for the container; the whole if it has made none.
        limited: the one that its limits are set on.
        pidfd: of the container's first process, the agent.
    """

    tree: CgroupTree
    cgroup: Cgroup
    limited: Cgroup
    pidfd: int


@contextmanager
def contained(tree: CgroupTree, name: str | None, pid: int, *, limited: Cgroup | None = None) -> Iterator[Contained]:
    """Find a container that runs.

    Args:
        tree: the cgroups of the instance.
        name: what is in the name of the container's own cgroup; None if it has none.
        pid: of its first process; 0 if the engine tells that there is none any more.
        limited: the cgroup that its limits are set on, if that is not its own.

    Raises:
        InstanceError: it has ended, or is not in a cgroup of its own.
    """
    if pid == 0:
        # What engines tell of a container that does not run.
        raise InstanceError("the container has ended: the engine knows of no process in it")
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise InstanceError(f"the container's first process, {pid}, has ended") from error
    try:
        try:
            cgroup = tree.whole if name is None else adopt_cgroup(pid, name)
        except HostError as error:
            raise InstanceError(str(error)) from error
        if cgroup is None:
            raise InstanceError(
                f"process {pid} is in no cgroup with {name} in its name: the engine has made none for it"
            )
        yield Contained(tree, cgroup, limited or cgroup, pidfd)
    finally:
        os.close(pidfd)


class EngineInstance:
    """See :class:`runtimes.base.Instance`.

    Memory is that of the container's own cgroup, peaks and what the limits did are those of the one that is limited.
    What else is held in the tree (by conmon, a monitor) and outside of it are the helpers. CPU time and I/O are those
    of all of it.
    """

    def __init__(
        self,
        *,
        agent: AgentClient,
        timeline: Timeline,
        address: str | None,
        facts: Mapping[str, str],
        container: Contained,
        helper: str | None,
        stop_timeout: float,
        end: Callable[[], None],
        outside: Callable[[], Outside] = _nothing_outside,
        inside: Collection[int] = (),
    ) -> None:
        """An instance that is ready.

        Args:
            agent: connected.
            timeline: with the stamps up to ``ready``.
            address: by which it is reached.
            facts: what is recorded with the trial, the limits that the kernel tells aside.
            container: where it is.
            helper: what the rest of the tree is called; None if there is none.
            stop_timeout: seconds from the request to stop until it is gone.
            end: has the engine clear away a container whose processes have ended, and waits for that.
            outside: reads what it costs outside of its cgroups.
            inside: the processes that look after the container in its own cgroup, where the engine does not part them.
                Of their memory only what is anonymous can be told from the container's.
        """
        self.agent = agent
        self.timeline = timeline
        self.address = address
        self._facts = facts
        self._container = container
        self._helper = helper
        self._stop_timeout = stop_timeout
        self._end = end
        self._outside = outside
        self._inside = inside

    @property
    def facts(self) -> Mapping[str, str]:
        return {**self._facts, **limit_facts(self._container.limited)}

    def memory(self) -> MemoryReading:
        outside = self._outside()
        # The container's part first: what grows meanwhile is rather the helper's than nobody's.
        reading, whole_parts = read_memory(self._container.cgroup, None), self._container.tree.whole.split()
        held = sum(whole_parts.get(part, 0) - reading.parts.get(part, 0) for part in HELD_BY_HELPERS)
        beside = min(sum(map(anonymous_part, self._inside)), reading.parts["anon"])
        helpers = dict(outside.memory)
        if self._helper is not None:
            helpers[self._helper] = max(held, 0) + beside
        return replace(
            reading,
            charged=reading.charged - beside,
            parts={**reading.parts, "anon": reading.parts["anon"] - beside},
            pss=reading.pss - sum(map(proportional_set_size, self._inside)),
            helpers=helpers,
        )

    def unreclaimable(self) -> int:
        return unreclaimable_part(self._container.cgroup.quick_split())

    def usage(self) -> Usage:
        return read_whole_usage(self._container.limited, self._container.tree.whole, self._outside().cpu)

    def stop(self) -> None:
        deadline = self.timeline.stamp("stop_requested") / 1e9 + self._stop_timeout
        try:
            self.agent.shutdown(self._stop_timeout)
            ended = wait_for_end(self._container.pidfd, max(deadline - time.monotonic(), 0.0))
        except AgentError as error:
            raise InstanceError(f"the instance could not be stopped in order: {error}") from error
        if not ended:
            self._container.tree.whole.kill()
        elif self.agent.goodbye_at is not None:
            self.timeline.stamp("goodbye", self.agent.goodbye_at)
            self.timeline.stamp("exited")
        self._end()
        self.timeline.stamp("stopped")
        if not ended:
            raise InstanceError(
                f"the agent did not end within {self._stop_timeout:g} s of being told to, and was killed"
            )


def stamp_agent(timeline: Timeline, agent: AgentClient, ready_at: int) -> None:
    """Stamp ``runtime``, when the agent executed its first instructions, and ``ready``, when its word had arrived.

    The agent tells the former by its CLOCK_BOOTTIME, which is the host's where the kernel is shared: it runs with
    CLOCK_MONOTONIC as long as the machine does not sleep.
    """
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    began = agent.hello.boottime - asleep
    latest = max(timeline.stamps.values())
    # A kernel of its own, or a clock of its own, says nothing about when.
    if latest < began < ready_at:
        timeline.stamp("runtime", began)
    timeline.stamp("ready", ready_at)
