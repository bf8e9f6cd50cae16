"""Cgroups of version 2: one hierarchy, controllers switched on level by level (kernel documentation,
admin-guide/cgroup-v2).

A cgroup that hands controllers to those below it may hold no processes itself, the root excepted ("no internal
processes"). So a run's cgroup goes beneath the nearest cgroup, from our own upwards, that can hand out what we need:
our own one if it is delegated to us and nobody but us is in it (we move into a leaf of it for the time of the run),
else one above it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from runtimes.base import HostError, IoLimits, IoUsage, Limits
from runtimes.cgroup.base import QUOTA_PERIOD, Cgroup, RunCgroups, harness_leaf, parse_limit, quota
from runtimes.cgroup.devices import DeviceFilter, ProgramFilter
from runtimes.cgroup.directories import make_directory, pids_below, remove_directories, settled_memory_statistics, write
from runtimes.cgroup.disks import is_at_the_bottom
from runtimes.cgroup.figures import CpuTime, parse_flat, parse_io_stat, parse_pressure
from runtimes.cgroup.hierarchy import OPTIONAL_CONTROLLERS, REQUIRED_CONTROLLERS, Hierarchies
from runtimes.cgroup.tree import CgroupTree, DaemonTree
from runtimes.topology import format_cpus, parse_cpus

_REQUIRED = REQUIRED_CONTROLLERS[2]

_HELPERS = "helpers"
"""Beside the cgroup of an engine's container, and beside those of a daemon's instances."""

_HIGHEST_WEIGHT = 10_000
"""CGROUP_WEIGHT_MAX in linux/cgroup.h."""

_INSTANCES = "instances"
"""Below the cgroup of a daemon."""

_PARTS = {
    "anon": "anon",
    "file": "file",
    "shmem": "shmem",
    "file_mapped": "file_mapped",
    "kernel": "kernel",  # from Linux 5.18
    "slab": "slab",
    "slab_reclaimable": "slab_reclaimable",
    "kernel_stack": "kernel_stack",
    "pagetables": "page_tables",
    "sec_pagetables": "sec_page_tables",  # from Linux 6.1: those of KVM
    "sock": "sock",
}


_KERNEL_PARTS = ("slab", "kernel_stack", "pagetables", "percpu", "vmalloc")
"""What makes up the kernel's own memory, before Linux 5.18 told it as one."""

IO_KEYS = {"read_bytes": "rbps", "write_bytes": "wbps", "read_ops": "riops", "write_ops": "wiops"}
"""The keys of ``io.max``."""


class CgroupV2(Cgroup):
    """One instance's directory, and which controllers are at work in it."""

    def __init__(self, name: str, directory: Path, controllers: Collection[str] = _REQUIRED) -> None:
        super().__init__(
            name, [directory], clone_into=directory, pids_directory=directory if "pids" in controllers else None
        )
        self._directory = directory
        self._controllers = controllers
        self._highest_seen = 0

    def current(self) -> int:
        now = int((self._directory / "memory.current").read_text())
        self._highest_seen = max(self._highest_seen, now)
        return now

    def peak(self) -> int:
        """The highest charge so far, bytes.

        The kernel tells it from Linux 5.19 on; before that it is the highest that ``current`` has returned.
        """
        file = self._directory / "memory.peak"
        if file.exists():
            return int(file.read_text())
        self.current()
        return self._highest_seen

    def split(self) -> dict[str, int]:
        # Until Linux 6.15 all figures of a cgroup are added up together, and for those of CPU time always
        # (cgroup_rstat_flush in kernel/cgroup/rstat.c).
        (self._directory / "cpu.stat").read_bytes()
        return self._parts(settled_memory_statistics(self._directory))

    def quick_split(self) -> dict[str, int]:
        return self._parts(parse_flat((self._directory / "memory.stat").read_text()))

    @staticmethod
    def _parts(figures: Mapping[str, int]) -> dict[str, int]:
        parts = {ours: figures[theirs] for theirs, ours in _PARTS.items() if theirs in figures}
        if "kernel" not in parts:
            parts["kernel"] = sum(figures.get(each, 0) for each in _KERNEL_PARTS)
        return parts

    def cpu(self) -> CpuTime:
        figures = parse_flat((self._directory / "cpu.stat").read_text())
        names = ("usage_usec", "user_usec", "system_usec", "throttled_usec")
        return CpuTime(*(figures.get(name, 0) / 1e6 for name in names))

    def memory_limit(self) -> int | None:
        return parse_limit((self._directory / "memory.max").read_text())

    def cpu_quota(self) -> float | None:
        share, period = (self._directory / "cpu.max").read_text().split()
        return None if share == "max" else int(share) / int(period)

    def oom_kills(self) -> int:
        return parse_flat((self._directory / "memory.events").read_text())["oom_kill"]

    def io(self) -> IoUsage | None:
        if "io" not in self._controllers:
            return None
        return parse_io_stat((self._directory / "io.stat").read_text(), is_at_the_bottom)

    def pressure(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for resource in ("cpu", "memory", "io"):
            try:
                waited = parse_pressure((self._directory / f"{resource}.pressure").read_text())
            except OSError as error:
                # Built without, or switched off on the kernel's command line or by cgroup.pressure.
                if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                    raise
            else:
                found |= {} if waited is None else {resource: waited}
        return found

    def _limit_io(self, number: str, limits: IoLimits) -> None:
        asked = {key: getattr(limits, limit) for limit, key in IO_KEYS.items()}
        given = " ".join(f"{key}={value}" for key, value in asked.items() if value is not None)
        write(self._directory / "io.max", f"{number} {given}")

    def _signal_all(self) -> None:
        kill = self._directory / "cgroup.kill"
        if kill.exists():  # from Linux 5.14 on
            kill.write_text("1")
            return
        # A frozen process cannot fork while the list is read, and dies of the signal although it is frozen.
        freeze = self._directory / "cgroup.freeze"
        freeze.write_text("1")
        try:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            freeze.write_text("0")


class RunCgroupsV2(RunCgroups):
    """A run's directory, the controllers at work below it, and what had to be changed above it."""

    version: ClassVar[int] = 2

    _CONTROL_FILES: ClassVar = {
        "cpus": ("cpu", "cpu.max"),
        "cpu_weight": ("cpu", "cpu.weight"),
        "memory_swap": ("memory", "memory.swap.max"),
        "pids": ("pids", "pids.max"),
        "io": ("io", "io.max"),
    }

    def __init__(self, directory: Path, controllers: Collection[str], handed_down: _HandedDown, top: Path) -> None:
        """``top`` is where the hierarchy is mounted."""
        super().__init__([directory])
        self._top = top
        self._directory = directory
        self._controllers = controllers
        self._handed_down = handed_down
        self._has_engines = False

    def _controller(self, name: str) -> Path | None:
        return self._directory if name in self._controllers else None

    @staticmethod
    def _limit_at(limit: str, directory: Path) -> float | None:
        if limit == "cpus":
            share, period = (directory / "cpu.max").read_text().split()
            return None if share == "max" else int(share) / int(period)
        return parse_limit((directory / f"{limit}.max").read_text())

    def _how_to_get(self, controller: str) -> str:
        return (
            f"be root, or have it handed down: name {controller} in Delegate= of the unit that we run in "
            "(systemd.resource-control(5)), or switch it on in cgroup.subtree_control above"
        )

    def _read_cpus(self) -> tuple[int, ...]:
        return parse_cpus((self._directory / "cpuset.cpus.effective").read_text())

    def _cpu_seconds(self) -> float:
        return parse_flat((self._directory / "cpu.stat").read_text()).get("usage_usec", 0) / 1e6

    def new(self, name: str, limits: Limits | None, *, cpus: tuple[int, ...] = (), memory_limit: bool = True) -> Cgroup:
        if limits is not None:
            self.check_limits(limits)
        directory = self._directory / name
        make_directory(directory)
        cgroup = CgroupV2(name, directory, self._controllers)
        try:
            if limits is not None:
                self._limit(directory, limits, cpus, memory_limit=memory_limit)
        except HostError:
            cgroup.remove()
            raise
        return cgroup

    def new_tree(self, name: str, *, cpu_weight: int | None = None, daemon: DaemonTree | None = None) -> CgroupTree:
        above = self._directory if daemon is None else self._top / daemon.path.lstrip("/")
        whole, helpers = self._new_with_helpers(name, above / name)
        directory = above / name
        try:
            if cpu_weight is not None:
                write(directory / "cpu.weight", str(cpu_weight))
        except HostError:
            whole.remove()
            raise
        return CgroupTree(whole, helpers, f"/{directory.relative_to(self._top)}")

    def new_daemon_tree(self, name: str) -> DaemonTree:
        whole, helpers = self._new_with_helpers(name, self._directory / name)
        directory = self._directory / name / _INSTANCES
        try:
            make_directory(directory)
            write(directory / "cgroup.subtree_control", _change("+", tuple(self._controllers)))
        except HostError:
            whole.remove()
            raise
        instances = CgroupV2(_INSTANCES, directory, self._controllers)
        return DaemonTree(whole, helpers, instances, f"/{directory.relative_to(self._top)}")

    def keep_tree_to(self, tree: DaemonTree, cpus: tuple[int, ...]) -> None:
        # Those below have no set of their own, so they have this one.
        write(self._directory / tree.whole.name / "cpuset.cpus", format_cpus(cpus))

    def _weigh(self, daemon: DaemonTree, cpu_weight: int) -> None:
        instances = self._top / daemon.path.lstrip("/")
        for directory in (instances.parent, instances):
            write(directory / "cpu.weight", str(min(cpu_weight, _HIGHEST_WEIGHT)))

    def _new_with_helpers(self, name: str, directory: Path) -> tuple[CgroupV2, CgroupV2]:
        """A cgroup that hands its controllers down, and in it a leaf: who does so may hold no processes."""
        self._has_engines = True
        make_directory(directory)
        whole = CgroupV2(name, directory, self._controllers)
        try:
            write(directory / "cgroup.subtree_control", _change("+", tuple(self._controllers)))
            make_directory(directory / _HELPERS)
        except HostError:
            whole.remove()
            raise
        return whole, CgroupV2(_HELPERS, directory / _HELPERS, self._controllers)

    def limit_tree(self, tree: CgroupTree, limits: Limits, cpus: tuple[int, ...]) -> None:
        self._limit(self._directory / tree.whole.name, limits, cpus, memory_limit=True)

    @property
    def accounts_for_swap(self) -> bool:
        return (self._directory / "memory.swap.max").exists()

    def _limit(self, directory: Path, limits: Limits, cpus: tuple[int, ...], *, memory_limit: bool) -> None:
        if cpus:
            write(directory / "cpuset.cpus", format_cpus(cpus))
        if quota(limits.cpus) is not None:
            write(directory / "cpu.max", f"{quota(limits.cpus)} {QUOTA_PERIOD}")
        if limits.cpu_weight is not None:
            write(directory / "cpu.weight", str(limits.cpu_weight))
        if limits.pids is not None:
            write(directory / "pids.max", str(limits.pids))
        if memory_limit:
            write(directory / "memory.max", str(limits.memory))
            # The file is missing where swap is not accounted for.
            swap = directory / "memory.swap.max"
            if swap.exists():
                write(swap, str(limits.memory_swap))

    @contextmanager
    def device_filter(self) -> Iterator[DeviceFilter]:
        with closing(ProgramFilter()) as filters:
            yield filters

    def remove(self) -> None:
        try:
            super().remove()
        finally:
            self._handed_down.undo(all_the_way_up=self._has_engines)


def make_run_cgroups_v2(found: Hierarchies, run: str) -> RunCgroups:
    """Make a run's cgroup with the controllers handed down to it.

    Raises:
        HostError: no cgroup from our own upwards can hand them out.
    """
    refusals: list[str] = []
    for parent in found.own_and_above():
        try:
            assert found.v2_top is not None
            return _make_below(parent, run, found.v2_top)
        except HostError as error:
            refusals.append(str(error))
    raise HostError(
        f"no cgroup can hand down {', '.join(_REQUIRED)} ({'; '.join(refusals)}); be root, or start with "
        "`systemd-run --user --scope -p Delegate=yes bench …`"
    )


def _make_below(parent: Path, run: str, top: Path) -> RunCgroups:
    available = set((parent / "cgroup.controllers").read_text().split())
    missing = set(_REQUIRED) - available
    if missing:
        raise HostError(f"{parent}: has no controller {', '.join(sorted(missing))}")
    controllers = (*_REQUIRED, *(controller for controller in OPTIONAL_CONTROLLERS[2] if controller in available))
    handed_down = _hand_down(parent, run, controllers)
    directory = parent / run
    try:
        make_directory(directory)
        write(directory / "cgroup.subtree_control", _change("+", controllers))
    except HostError:
        remove_directories([directory])
        handed_down.undo()
        raise
    return RunCgroupsV2(directory, controllers, handed_down, top)


@dataclass(frozen=True, slots=True)
class _HandedDown:
    """What was changed at ``parent`` to hand controllers down, and what the cgroups above handed down before.

    Attributes:
        parent: the cgroup above the run's.
        controllers: those that were not handed down before.
        before: by ``cgroup.subtree_control`` of it and of all above it, from below, what was handed down.
        leaf: where the processes of ``parent``, all ours, were moved; None if they need not be.
    """

    parent: Path
    controllers: tuple[str, ...]
    before: Mapping[Path, frozenset[str]]
    leaf: Path | None

    def undo(self, *, all_the_way_up: bool = False) -> None:
        """Have it as it was.

        Args:
            all_the_way_up: whether programs of others ran below, which switch on all controllers that there are, from
                the top downwards, as OCI runtimes and LXC do. Without them it is only taken back what is ours: somebody
                else may have switched on something meanwhile.
        """
        changed = {self.parent / "cgroup.subtree_control": self.controllers}
        if all_the_way_up:
            changed = {file: tuple(sorted(_read_controllers(file) - handed)) for file, handed in self.before.items()}
        # From below, as a cgroup cannot take back what is handed on. The kernel refuses while another cgroup below,
        # such as that of a run which came later, has them on.
        for control, controllers in changed.items():
            if controllers:
                with contextlib.suppress(HostError):
                    write(control, _change("-", controllers))
        if self.leaf is not None:
            while pids_below(self.leaf):
                _move_processes(self.leaf, self.parent)
            remove_directories([self.leaf])


def _handed_down_now(directory: Path) -> dict[Path, frozenset[str]]:
    """What a cgroup and those above it hand down, by their control files, from below."""
    found: dict[Path, frozenset[str]] = {}
    for path in (directory, *directory.parents):
        control = path / "cgroup.subtree_control"
        if not control.exists():
            break
        found[control] = _read_controllers(control)
    return found


def _read_controllers(control: Path) -> frozenset[str]:
    return frozenset(control.read_text().split())


def _change(sign: str, controllers: tuple[str, ...]) -> str:
    return " ".join(f"{sign}{controller}" for controller in controllers)


def _hand_down(parent: Path, run: str, controllers: tuple[str, ...]) -> _HandedDown:
    """Switch the controllers on for the cgroups below ``parent``.

    Raises:
        HostError: ``parent`` cannot hand them down.
    """
    control = parent / "cgroup.subtree_control"
    before = _handed_down_now(parent)
    missing = tuple(controller for controller in controllers if controller not in before[control])
    if not missing:
        return _HandedDown(parent, (), before, None)
    try:
        control.write_text(_change("+", missing))
    except OSError as error:
        if error.errno != errno.EBUSY or not _only_ours(parent):
            raise HostError(f"{parent}: {error.strerror}") from error
    else:
        return _HandedDown(parent, missing, before, None)
    leaf = parent / harness_leaf(run)
    make_directory(leaf)
    handed_down = _HandedDown(parent, missing, before, leaf)
    try:
        _move_processes(parent, leaf)
        write(control, _change("+", missing))
    except HostError:
        handed_down.undo()
        raise
    return handed_down


def _only_ours(directory: Path) -> bool:
    """Whether nobody is in the cgroup but this process and its children; others' are not ours to move."""
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    return set(_processes(directory)) <= ours


def _processes(directory: Path) -> list[int]:
    return [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]


def _move_processes(source: Path, target: Path) -> None:
    for pid in _processes(source):
        with contextlib.suppress(ProcessLookupError):
            write(target / "cgroup.procs", str(pid))
