"""What an instance costs the host: memory three ways, CPU time, peaks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runtimes.base import MemoryReading, Usage
from runtimes.cgroup import Cgroup
from runtimes.cgroup.figures import CpuTime

_MEMINFO_NAMES = {
    "MemTotal": "total",
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
    "SwapCached": "swap_cached",
    "Active": "active",
    "Inactive": "inactive",
    "AnonPages": "anon",
    "Mapped": "mapped",
    "Shmem": "shmem",
    "Slab": "slab",
    "SReclaimable": "slab_reclaimable",
    "SUnreclaim": "slab_unreclaimable",
    "KernelStack": "kernel_stack",
    "PageTables": "page_tables",
    "Percpu": "percpu",
}


def parse_meminfo(text: bytes) -> dict[str, int]:
    """The figures of a ``/proc/meminfo`` (proc_meminfo(5)), in bytes.

    Returns:
        ``total``, ``free``, ``available``, ``buffers``, ``cached``, ``anon``, ``shmem``, ``slab`` and others; a line
        that the kernel does not have, or that is no figure, is missing.
    """
    figures: dict[str, int] = {}
    for line in text.decode("ascii", "replace").splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if name in _MEMINFO_NAMES and len(value) == 2 and value[1] == "kB" and value[0].isdecimal():
            figures[_MEMINFO_NAMES[name]] = int(value[0]) * 1024
    return figures


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What ``/proc/PID/stat`` tells of a process (proc_pid_stat(5)).

    Attributes:
        parent: process id of its parent.
        cpu_time: seconds that it has had, all its threads together.
        started: ticks from the host's start until its own, which with its id tells it from all others.
    """

    parent: int
    cpu_time: float
    started: int


def parse_process_stat(text: str) -> ProcessStat:
    """Read the text of such a file; a process may have any name, also with spaces and brackets in it."""
    fields = text.rpartition(")")[2].split()
    cpu_time = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return ProcessStat(int(fields[1]), cpu_time, int(fields[19]))


def host_available() -> int:
    """The host's MemAvailable now, bytes."""
    return parse_meminfo(Path("/proc/meminfo").read_bytes())["available"]


def unreclaimable_part(parts: Mapping[str, int]) -> int:
    """What of a cgroup's memory the kernel cannot take back at once, bytes, from its split (:meth:`Cgroup.split`).

    Anonymous memory and files in memory, for which there would have to be swap, and the kernel's own memory less what
    of its slab is reclaimable, where the kernel tells both: version 1 does not tell the slab, and version 2 all of its
    own memory only from Linux 5.18 on.
    """
    kernel = max(0, parts.get("kernel", 0) - parts.get("slab_reclaimable", 0))
    return parts.get("anon", 0) + parts.get("shmem", 0) + kernel


def read_memory(cgroup: Cgroup, guest_meminfo: bytes | None) -> MemoryReading:
    """Read what the host gives for the processes in ``cgroup`` now.

    Args:
        cgroup: of one instance.
        guest_meminfo: the text of ``/proc/meminfo`` as the instance's own kernel has it, or None where it has none.
    """
    return MemoryReading(
        charged=cgroup.current(),
        parts=cgroup.split(),
        pss=sum(proportional_set_size(pid) for pid in cgroup.pids()),
        guest={} if guest_meminfo is None else parse_meminfo(guest_meminfo),
    )


def limit_facts(cgroup: Cgroup) -> dict[str, str]:
    """What the kernel limits the processes in ``cgroup`` to, for a trial's facts: ``cgroup_memory_limit`` (bytes) and
    ``cgroup_cpu_quota`` (CPUs), ``none`` for no limit.
    """
    given = {"cgroup_memory_limit": cgroup.memory_limit(), "cgroup_cpu_quota": cgroup.cpu_quota()}
    return {name: "none" if value is None else f"{value:.12g}" for name, value in given.items()}


def read_usage(cgroup: Cgroup) -> Usage:
    """Read what the processes in ``cgroup``, also those that have ended, have cost up to now."""
    cpu = cgroup.cpu()
    return Usage(
        cpu_time=cpu.total,
        cpu_user=cpu.user,
        cpu_system=cpu.system,
        memory_peak=cgroup.peak(),
        oom_kills=cgroup.oom_kills(),
        throttled_time=cpu.throttled,
        pids_peak=cgroup.pids_peak(),
        pids_limit_hits=cgroup.pids_limit_hits(),
        io=cgroup.io(),
        pressure=cgroup.pressure(),
    )


def read_whole_usage(cgroup: Cgroup, whole: Cgroup, elsewhere: CpuTime) -> Usage:
    """The same of an instance whose helpers are in cgroups besides: CPU time and I/O are those of all of it.

    Args:
        cgroup: where the container is, and where its limits are.
        whole: that and its helpers.
        elsewhere: CPU time of helpers in no cgroup of the instance.
    """
    cpu = whole.cpu()
    return replace(
        read_usage(cgroup),
        cpu_time=cpu.total + elsewhere.total,
        cpu_user=cpu.user + elsewhere.user,
        cpu_system=cpu.system + elsewhere.system,
        io=whole.io(),
    )


def anonymous_part(pid: int) -> int:
    """Bytes of anonymous memory of one process, what it shares divided (``Pss_Anon``); 0 for one that has ended."""
    return _rolled_up(pid, "Pss_Anon")


def proportional_set_size(pid: int) -> int:
    """Bytes of one process; 0 for one that has ended meanwhile."""
    return _rolled_up(pid, "Pss")


def _rolled_up(pid: int, name: str) -> int:
    """A figure over all mappings of a process, bytes (proc_pid_smaps(5))."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
