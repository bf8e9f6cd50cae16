"""Cgroups of version 1: one hierarchy a controller (kernel documentation, admin-guide/cgroup-v1)."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from runtimes.base import HostError, Limits
from runtimes.cgroup.base import (
    QUOTA_PERIOD,
    Cgroup,
    RunCgroups,
    format_cpus,
    make_directory,
    parse_cpus,
    parse_flat,
    quota,
    remove_directories,
    write,
)
from runtimes.cgroup.hierarchy import REQUIRED_CONTROLLERS, Hierarchies

_CONTROLLERS = REQUIRED_CONTROLLERS[1]


class CgroupV1(Cgroup):
    """One instance's directories, by controller."""

    def __init__(self, name: str, by_controller: Mapping[str, Path]) -> None:
        # cpu and cpuacct are often one hierarchy: a process joins each directory once.
        super().__init__(name, list(dict.fromkeys(by_controller.values())), clone_into=None)
        self.thread_files = [file.with_name("tasks") for file in self.procs_files]
        self._memory = by_controller["memory"]
        self._cpuacct = by_controller["cpuacct"]
        self._freezer = by_controller["freezer"]

    def current(self) -> int:
        return int((self._memory / "memory.usage_in_bytes").read_text())

    def peak(self) -> int:
        return int((self._memory / "memory.max_usage_in_bytes").read_text())

    def split(self) -> dict[str, int]:
        figures = parse_flat((self._memory / "memory.stat").read_text())
        parts = {
            "anon": figures["total_rss"],
            "file": figures["total_cache"],
            "shmem": figures.get("total_shmem", 0),
            "file_mapped": figures["total_mapped_file"],
        }
        kernel = self._memory / "memory.kmem.usage_in_bytes"
        if kernel.exists():
            parts["kernel"] = int(kernel.read_text())
        return parts

    def cpu_seconds(self) -> float:
        return int((self._cpuacct / "cpuacct.usage").read_text()) / 1e9

    def oom_kills(self) -> int:
        return parse_flat((self._memory / "memory.oom_control").read_text()).get("oom_kill", 0)

    def _signal_all(self) -> None:
        # A frozen process cannot fork while the list is read; it dies of the signal as it is thawed.
        state = self._freezer / "freezer.state"
        state.write_text("FROZEN")
        try:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            state.write_text("THAWED")


class RunCgroupsV1(RunCgroups):
    """A run's directory in each hierarchy."""

    def __init__(self, by_controller: Mapping[str, Path]) -> None:
        super().__init__(list(dict.fromkeys(by_controller.values())))
        self._by_controller = by_controller

    def cpus(self) -> tuple[int, ...]:
        return parse_cpus((self._by_controller["cpuset"] / "cpuset.cpus").read_text())

    def new(self, name: str, limits: Limits | None, *, memory_limit: bool = True) -> Cgroup:
        if limits is not None:
            self.check_limits(limits)
        directories = {controller: parent / name for controller, parent in self._by_controller.items()}
        _make_directories(directories)
        cgroup = CgroupV1(name, directories)
        try:
            self._limit(directories, limits, memory_limit=memory_limit)
        except HostError:
            cgroup.remove()
            raise
        return cgroup

    def _limit(self, directories: Mapping[str, Path], limits: Limits | None, *, memory_limit: bool) -> None:
        copy_cpuset(directories["cpuset"], self.instance_cpus(limits) if limits else ())
        if limits is None:
            return
        if quota(limits.cpus) is not None:
            write(directories["cpu"] / "cpu.cfs_period_us", str(QUOTA_PERIOD))
            write(directories["cpu"] / "cpu.cfs_quota_us", str(quota(limits.cpus)))
        if memory_limit:
            write(directories["memory"] / "memory.limit_in_bytes", str(limits.memory))
            # Memory and swap together at the same figure: no swap. The file is missing where swap is not accounted.
            both = directories["memory"] / "memory.memsw.limit_in_bytes"
            if both.exists():
                write(both, str(limits.memory))


def make_run_cgroups_v1(found: Hierarchies, run: str) -> RunCgroups:
    """Make a run's cgroup in every hierarchy of version 1 that is used.

    Raises:
        HostError: a controller is not mounted, or this process may not make cgroups.
    """
    missing = [controller for controller in _CONTROLLERS if controller not in found.v1]
    if missing:
        raise HostError(
            f"no cgroup controller {', '.join(missing)}: expected it mounted below /sys/fs/cgroup; "
            "see cgroup_disable= and cgroup_no_v1= on the kernel command line"
        )
    directories = {controller: found.v1[controller] / run for controller in _CONTROLLERS}
    _make_directories(directories)
    try:
        copy_cpuset(directories["cpuset"], ())
    except HostError:
        remove_directories(directories.values())
        raise
    return RunCgroupsV1(directories)


def copy_cpuset(directory: Path, cpus: tuple[int, ...]) -> None:
    """Fill a new cpuset, which refuses processes until it has CPUs and memory nodes; by default the parent's."""
    write(directory / "cpuset.mems", (directory.parent / "cpuset.mems").read_text().strip())
    write(directory / "cpuset.cpus", format_cpus(cpus) or (directory.parent / "cpuset.cpus").read_text().strip())


def _make_directories(directories: Mapping[str, Path]) -> None:
    made: list[Path] = []
    try:
        for directory in dict.fromkeys(directories.values()):
            make_directory(directory)
            made.append(directory)
    except HostError:
        remove_directories(made)
        raise
