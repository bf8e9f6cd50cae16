"""What a cgroup of an instance can do, whichever version the host has."""

from __future__ import annotations

import errno
import functools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil

from runtimes.base import HostError, IoLimits, IoUsage, Limits
from runtimes.cgroup.devices import DeviceFilter
from runtimes.cgroup.directories import eventually, kill_below, pids_below, remove_directories
from runtimes.cgroup.disks import number_of
from runtimes.cgroup.figures import CpuTime, parse_flat

if TYPE_CHECKING:
    from runtimes.cgroup.tree import CgroupTree, DaemonTree

DEFAULT_WEIGHT = 100
"""Of the CPU time that others want too, where none is asked for (``CGROUP_WEIGHT_DFL`` in linux/cgroup.h)."""

QUOTA_PERIOD = 100_000
"""Microseconds over which a fraction of a CPU is given; the kernel's default."""

_KERNEL_OPTIONS = {
    "cpus": "a fraction of a CPU needs one with CONFIG_CFS_BANDWIDTH",
    "cpu_weight": "it needs one with CONFIG_FAIR_GROUP_SCHED",
    "memory_swap": "it needs one that accounts for swap (CONFIG_SWAP; swapaccount=1 on its command line)",
    "pids": "it needs one with CONFIG_CGROUP_PIDS",
    "io": "it needs one with CONFIG_BLK_DEV_THROTTLING",
}
"""What a kernel needs to have the files of ``_CONTROL_FILES``, by limit (kernel documentation, Kconfig)."""


class Cgroup(ABC):
    """The cgroup of one instance, in every hierarchy that is used.

    Attributes:
        name: last part of its path.
        procs_files: a process that writes ``0``, or is written by its pid, into each of them joins with all its
            threads.
        thread_files: a process with one thread that writes ``0`` into each of them joins; on version 1 this is much
            faster, as the kernel need not stop everybody else from forking, for which it waits some milliseconds.
        clone_into: the directory in which clone3 can start a process at once (version 2), or None.
        files_to_join: those of ``thread_files`` that are left for a process that was started in ``clone_into``.
    """

    def __init__(
        self, name: str, directories: list[Path], clone_into: Path | None, pids_directory: Path | None
    ) -> None:
        self.name = name
        self.clone_into = clone_into
        self._directories = directories
        self._pids_directory = pids_directory
        self.procs_files = [directory / "cgroup.procs" for directory in directories]
        self.thread_files = self.procs_files
        self.files_to_join = [] if clone_into is not None else self.thread_files

    @abstractmethod
    def current(self) -> int:
        """Bytes charged now."""

    @abstractmethod
    def peak(self) -> int:
        """The highest charge so far, bytes."""

    @abstractmethod
    def split(self) -> dict[str, int]:
        """The charge by part, bytes: ``anon``, ``file`` (page cache, tmpfs included), ``shmem`` (tmpfs alone),
        ``file_mapped``, ``kernel``, and where the kernel tells them, which version 1 does not, the parts of ``kernel``
        (``slab``, of it ``slab_reclaimable``, ``kernel_stack``, ``page_tables``, ``sec_page_tables``) and ``sock``, the
        buffers of sockets.
        """

    @abstractmethod
    def quick_split(self) -> dict[str, int]:
        """The same as cheaply as can be, to be read often: it lags behind by up to 64 pages a CPU, see
        :func:`settled_memory_statistics`.
        """

    @abstractmethod
    def cpu(self) -> CpuTime:
        """CPU time of all processes that are or were in it."""

    @abstractmethod
    def oom_kills(self) -> int:
        """How many processes the kernel killed because the cgroup was at its limit."""

    @abstractmethod
    def memory_limit(self) -> int | None:
        """Bytes that its processes may have, as the kernel tells it; None for no limit of its own."""

    @abstractmethod
    def cpu_quota(self) -> float | None:
        """CPUs whose time its processes may have, as the kernel tells it; None for no limit of its own."""

    def pids_peak(self) -> int | None:
        """The most processes and threads there were in it at once; None where the kernel does not tell it.

        It does from Linux 6.1 on, with the controller ``pids``.
        """
        file = self._pids_directory / "pids.peak" if self._pids_directory else None
        return int(file.read_text()) if file and file.exists() else None

    def pids_limit_hits(self) -> int:
        """How often a process or thread was refused because of the limit on their number.

        Until Linux 6.11 the kernel told it of the cgroup that the process was in, and not of the one with the limit.
        """
        hits = 0
        for path, _, _ in os.walk(self._pids_directory) if self._pids_directory else ():
            try:
                hits += parse_flat(Path(path, "pids.events").read_text())["max"]
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):  # removed meanwhile
                    raise
        return hits

    @abstractmethod
    def io(self) -> IoUsage | None:
        """What it has read from and written to disks; None where the kernel does not tell it."""

    @abstractmethod
    def pressure(self) -> dict[str, float]:
        """Seconds in which at least one of its tasks waited, by ``cpu``, ``memory`` and ``io``.

        Empty on version 1, and where the kernel does not keep these figures.
        """

    def limit_io(self, device: Path, limits: IoLimits) -> None:
        """Limit what its processes read from and write to a block device.

        Args:
            device: the instance's scratch disk; a whole disk, no partition.
            limits: those that are None are not set.

        Raises:
            HostError: there is no such device, or the kernel refused.
        """
        if limits == IoLimits():
            return
        try:
            number = number_of(device)
        except OSError as error:
            raise HostError(f"cannot limit the I/O of {device}: {error}") from error
        self._limit_io(number, limits)

    @abstractmethod
    def _limit_io(self, number: str, limits: IoLimits) -> None:
        """Limit the device with a ``MAJOR:MINOR``."""

    @abstractmethod
    def _signal_all(self) -> None:
        """Send SIGKILL to every process in it, leaving none the time to fork."""

    def entered(self) -> AbstractContextManager[None]:
        """Have the calling thread where the processes that it makes are in this cgroup, as long as the context is open.

        It is to be a thread that is made for this, and ends afterwards. With version 2 there is no such place for one
        thread of several: a process is made in ``clone_into``.
        """
        return nullcontext()

    def pids(self) -> list[int]:
        """The processes in it, and in cgroups below it, now."""
        return pids_below(self._directories[0])

    def kill(self) -> None:
        """Kill every process in it and wait until they are gone.

        Raises:
            HostError: some would not go (a process in uninterruptible sleep).
        """

        def gone() -> bool:
            if not self.pids():
                return True
            self._signal_all()
            return False

        if not eventually(gone):
            raise HostError(
                f"processes {self.pids()} in cgroup {self._directories[0]} do not end although they were killed"
            )

    def remove(self) -> None:
        """Remove it in every hierarchy; it is no error if it is gone.

        Raises:
            HostError: it is still in use after 10 s.
        """
        remove_directories(self._directories)


class RunCgroups(ABC):
    """The cgroup of a run, which holds those of its instances.

    Attributes:
        directories: the run's own directory in every hierarchy that is used.
    """

    version: ClassVar[int]
    """Of control groups: 1, also where version 2 is mounted beside it, or 2."""

    _CONTROL_FILES: ClassVar[Mapping[str, tuple[str, str]]]
    """By limit, the controller that enforces it and a file of that controller which is then there."""

    def __init__(self, directories: list[Path]) -> None:
        self.directories = directories
        self._known: set[Limits] = set()
        self._weighing = threading.Lock()
        self._weights: dict[str, list[int]] = {}
        self._elsewhere: dict[str, float] = {}

    @abstractmethod
    def new(self, name: str, limits: Limits | None, *, cpus: tuple[int, ...] = (), memory_limit: bool = True) -> Cgroup:
        """Make an instance's cgroup.

        Args:
            name: unique in the run.
            limits: what its processes may use, but for the network, and for disks, see :meth:`Cgroup.limit_io`; None
                for no limits.
            cpus: its CPU set; empty for all that the run may use.
            memory_limit: whether ``limits.memory`` and ``limits.memory_swap`` are set on the cgroup. For a guest it is
                the size of the guest's memory, and the VMM needs more than that.

        Raises:
            HostError: the host cannot give these limits.
        """

    @abstractmethod
    def new_tree(self, name: str, *, cpu_weight: int | None = None, daemon: DaemonTree | None = None) -> CgroupTree:
        """Make the cgroup of an instance that a container engine starts; the engine sets the limits on the container's.

        Args:
            name: unique in the run.
            cpu_weight: as in :class:`runtimes.base.Limits`; instances share CPUs by the weights of their trees.
            daemon: the cgroups of the daemon that makes the container; None where a program does that is started in
                the tree's ``helpers``.

        Raises:
            HostError: the host refused.
        """

    @abstractmethod
    def new_daemon_tree(self, name: str) -> DaemonTree:
        """Make the cgroups of an engine's daemon and of its instances.

        Args:
            name: unique in the run.

        Raises:
            HostError: the host refused.
        """

    @abstractmethod
    def keep_tree_to(self, tree: DaemonTree, cpus: tuple[int, ...]) -> None:
        """Have a daemon, all that it starts, and the trees of instances that are made below from now on, run on these
        CPUs alone. It has no instance yet, or none any more.

        Args:
            tree: what :meth:`new_daemon_tree` gave.
            cpus: of those that the run may use.

        Raises:
            HostError: the host refused.
        """

    @abstractmethod
    def limit_tree(self, tree: CgroupTree, limits: Limits, cpus: tuple[int, ...]) -> None:
        """Set limits on all of an instance, whose engine has none for the container.

        Args:
            tree: what :meth:`new_tree` gave.
            limits: as of :meth:`new`.
            cpus: its CPU set.

        Raises:
            HostError: the host cannot give these limits.
        """

    @contextmanager
    def weighed(self, daemon: DaemonTree, cpu_weight: int | None) -> Iterator[None]:
        """Have the instances of a daemon share CPUs with all others of the run as if they were beside them: together
        they have the sum of their weights. Several threads may do so.

        Args:
            daemon: whose instance is there as long as the context is open.
            cpu_weight: of that instance, as for ``new_tree``.
        """
        weight = DEFAULT_WEIGHT if cpu_weight is None else cpu_weight
        with self._weighing:
            weights = self._weights.setdefault(daemon.path, [])
            weights.append(weight)
            self._weigh(daemon, sum(weights))
        try:
            yield
        finally:
            with self._weighing:
                weights.remove(weight)
                self._weigh(daemon, sum(weights) or DEFAULT_WEIGHT)

    @abstractmethod
    def _weigh(self, daemon: DaemonTree, cpu_weight: int) -> None:
        """Set the weight of a daemon's cgroup, and of that of its instances."""

    @property
    @abstractmethod
    def accounts_for_swap(self) -> bool:
        """Whether swap can be limited."""

    @functools.cached_property
    def _cpus(self) -> tuple[int, ...]:
        return self._read_cpus()

    @abstractmethod
    def _read_cpus(self) -> tuple[int, ...]:
        """The CPUs that the kernel allows the run's cgroup."""

    def cpus(self) -> tuple[int, ...]:
        """The CPUs that processes of this run may be given, as they were when it was first asked."""
        return self._cpus

    @abstractmethod
    def _controller(self, name: str) -> Path | None:
        """The run's directory in the hierarchy of a controller; None where that is not ours to use."""

    @abstractmethod
    def _how_to_get(self, controller: str) -> str:
        """How to have a controller that is missing."""

    @abstractmethod
    def _cpu_seconds(self) -> float:
        """CPU time of all that is or was in the run's cgroup."""

    def cpu_seconds(self) -> float:
        """CPU time of all instances of the run so far, seconds."""
        return self._cpu_seconds() + sum(self._elsewhere.values())

    def note_elsewhere(self, name: str, seconds: float) -> None:
        """Note the CPU time so far of an instance whose cgroup somebody else made, so not below the run's."""
        self._elsewhere[name] = seconds

    def account_io(self, *paths: Path) -> None:  # noqa: B027 - version 2 accounts for all disks unasked
        """Have the kernel account for I/O to the disks that these files lie on.

        To be called before instances are made whose I/O is to be known.
        """

    @abstractmethod
    def device_filter(self) -> AbstractContextManager[DeviceFilter]:
        """What keeps instances to the usual devices, as long as the context is open.

        Raises:
            HostError: this host, or this process, cannot filter devices.
        """

    def check_limits(self, limits: Limits) -> None:
        """Find out, once for equal ones, whether the host can give these limits, the network's aside.

        Raises:
            HostError: it cannot.
        """
        if limits not in self._known:
            self._check_limits(limits)
            self._known.add(limits)

    def _check_limits(self, limits: Limits) -> None:
        available = self.cpus()
        missing = sorted(set(limits.cpuset) - set(available))
        if missing:
            raise HostError(f"cpuset: no CPU {missing[0]} for us on this host; expected CPUs out of {list(available)}")
        count = len(limits.cpuset) or len(available)
        if not 0 < limits.cpus <= count:
            raise HostError(f"cpus: {limits.cpus:g} CPUs cannot be given; expected more than 0 and at most {count}")
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if not 0 < limits.memory <= total:
            raise HostError(f"memory: {limits.memory} bytes of memory cannot be given; the host has {total}")
        self._check_control_files(limits)
        self._check_above(limits)
        if limits.memory_swap and limits.memory_swap > (swap := psutil.swap_memory().total):
            raise HostError(
                f"memory_swap: {limits.memory_swap} bytes of swap cannot be given; "
                f"{f'the host has {swap}' if swap else 'the host has no swap'}: see mkswap(8) and swapon(8)"
            )

    def _check_control_files(self, limits: Limits) -> None:
        asked = {
            "cpus": quota(limits.cpus) is not None,
            "cpu_weight": limits.cpu_weight is not None,
            "memory_swap": limits.memory_swap > 0,
            "pids": limits.pids is not None,
            "io": limits.io != IoLimits(),
        }
        for limit in (name for name, is_asked in asked.items() if is_asked):
            controller, file = self._CONTROL_FILES[limit]
            directory = self._controller(controller)
            if directory is None:
                raise HostError(
                    f"{limit} needs the cgroup controller {controller}, which is not ours to use here; "
                    f"{self._how_to_get(controller)}, or leave this limit out"
                )
            if not (directory / file).exists():
                raise HostError(
                    f"{limit} cannot be enforced: this kernel has no {file}; {_KERNEL_OPTIONS[limit]}, "
                    "or leave this limit out"
                )

    def _check_above(self, limits: Limits) -> None:
        """Limits of the cgroups that the run's lies in hold for its instances too."""
        asked = {"cpus": ("cpu", limits.cpus), "memory": ("memory", limits.memory), "pids": ("pids", limits.pids or 0)}
        for limit, (controller, value) in asked.items():
            directory = self._controller(controller)
            for above in directory.parents if directory else ():
                try:
                    given = self._limit_at(limit, above)
                except FileNotFoundError:
                    break  # the root of the hierarchy, or above it
                if given is not None and value > given:
                    raise HostError(
                        f"{limit}: {value} cannot be given; we are in the cgroup {above}, which has {given}"
                    )

    @staticmethod
    @abstractmethod
    def _limit_at(limit: str, directory: Path) -> float | None:
        """What a cgroup may use: CPUs for ``cpus``, bytes for ``memory``, a number for ``pids``; None for no limit.

        Raises:
            FileNotFoundError: it is the root of its hierarchy, or no cgroup.
        """

    def remove(self) -> None:
        """Kill what is left in it and remove it, in every hierarchy.

        Raises:
            HostError: in some it could not be removed.
        """
        for directory in self.directories:
            kill_below(directory)
        remove_directories(self.directories)


def harness_leaf(run: str) -> str:
    """Name of the cgroup, beside a run's, that the harness itself moves into where version 2 makes it."""
    return f"{run}-harness"


def quota(cpus: float) -> int | None:
    """Microseconds of CPU in every ``QUOTA_PERIOD``; None for a whole number, which the CPU set alone gives."""
    return None if cpus == int(cpus) else round(cpus * QUOTA_PERIOD)


def parse_limit(text: str) -> int | None:
    """A limit as the kernel writes it: a number, or ``max`` for none."""
    return None if text.strip() == "max" else int(text)
