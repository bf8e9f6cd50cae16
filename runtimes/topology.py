"""How the host's CPUs lie together: threads of one core, a shared last-level cache, a NUMA node, as sysfs tells it
(kernel documentation, ABI/stable/sysfs-devices-system-cpu and -node).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SYSTEM = Path("/sys/devices/system")

_DATA_CACHES = ("Data", "Unified")


@dataclass(frozen=True, slots=True)
class Cpu:
    """One CPU, which is a thread of a core.

    Attributes:
        number: the kernel's.
        core: all CPUs that are threads of its core, itself among them, also those that we may not use.
        cache: those that share its last-level cache.
        node: number of its NUMA node.
    """

    number: int
    core: tuple[int, ...]
    cache: tuple[int, ...]
    node: int


@dataclass(frozen=True)
class Topology:
    """The CPUs that a run may use.

    Attributes:
        cpus: ascending.
    """

    cpus: tuple[Cpu, ...]

    @cached_property
    def by_number(self) -> Mapping[int, Cpu]:
        """The CPUs by their numbers."""
        return {cpu.number: cpu for cpu in self.cpus}

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Their numbers, ascending."""
        return tuple(cpu.number for cpu in self.cpus)

    def threads(self, number: int) -> tuple[int, ...]:
        """The CPUs on the core of one, as far as we may use them."""
        return tuple(sibling for sibling in self.by_number[number].core if sibling in self.by_number)


def parse_cpus(text: str) -> tuple[int, ...]:
    """A list of CPUs as the kernel writes it, such as ``0-2,5``."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def format_cpus(cpus: Iterable[int]) -> str:
    """CPUs as the kernel writes them: ``0-2,5``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def read_topology(cpus: Iterable[int], system: Path = SYSTEM) -> Topology:
    """How these CPUs lie together.

    What sysfs does not tell (there may be none where we run) counts as not shared: each CPU a core of its own, all on
    one node and under one cache.

    Args:
        cpus: those that a run may use.
        system: where sysfs has its system devices.
    """
    numbers = tuple(sorted(set(cpus)))
    nodes = _nodes(system / "node")
    return Topology(
        tuple(
            Cpu(
                number,
                _listed(system / f"cpu/cpu{number}/topology/thread_siblings_list", number) or (number,),
                _last_level_cache(system / f"cpu/cpu{number}/cache", number) or numbers,
                nodes.get(number, 0),
            )
            for number in numbers
        )
    )


def _nodes(directory: Path) -> dict[int, int]:
    found: dict[int, int] = {}
    for path in sorted(directory.glob("node[0-9]*")):
        with contextlib.suppress(OSError, ValueError):
            found |= dict.fromkeys(parse_cpus((path / "cpulist").read_text()), int(path.name.removeprefix("node")))
    return found


def _last_level_cache(directory: Path, number: int) -> tuple[int, ...]:
    """The CPUs under the cache of the highest level, that is the one furthest from the core; empty if not told."""
    levels: dict[int, tuple[int, ...]] = {}
    for index in directory.glob("index[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if (index / "type").read_text().strip() in _DATA_CACHES:
                levels[int((index / "level").read_text())] = _listed(index / "shared_cpu_list", number)
    return levels[max(levels)] if levels else ()


def _listed(path: Path, number: int) -> tuple[int, ...]:
    """The list in a file, which must have the CPU itself in it; else empty."""
    try:
        listed = parse_cpus(path.read_text())
    except (OSError, ValueError):
        return ()
    return listed if number in listed else ()
