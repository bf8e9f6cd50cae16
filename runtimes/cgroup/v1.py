"""Cgroups of version 1: one hierarchy a controller (kernel documentation, admin-guide/cgroup-v1).

Nothing here needs root: where the directories of our own cgroups belong to the user, so do those made in them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from runtimes.base import HostError, IoLimits, IoUsage, Limits
from runtimes.cgroup.base import QUOTA_PERIOD, Cgroup, RunCgroups, parse_limit, quota
from runtimes.cgroup.devices import DeviceFilter, DirectoryFilter
from runtimes.cgroup.directories import make_directory, remove_directories, settled_memory_statistics, write
from runtimes.cgroup.disks import disks_that_hold, is_at_the_bottom
from runtimes.cgroup.figures import CpuTime, parse_blkio, parse_flat
from runtimes.cgroup.hierarchy import DEVICES, OPTIONAL_CONTROLLERS, REQUIRED_CONTROLLERS, Hierarchies
from runtimes.cgroup.tree import CgroupTree, DaemonTree
from runtimes.topology import format_cpus, parse_cpus

_CONTROLLERS = REQUIRED_CONTROLLERS[1]


_SHARES_PER_WEIGHT = 1024 / 100
"""``cpu.shares`` for ``cpu.weight`` 1: the defaults, 1024 and 100, mean the same (``sched_weight_from_cgroup`` in
kernel/sched/sched.h converts so)."""

_INSTANCES = "instances"
"""The last part of the path from a daemon's cgroup to those of its instances."""

_MOST_SHARES = 1 << 18
"""MAX_SHARES in kernel/sched/sched.h; more is taken for it."""

_NO_LIMIT = 1 << 62
"""Bytes from which on a limit is none: the kernel shows the most that its counter can hold, in whole pages."""

IO_FILES = {
    "read_bytes": "blkio.throttle.read_bps_device",
    "write_bytes": "blkio.throttle.write_bps_device",
    "read_ops": "blkio.throttle.read_iops_device",
    "write_ops": "blkio.throttle.write_iops_device",
}
"""The files of the controller, by limit."""


class CgroupV1(Cgroup):
    """One instance's directories, by controller.

    ``io_directory`` is the one with the figures of I/O, or None where the kernel does not keep them.
    """

    def __init__(self, name: str, by_controller: Mapping[str, Path], io_directory: Path | None = None) -> None:
        # cpu and cpuacct are often one hierarchy: a process joins each directory once.
        directories = list(dict.fromkeys(by_controller.values()))
        # The unified hierarchy, where it is beside the others, has no file for single threads; to be started in it
        # spares the wait for all forks on the host that joining it takes.
        unified = by_controller.get("")
        super().__init__(name, directories, clone_into=unified, pids_directory=by_controller.get("pids"))
        self.files_to_join = [directory / "tasks" for directory in self._directories if directory != unified]
        self.thread_files = [*self.files_to_join, *([unified / "cgroup.procs"] if unified else [])]
        self._passing_cpu = 0.0  # seconds of threads that were in it for a while, and are nobody's of it
        self._memory = by_controller["memory"]
        self._cpu = by_controller["cpu"]
        self._cpuacct = by_controller["cpuacct"]
        self._blkio = by_controller.get("blkio")
        self._io_directory = io_directory
        self._freezer = by_controller.get("freezer")

    def current(self) -> int:
        return int((self._memory / "memory.usage_in_bytes").read_text())

    def peak(self) -> int:
        return int((self._memory / "memory.max_usage_in_bytes").read_text())

    def split(self) -> dict[str, int]:
        return self._parts(settled_memory_statistics(self._memory))

    def quick_split(self) -> dict[str, int]:
        return self._parts(parse_flat((self._memory / "memory.stat").read_text()))

    def _parts(self, figures: Mapping[str, int]) -> dict[str, int]:
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

    def cpu(self) -> CpuTime:
        total, user, system = (
            int((self._cpuacct / name).read_text()) / 1e9
            for name in ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys")
        )
        throttled = parse_flat((self._cpu / "cpu.stat").read_text()).get("throttled_time", 0) / 1e9
        return CpuTime.divided(max(total - self._passing_cpu, 0.0), user, system, throttled)

    def memory_limit(self) -> int | None:
        limit = int((self._memory / "memory.limit_in_bytes").read_text())
        return None if limit >= _NO_LIMIT else limit

    def cpu_quota(self) -> float | None:
        quota_file = self._cpu / "cpu.cfs_quota_us"
        if not quota_file.exists():  # a kernel that has no quotas
            return None
        share = int(quota_file.read_text())
        return None if share < 0 else share / int((self._cpu / "cpu.cfs_period_us").read_text())

    def oom_kills(self) -> int:
        return parse_flat((self._memory / "memory.oom_control").read_text()).get("oom_kill", 0)

    def io(self) -> IoUsage | None:
        if self._io_directory is None:
            return None
        service_bytes = (self._io_directory / "blkio.throttle.io_service_bytes_recursive").read_text()
        serviced = (self._io_directory / "blkio.throttle.io_serviced_recursive").read_text()
        return parse_blkio(service_bytes, serviced, is_at_the_bottom)

    def pressure(self) -> dict[str, float]:
        return {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Afterwards the thread is in the run's cgroup, and to end there: it may not be allowed to go back farther."""
        try:
            for file in self.thread_files:
                write(file, "0")
            # What joining took is not the instance's, nor is what this thread takes from here on.
            write(self._cpuacct / "cpuacct.usage", "0")
            began = time.thread_time()
            yield
            write(self._cpuacct.parent / "tasks", "0")
            self._passing_cpu += time.thread_time() - began
        finally:
            # Not by the end of the thread: until that is over, a kill of all in the cgroup would be one of ourselves.
            for file in self.thread_files:
                write(file.parent.parent / "tasks", "0")

    def _limit_io(self, number: str, limits: IoLimits) -> None:
        if self._blkio is None:
            raise HostError("no cgroup controller blkio to limit I/O")
        for limit, file in IO_FILES.items():
            asked = getattr(limits, limit)
            if asked is not None:
                write(self._blkio / file, f"{number} {asked}")

    def _signal_all(self) -> None:
        # A frozen process cannot fork while the list is read; it dies of the signal as it is thawed.
        assert self._freezer is not None, "only cgroups of our own are cleared"
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

    version: ClassVar[int] = 1

    _CONTROL_FILES: ClassVar = {
        "cpus": ("cpu", "cpu.cfs_quota_us"),
        "cpu_weight": ("cpu", "cpu.shares"),
        "memory_swap": ("memory", "memory.memsw.limit_in_bytes"),
        "pids": ("pids", "pids.max"),
        "io": ("blkio", "blkio.throttle.read_bps_device"),
    }

    def __init__(
        self,
        by_controller: Mapping[str, Path],
        devices: Path | None = None,
        others: Mapping[str, Path] | None = None,
        unified_top: Path | None = None,
    ) -> None:
        """A run with directories of its own.

        Args:
            by_controller: the run's directories.
            devices: that in the hierarchy of the controller ``devices``, if it is ours to use: not every instance has
                one there.
            others: where the run's directories would be in all other hierarchies, which only container engines use.
            unified_top: where version 2 is mounted beside the others; ``others`` has the directory in it as ``""``.
        """
        super().__init__(list(dict.fromkeys([*by_controller.values(), *([devices] if devices else [])])))
        self._by_controller = by_controller
        self._devices = devices
        self._others = others or {}
        self._making = threading.Lock()
        self._unified_top = unified_top
        self._io_accounted = False

    def account_io(self, *paths: Path) -> None:
        blkio = self._by_controller.get("blkio")
        disks = [disks_that_hold(path) for path in paths]
        if blkio is None or not all(disks):
            return
        # From Linux 6.10 on, the kernel counts nothing on a disk before somebody has written a limit for it; 0 is none.
        for number in sorted(set().union(*disks)):
            try:
                write(blkio / IO_FILES["read_bytes"], f"{number} 0")
            except HostError:
                return
        self._io_accounted = True

    def _controller(self, name: str) -> Path | None:
        return self._by_controller.get(name)

    @staticmethod
    def _limit_at(limit: str, directory: Path) -> float | None:
        if limit == "cpus":
            share, period = (int((directory / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            return share / period if share > 0 else None
        return parse_limit((directory / {"memory": "memory.limit_in_bytes", "pids": "pids.max"}[limit]).read_text())

    def _how_to_get(self, controller: str) -> str:
        return (
            f"mount it below /sys/fs/cgroup (mount -t cgroup -o {controller}), or have our cgroup in it made over to "
            "this user; see cgroup_disable= and cgroup_no_v1= on the kernel command line"
        )

    def _read_cpus(self) -> tuple[int, ...]:
        return parse_cpus((self._by_controller["cpuset"] / "cpuset.cpus").read_text())

    def _cpu_seconds(self) -> float:
        return int((self._by_controller["cpuacct"] / "cpuacct.usage").read_text()) / 1e9

    def new(self, name: str, limits: Limits | None, *, cpus: tuple[int, ...] = (), memory_limit: bool = True) -> Cgroup:
        if limits is not None:
            self.check_limits(limits)
        directories = {controller: parent / name for controller, parent in self._by_controller.items()}
        _make_directories(directories)
        cgroup = self._cgroup(name, directories)
        try:
            self._limit(directories, limits, cpus, memory_limit=memory_limit)
        except HostError:
            cgroup.remove()
            raise
        return cgroup

    def new_tree(self, name: str, *, cpu_weight: int | None = None, daemon: DaemonTree | None = None) -> CgroupTree:
        parents = self._everywhere()
        if daemon is not None:
            parents = self._instances_of(daemon.whole.name, daemon.path)
        directories = {controller: parent / name for controller, parent in parents.items()}
        cgroup = self._new_with_cpuset(name, directories)
        try:
            _set_weight(directories["cpu"], cpu_weight)
        except HostError:
            cgroup.remove()
            raise
        if daemon is not None:
            return CgroupTree(cgroup, cgroup, f"{daemon.path}/{name}")
        beside = self._unified_path(name) if "" in directories else None
        return CgroupTree(cgroup, cgroup, None, beside)

    def new_daemon_tree(self, name: str) -> DaemonTree:
        whole = self._new_with_cpuset(name, {key: parent / name for key, parent in self._everywhere().items()})
        path = _INSTANCES
        if "" in self._others:
            # As of an OCI runtime, see CgroupTree: so the path from there is the path from everywhere.
            path = f"{self._unified_path(name)}/{_INSTANCES}"
        directories = self._instances_of(name, path)
        try:
            for depth in reversed(range(len(Path(path).parts))):
                _make_directories({key: _above(made, depth) for key, made in directories.items() if key})
                copy_cpuset(_above(directories["cpuset"], depth), ())
            if "" in directories:
                make_directory(directories[""])
        except HostError:
            whole.remove()
            raise
        return DaemonTree(whole, whole, self._cgroup(_INSTANCES, directories), path)

    def keep_tree_to(self, tree: DaemonTree, cpus: tuple[int, ...]) -> None:
        upwards = self._path_to_instances("cpuset", tree)
        before = parse_cpus((upwards[0] / "cpuset.cpus").read_text())
        # What is below must at all times be part of what is above (cpusets(7)).
        for directory in reversed(upwards):
            write(directory / "cpuset.cpus", format_cpus({*before, *cpus}))
        for directory in upwards:
            write(directory / "cpuset.cpus", format_cpus(cpus))

    def _weigh(self, daemon: DaemonTree, cpu_weight: int) -> None:
        for directory in self._path_to_instances("cpu", daemon):
            _set_weight(directory, cpu_weight)

    def _path_to_instances(self, controller: str, daemon: DaemonTree) -> list[Path]:
        """The directories from that of a daemon's instances up to its own."""
        top = self._by_controller[controller] / daemon.whole.name
        bottom = top / daemon.path
        return [bottom, *bottom.parents][: len(bottom.relative_to(top).parts) + 1]

    def _everywhere(self) -> dict[str, Path]:
        """The run's directories in all hierarchies: an engine makes a cgroup below its own in each."""
        with self._making:
            for parent in dict.fromkeys(self._others.values()):
                if parent not in self.directories:
                    # Noted first: what is half made is removed as well.
                    self.directories.append(parent)
                    parent.mkdir(exist_ok=True)
        return {**self._by_controller, **({DEVICES: self._devices} if self._devices else {}), **self._others}

    def _unified_path(self, name: str) -> str:
        """From the top of version 2 beside the others to the run's cgroup of this name there."""
        assert self._unified_top is not None
        return str((self._others[""] / name).relative_to(self._unified_top))

    def _instances_of(self, daemon: str, path: str) -> dict[str, Path]:
        """Where the trees of a daemon's instances are, by its name and :attr:`DaemonTree.path`."""
        return {key: parent / daemon / (path if key else _INSTANCES) for key, parent in self._everywhere().items()}

    def _new_with_cpuset(self, name: str, directories: Mapping[str, Path]) -> CgroupV1:
        _make_directories(directories)
        cgroup = self._cgroup(name, directories)
        try:
            copy_cpuset(directories["cpuset"], ())
        except HostError:
            cgroup.remove()
            raise
        return cgroup

    def _cgroup(self, name: str, directories: Mapping[str, Path]) -> CgroupV1:
        return CgroupV1(name, directories, directories["blkio"] if self._io_accounted else None)

    def limit_tree(self, tree: CgroupTree, limits: Limits, cpus: tuple[int, ...]) -> None:
        directories = {controller: parent / tree.whole.name for controller, parent in self._by_controller.items()}
        self._limit(directories, limits, cpus, memory_limit=True)

    @property
    def accounts_for_swap(self) -> bool:
        return (self._by_controller["memory"] / "memory.memsw.limit_in_bytes").exists()

    @contextmanager
    def device_filter(self) -> Iterator[DeviceFilter]:
        if self._devices is None:
            raise HostError(f"no cgroup controller devices to filter devices with: {self._how_to_get('devices')}")
        directory = self._devices / f"filter-{secrets.token_hex(4)}"
        make_directory(directory)
        try:
            yield DirectoryFilter(directory)
        finally:
            remove_directories([directory])

    def _limit(
        self, directories: Mapping[str, Path], limits: Limits | None, cpus: tuple[int, ...], *, memory_limit: bool
    ) -> None:
        copy_cpuset(directories["cpuset"], cpus)
        if limits is None:
            return
        if quota(limits.cpus) is not None:
            write(directories["cpu"] / "cpu.cfs_period_us", str(QUOTA_PERIOD))
            write(directories["cpu"] / "cpu.cfs_quota_us", str(quota(limits.cpus)))
        _set_weight(directories["cpu"], limits.cpu_weight)
        if limits.pids is not None:
            write(directories["pids"] / "pids.max", str(limits.pids))
        if memory_limit:
            write(directories["memory"] / "memory.limit_in_bytes", str(limits.memory))
            # One counter for memory and swap together. The file is missing where swap is not accounted for.
            both = directories["memory"] / "memory.memsw.limit_in_bytes"
            if both.exists():
                write(both, str(limits.memory + limits.memory_swap))


def _set_weight(directory: Path, weight: int | None) -> None:
    if weight is not None:
        write(directory / "cpu.shares", str(min(cpu_shares(weight), _MOST_SHARES)))


def cpu_shares(weight: int) -> int:
    """A weight, as :class:`runtimes.base.Limits` has it, in the terms of version 1."""
    return round(weight * _SHARES_PER_WEIGHT)


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
    for controller in (*OPTIONAL_CONTROLLERS[1], DEVICES):
        # Not mounted, or not made over to this user: only who needs it makes that an error.
        with contextlib.suppress(KeyError, HostError):
            directory = found.v1[controller] / run
            if directory not in directories.values():
                make_directory(directory)
            directories[controller] = directory
    unified = {"": found.v2} if found.v2 is not None else {}
    others = {name: above / run for name, above in {**found.v1, **unified}.items() if name not in directories}
    return RunCgroupsV1(directories, directories.pop(DEVICES, None), others, found.v2_top)


def copy_cpuset(directory: Path, cpus: tuple[int, ...]) -> None:
    """Fill a new cpuset, which refuses processes until it has CPUs and memory nodes; by default the parent's."""
    write(directory / "cpuset.mems", (directory.parent / "cpuset.mems").read_text().strip())
    write(directory / "cpuset.cpus", format_cpus(cpus) or (directory.parent / "cpuset.cpus").read_text().strip())


def _above(directory: Path, levels: int) -> Path:
    return directory.parents[levels - 1] if levels else directory


def _make_directories(directories: Mapping[str, Path]) -> None:
    made: list[Path] = []
    try:
        for directory in dict.fromkeys(directories.values()):
            make_directory(directory)
            made.append(directory)
    except HostError:
        remove_directories(made)
        raise
