"""What the kernel counts of the whole host, read at one moment, and what has come to be between two.

CPU time is counted by kind in ``/proc/stat`` (proc_stat(5)). Time in interrupts is left aside, and so is that of kernel
threads: both work for the run as well as for others, and nothing tells for whom.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtimes.accounting import parse_process_stat

_TICK = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7
"""Places of figures in a line of /proc/stat; time of guests is in that of users already."""

_PRESSURE = ("cpu", "memory", "io")
_KTHREADD = 2
"""Process id of the kernel thread whose children all other kernel threads are."""


@dataclass(frozen=True, slots=True)
class Counters:
    """All that is counted from the host's start on, and the moment.

    Attributes:
        at: seconds of CLOCK_MONOTONIC.
        busy: CPU seconds of processes and kernel threads, all CPUs.
        kernel: those of each kernel thread that there is, by its process id and start.
        stolen: CPU seconds that a hypervisor gave to others, of the CPUs that were asked about.
        interrupts: how many.
        waited: seconds in which some task waited, by resource; empty where the kernel does not tell.
        throttled: how often the CPUs that were asked about were slowed down for their heat; None if not told.
    """

    at: float
    busy: float
    kernel: Mapping[tuple[int, int], float]
    stolen: float
    interrupts: int
    waited: Mapping[str, float]
    throttled: int | None


def read_counters(cpus: Iterable[int], root: Path = Path("/")) -> Counters:
    """Read all counters now.

    Args:
        cpus: those that are measured.
        root: where ``proc`` and ``sys`` are.
    """
    lines = dict(line.split(maxsplit=1) for line in (root / "proc/stat").read_text().splitlines() if " " in line)
    whole = _figures(lines["cpu"])
    measured = [f"cpu{cpu}" for cpu in cpus]
    return Counters(
        at=time.monotonic(),
        busy=(whole[_USER] + whole[_NICE] + whole[_SYSTEM]) / _TICK,
        kernel=_kernel_threads(root / "proc"),
        stolen=sum(_figures(lines[name])[_STEAL] for name in measured if name in lines) / _TICK,
        interrupts=int(lines["intr"].split(maxsplit=1)[0]),
        waited=_waited(root / "proc/pressure"),
        throttled=_throttled(root / "sys/devices/system/cpu", cpus),
    )


def _figures(line: str) -> list[int]:
    """The figures of a line of /proc/stat; old kernels have fewer."""
    figures = [int(figure) for figure in line.split()]
    return figures + [0] * (_STEAL + 1 - len(figures))


def _kernel_threads(proc: Path) -> dict[tuple[int, int], float]:
    """CPU seconds of all kernel threads that there are now, by process id and start."""
    seconds: dict[tuple[int, int], float] = {}
    for entry in os.scandir(proc):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                stat = parse_process_stat(Path(entry.path, "stat").read_text())
                if stat.parent == _KTHREADD:
                    seconds[int(entry.name), stat.started] = stat.cpu_time
    return seconds


def _waited(pressure: Path) -> dict[str, float]:
    """Totals of ``some`` (kernel documentation, accounting/psi)."""
    found: dict[str, float] = {}
    for resource in _PRESSURE:
        with contextlib.suppress(OSError):
            some = (pressure / resource).read_text().splitlines()[0]
            found[resource] = int(some.rpartition("total=")[2]) / 1e6
    return found


def _throttled(directory: Path, cpus: Iterable[int]) -> int | None:
    """Events counted by Intel's thermal driver; other processors do not tell."""
    events = [_number(directory / f"cpu{cpu}/thermal_throttle/core_throttle_count") for cpu in cpus]
    told = [event for event in events if event is not None]
    return sum(told) if told else None


def frequency(cpus: Iterable[int], root: Path = Path("/")) -> float | None:
    """Mean frequency of CPUs now, Hz; None where there is no driver that tells, as in most guests."""
    paths = [root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in cpus]
    told = [value for path in paths if (value := _number(path)) is not None]
    return 1000.0 * sum(told) / len(told) if told else None


def temperature(root: Path = Path("/")) -> float | None:
    """The highest of the host's thermal zones, degrees Celsius; None where there is none."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    told = [value for zone in zones if (value := _number(zone)) is not None]
    return max(told) / 1000 if told else None


def load(root: Path = Path("/")) -> float:
    """The load average of one minute."""
    return float((root / "proc/loadavg").read_text().split()[0])


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
