"""On which CPUs a run's instances, their load generators, and the harness are: decided here for every arm alike.

The rules, in this order:

* A suite's ``cpuset`` is never left. Within it, or within all CPUs that a run may use, an instance gets as many as its
  limit of ``cpus`` says, rounded up.
* The harness is on one CPU: the lowest whose core no ``cpuset`` names, as far as there is one.
* Instances keep off the harness's core, are under one last-level cache, else on one NUMA node, and take whole cores
  before single threads, as far as the host is large enough for that; always the highest CPUs, so that the same limits
  give the same CPUs in every arm.
* A load generator has every core that neither instance nor harness is on; where there is none, the harness's; where the
  instance is on every core, what CPUs it leaves; and where it has all of them, the harness's CPU.

Whole cores first is how Kubernetes' static CPU manager gives exclusive CPUs (``takeByTopology``): a thread whose
sibling somebody else has is not an undisturbed CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimes.topology import Cpu, Topology, format_cpus

if TYPE_CHECKING:
    from runtimes.base import Limits


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything of one arm runs.

    Attributes:
        instance: CPUs of the instance; for a guest also those of all of QEMU's threads.
        peer: CPUs of its load generator.
        harness: CPUs of the harness.
        shared: what is not apart, in words, one sentence each; empty where everything is.
    """

    instance: tuple[int, ...]
    peer: tuple[int, ...]
    harness: tuple[int, ...]
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placer:
    """Places the arms of one run.

    Attributes:
        topology: the CPUs that the run may use.
        harness: where the harness is.
    """

    topology: Topology
    harness: tuple[int, ...]

    def place(self, limits: Limits) -> Placement:
        """Where an arm with these limits runs; the same limits give the same placement.

        CPUs of a ``cpuset`` that the run may not use are passed over: :meth:`runtimes.cgroup.RunCgroups.check_limits`
        refuses them.
        """
        instance = self._instance(limits)
        peer = self._peer(instance)
        return Placement(instance, peer, self.harness, _shared(self.topology, instance, peer, self.harness))

    def _instance(self, limits: Limits) -> tuple[int, ...]:
        candidates = [cpu for cpu in self.topology.cpus if not limits.cpuset or cpu.number in limits.cpuset]
        count = math.ceil(limits.cpus)
        cores = {sibling for cpu in self.harness for sibling in self.topology.threads(cpu)}
        for taken in (cores, set(self.harness), set()):
            left = [cpu for cpu in candidates if cpu.number not in taken]
            for together in _TOGETHER:
                group = _best_group(left, count, together)
                if group:
                    return _whole_cores_first(group, count)
        return tuple(cpu.number for cpu in candidates)

    def _peer(self, instance: tuple[int, ...]) -> tuple[int, ...]:
        of_instance = {sibling for cpu in instance for sibling in self.topology.threads(cpu)}
        of_harness = {sibling for cpu in self.harness for sibling in self.topology.threads(cpu)}
        for taken in (of_instance | of_harness, of_instance, set(instance)):
            left = tuple(cpu for cpu in self.topology.numbers if cpu not in taken)
            if left:
                return left
        return self.harness


def make_placer(topology: Topology, limits: Iterable[Limits] = ()) -> Placer:
    """The placer of a run.

    Args:
        topology: the CPUs that the run may use; at least one.
        limits: of its arms, for the CPUs that their ``cpuset`` names.
    """
    named = {cpu for each in limits for cpu in each.cpuset}
    apart = (cpu.number for cpu in topology.cpus if not named & set(topology.threads(cpu.number)))
    unnamed = (cpu for cpu in topology.numbers if cpu not in named)
    return Placer(topology, (next(apart, next(unnamed, topology.numbers[0])),))


def describe_cpus(cpus: tuple[int, ...]) -> str:
    """``CPU 3``, or ``CPUs 0-2,5``."""
    return f"{'CPU' if len(cpus) == 1 else 'CPUs'} {format_cpus(cpus)}"


_TOGETHER: tuple[Callable[[Cpu], Hashable], ...] = (lambda cpu: cpu.cache, lambda cpu: cpu.node, lambda _: None)
"""What CPUs of an instance should have in common, the most wanted first."""


def _best_group(cpus: list[Cpu], count: int, together: Callable[[Cpu], Hashable]) -> list[Cpu]:
    """Of the groups that are large enough the one with the highest CPU; empty if none is."""
    groups: dict[Hashable, list[Cpu]] = {}
    for cpu in cpus:
        groups.setdefault(together(cpu), []).append(cpu)
    large = [group for group in groups.values() if len(group) >= count]
    return max(large, key=lambda group: group[-1].number, default=[])


def _whole_cores_first(group: list[Cpu], count: int) -> tuple[int, ...]:
    """The highest whole cores, then single threads, last of all those of cores of which others have a part."""
    cores: dict[tuple[int, ...], list[int]] = {}
    for cpu in group:
        cores.setdefault(cpu.core, []).append(cpu.number)
    whole = [threads for core, threads in cores.items() if len(threads) == len(core)]
    taken: list[int] = []
    for threads in sorted(whole, key=max, reverse=True):
        if len(taken) + len(threads) <= count:
            taken += threads
    unshared = {thread for threads in whole for thread in threads}
    left = [cpu.number for cpu in group if cpu.number not in taken]
    rest = sorted(left, key=lambda number: (number in unshared, number), reverse=True)
    return tuple(sorted(taken + rest[: count - len(taken)]))


def _shared(
    topology: Topology, instance: tuple[int, ...], peer: tuple[int, ...], harness: tuple[int, ...]
) -> tuple[str, ...]:
    """What is not apart, the worst first."""
    found: list[str] = []
    parties = {"instance": instance, "load generator": peer, "harness": harness}
    pairs = (("instance", "load generator"), ("instance", "harness"), ("load generator", "harness"))
    for one, other in pairs:
        same = tuple(sorted(set(parties[one]) & set(parties[other])))
        if same:
            found.append(f"{one} and {other} share {describe_cpus(same)}")
            continue
        cores = {cpu for number in parties[one] for cpu in topology.threads(number)}
        halves = tuple(sorted(cores & set(parties[other])))
        if halves:
            siblings = {thread for cpu in halves for thread in topology.threads(cpu)}
            own = tuple(sorted(siblings & set(parties[one])))
            found.append(f"{one} ({describe_cpus(own)}) and {other} ({describe_cpus(halves)}) share a core")
    for name, attribute in (("last-level cache", "cache"), ("NUMA node", "node")):
        count = len({getattr(topology.by_number[cpu], attribute) for cpu in instance})
        if count > 1:
            found.append(f"the instance is spread over {count} {name}s")
    return tuple(found)
