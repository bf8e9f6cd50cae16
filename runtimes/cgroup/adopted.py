"""Cgroups that somebody else made for a process of ours, a service manager or libvirt: their figures can be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from runtimes.base import HostError
from runtimes.cgroup.base import Cgroup
from runtimes.cgroup.figures import CpuTime, parse_flat
from runtimes.cgroup.hierarchy import OPTIONAL_CONTROLLERS, REQUIRED_CONTROLLERS, Hierarchies
from runtimes.cgroup.v1 import CgroupV1
from runtimes.cgroup.v2 import CgroupV2

_NEEDED = {1: ("memory", "cpu", "cpuacct"), 2: ("cpu", "memory")}
"""Controllers without which there are no figures, by the version of control groups."""


def adopt_cgroup(pid: int, name: str) -> Cgroup | None:
    """The cgroup that was made for one process and what it starts, whatever cgroups below that it is in.

    It must not be killed or removed: that is for whoever made it.

    Args:
        pid: of the process.
        name: what is in the name of such a cgroup, as systemd-escape(1) has it or plain.

    Returns:
        None where the process is in no cgroup with such a name.

    Raises:
        HostError: the process has ended, or the cgroup lacks a controller that figures need.
    """
    try:
        membership = Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise HostError(f"process {pid} has ended before its cgroup was known") from error
    found = Hierarchies.parse(membership, Path("/proc/thread-self/mountinfo").read_text())
    if "memory" in found.v1:
        return _adopt_v1(found, name)
    return None if found.v2 is None else _adopt_v2(found.v2, name)


def _throttled(directory: Path, name: str) -> int:
    """The sum of a figure of ``cpu.stat`` over a cgroup and all below: each tells of its own quota alone, and libvirt
    gives one to a cgroup that it makes below the service manager's.
    """
    total = 0
    for path, _, _ in os.walk(directory):
        try:
            total += parse_flat(Path(path, "cpu.stat").read_text()).get(name, 0)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # removed meanwhile
                raise
    return total


class _AdoptedV1(CgroupV1):
    """One with quotas of its own or below."""

    def cpu(self) -> CpuTime:
        return replace(super().cpu(), throttled=_throttled(self._cpu, "throttled_time") / 1e9)


class _AdoptedV2(CgroupV2):
    """One with quotas of its own or below."""

    def cpu(self) -> CpuTime:
        return replace(super().cpu(), throttled=_throttled(self._directory, "throttled_usec") / 1e6)


class _HybridCgroup(CgroupV1):
    """One without the controller cpuacct, whose figures the unified hierarchy has too.

    libvirt uses that controller only where it is mounted together with cpu.
    """

    def __init__(self, name: str, by_controller: Mapping[str, Path], unified: Path) -> None:
        super().__init__(name, {**by_controller, "cpuacct": by_controller["cpu"]})
        self._unified = CgroupV2(name, unified, ())

    def cpu(self) -> CpuTime:
        return replace(self._unified.cpu(), throttled=_throttled(self._cpu, "throttled_time") / 1e9)


def _adopt_v1(found: Hierarchies, name: str) -> Cgroup | None:
    """Without figures of I/O, which the kernel may not count there (``account_io`` of a run's cgroups)."""
    controllers = (*REQUIRED_CONTROLLERS[1], *OPTIONAL_CONTROLLERS[1])
    known = {controller: found.v1[controller] for controller in controllers if controller in found.v1}
    named = {controller: made for controller, path in known.items() if (made := _named(path, name)) is not None}
    if not named:
        return None
    unified = None if found.v2 is None else _named(found.v2, name)
    there = {*named, *([] if unified is None else ["cpuacct"])}
    _require(1, there, next(iter(named.values())))
    if "cpuacct" in named:
        return _AdoptedV1(name, named)
    assert unified is not None
    return _HybridCgroup(name, named, unified)


def _adopt_v2(directory: Path, name: str) -> Cgroup | None:
    made = _named(directory, name)
    if made is None:
        return None
    controllers = (made / "cgroup.controllers").read_text().split()
    _require(2, set(controllers), made)
    return _AdoptedV2(name, made, controllers)


def _named(directory: Path, name: str) -> Path | None:
    """The directory itself or the nearest above it that has the name in its own."""
    wanted = (name, name.replace("-", r"\x2d"))
    return next((path for path in (directory, *directory.parents) if any(word in path.name for word in wanted)), None)


def _require(version: int, there: set[str], directory: Path) -> None:
    lacking = [controller for controller in _NEEDED[version] if controller not in there]
    if lacking:
        raise HostError(f"the cgroup {directory} was made without the controller {', '.join(lacking)}")
