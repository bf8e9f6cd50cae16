"""What a cgroup of an instance can do, whichever version the host has."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runtimes.base import HostError, Limits

_PATIENCE = 10.0
"""Seconds to wait until killed processes are gone and a cgroup without processes can be removed."""

QUOTA_PERIOD = 100_000
"""Microseconds over which a fraction of a CPU is given; the kernel's default."""


class Cgroup(ABC):
    """The cgroup of one instance, in every hierarchy that is used.

    Attributes:
        name: last part of its path.
        procs_files: a process that writes ``0``, or is written by its pid, into each of them joins with all its
            threads.
        thread_files: a process with one thread that writes ``0`` into each of them joins; on version 1 this is much
            faster, as the kernel need not stop everybody else from forking, for which it waits some milliseconds.
        clone_into: the directory in which clone3 can start a process at once (version 2), or None.
    """

    def __init__(self, name: str, directories: list[Path], clone_into: Path | None) -> None:
        self.name = name
        self.clone_into = clone_into
        self._directories = directories
        self.procs_files = [directory / "cgroup.procs" for directory in directories]
        self.thread_files = self.procs_files

    @abstractmethod
    def current(self) -> int:
        """Bytes charged now."""

    @abstractmethod
    def peak(self) -> int:
        """The highest charge so far, bytes."""

    @abstractmethod
    def split(self) -> dict[str, int]:
        """The charge by part, bytes: ``anon``, ``file`` (page cache, tmpfs included), ``shmem`` (tmpfs alone),
        ``file_mapped``, ``kernel``, and where the kernel tells them ``slab``, ``kernel_stack``, ``page_tables``.
        """

    @abstractmethod
    def cpu_seconds(self) -> float:
        """CPU time of all processes that are or were in it."""

    @abstractmethod
    def oom_kills(self) -> int:
        """How many processes the kernel killed because the cgroup was at its limit."""

    @abstractmethod
    def _signal_all(self) -> None:
        """Send SIGKILL to every process in it, leaving none the time to fork."""

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

        if not _eventually(gone):
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

    def __init__(self, directories: list[Path]) -> None:
        self.directories = directories

    @abstractmethod
    def new(self, name: str, limits: Limits | None, *, memory_limit: bool = True) -> Cgroup:
        """Make an instance's cgroup.

        Args:
            name: unique in the run.
            limits: the CPU set, CPU quota and memory that its processes may use; None for no limits.
            memory_limit: whether ``limits.memory`` is set on the cgroup. For a guest it is the size of the guest's
                memory, and the VMM needs more than that.

        Raises:
            HostError: the host cannot give these limits.
        """

    @abstractmethod
    def cpus(self) -> tuple[int, ...]:
        """The CPUs that processes of this run may be given."""

    def check_limits(self, limits: Limits) -> None:
        """Find out whether the host can give these limits.

        Raises:
            HostError: it cannot.
        """
        available = self.cpus()
        missing = sorted(set(limits.cpuset) - set(available))
        if missing:
            raise HostError(f"limits: no CPU {missing[0]} for us on this host; expected CPUs out of {list(available)}")
        count = len(limits.cpuset) or len(available)
        if not 0 < limits.cpus <= count:
            raise HostError(f"limits: {limits.cpus:g} CPUs cannot be given; expected more than 0 and at most {count}")
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if not 0 < limits.memory <= total:
            raise HostError(f"limits: {limits.memory} bytes of memory cannot be given; the host has {total}")

    def instance_cpus(self, limits: Limits) -> tuple[int, ...]:
        """The CPU set that an instance gets: as many as it may use, rounded up, the highest of those it may run on."""
        return (limits.cpuset or self.cpus())[-math.ceil(limits.cpus) :]

    def remove(self) -> None:
        """Kill what is left in it and remove it, in every hierarchy.

        Raises:
            HostError: in some it could not be removed.
        """
        for directory in self.directories:
            _kill_below(directory)
        remove_directories(self.directories)


def harness_leaf(run: str) -> str:
    """Name of the cgroup, beside a run's, that the harness itself moves into where version 2 makes it."""
    return f"{run}-harness"


def quota(cpus: float) -> int | None:
    """Microseconds of CPU in every ``QUOTA_PERIOD``; None for a whole number, which the CPU set alone gives."""
    return None if cpus == int(cpus) else round(cpus * QUOTA_PERIOD)


def clear_directory(directory: Path) -> None:
    """Kill every process in a cgroup directory and below, and remove the directory.

    Raises:
        HostError: it is still in use after 10 s.
    """
    _kill_below(directory)
    remove_directories([directory])


def _kill_below(directory: Path) -> None:
    """Kill every process in a cgroup directory and below, and wait until they are gone, for 10 s at most."""

    def empty() -> bool:
        alive = pids_below(directory)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    _eventually(empty)


def remove_directories(directories: Iterable[Path]) -> None:
    """Remove cgroup directories with those below; the kernel says EBUSY until the last process is wholly gone.

    Raises:
        HostError: some are still in use after 10 s, each named; the others have been removed.
    """
    failures: dict[Path, OSError | None] = dict.fromkeys(directories)

    def removed() -> bool:
        for directory in list(failures):
            try:
                _remove_tree(directory)
            except OSError as error:
                failures[directory] = error
            else:
                del failures[directory]
        return not failures

    if not _eventually(removed):
        raise HostError("; ".join(f"cannot remove cgroup {path}: {error}" for path, error in failures.items()))


def _remove_tree(directory: Path) -> None:
    try:
        for below in reversed(list(_walk(directory))):
            below.rmdir()
    except FileNotFoundError:
        if directory.exists():
            raise


def write(file: Path, value: str) -> None:
    """Write a value to a control file.

    Raises:
        HostError: the kernel refused it.
    """
    try:
        file.write_text(value)
    except OSError as error:
        raise HostError(f"cannot write {value!r} to {file}: {error.strerror}") from error


def make_directory(directory: Path) -> None:
    """Make a cgroup.

    Raises:
        HostError: it exists, or this process may not.
    """
    try:
        directory.mkdir()
    except OSError as error:
        raise HostError(
            f"cannot make cgroup {directory}: {error.strerror}; root or a delegated cgroup is needed"
        ) from error


def format_cpus(cpus: tuple[int, ...]) -> str:
    """A list of CPUs as the kernel reads it."""
    return ",".join(str(cpu) for cpu in cpus)


def parse_cpus(text: str) -> tuple[int, ...]:
    """A list of CPUs as the kernel writes it, such as ``0-2,5``."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def parse_flat(text: str) -> dict[str, int]:
    """A flat keyed file (``memory.stat``, ``cpu.stat``, ``memory.events``): one name and number a line."""
    return {name: int(value) for name, value in (line.split() for line in text.splitlines() if line)}


def pids_below(directory: Path) -> list[int]:
    """The processes in a cgroup directory and below it."""
    found: set[int] = set()
    for below in _walk(directory):
        with contextlib.suppress(FileNotFoundError):
            found.update(int(pid) for pid in (below / "cgroup.procs").read_text().split())
    return sorted(found)


def _walk(directory: Path) -> Iterator[Path]:
    """A cgroup directory and those below it, parents first."""
    yield directory
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(directory.iterdir()):
            if entry.is_dir():
                yield from _walk(entry)


def _eventually(condition: Callable[[], bool]) -> bool:
    """Try until the condition holds, waiting a little longer every time, for 10 s at most.

    Nothing on version 1 tells of the end of the last process by an event that could be waited for.
    """
    deadline = time.monotonic() + _PATIENCE
    pause = 0.0002
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True
