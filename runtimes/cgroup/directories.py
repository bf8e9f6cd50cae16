"""Directories of cgroups: making them, writing to their files, who is in them, and their end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runtimes.base import HostError
from runtimes.cgroup.figures import parse_flat

_PATIENCE = 10.0
"""Seconds to wait until killed processes are gone and a cgroup without processes can be removed."""


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


def clear_directory(directory: Path) -> None:
    """Kill every process in a cgroup directory and below, and remove the directory.

    Raises:
        HostError: it is still in use after 10 s.
    """
    kill_below(directory)
    remove_directories([directory])


def kill_below(directory: Path) -> None:
    """Kill every process in a cgroup directory and below, and wait until they are gone, for 10 s at most."""

    def empty() -> bool:
        # A thread of ours that was in a cgroup for a while may not have ended yet, which is no process to kill.
        alive = [pid for pid in pids_below(directory) if pid != os.getpid()]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    eventually(empty)


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

    if not eventually(removed):
        raise HostError("; ".join(f"cannot remove cgroup {path}: {error}" for path, error in failures.items()))


def _remove_tree(directory: Path) -> None:
    try:
        for below in reversed(list(_walk(directory))):
            below.rmdir()
    except FileNotFoundError:
        if directory.exists():
            raise


def settled_memory_statistics(directory: Path) -> dict[str, int]:
    """The figures of a cgroup's ``memory.stat``, with all that has happened in them.

    The kernel adds up what each CPU has counted only once that is more than 64 pages a CPU, or every two seconds
    (``memcg_vmstats_needs_flush`` in mm/memcontrol.c), so a small instance would show nothing just after its start. It
    does so for a cgroup together with all below it, and at the top there is always more than that to add up.
    """
    top = directory
    while (top.parent / "memory.stat").exists():
        top = top.parent
    (top / "memory.stat").read_bytes()
    return parse_flat((directory / "memory.stat").read_text())


def pids_below(directory: Path) -> list[int]:
    """The processes in a cgroup directory and below it."""
    found: set[int] = set()
    for below in _walk(directory):
        try:
            found.update(int(pid) for pid in (below / "cgroup.procs").read_text().split())
        except OSError as error:
            # Removed meanwhile, or a threaded cgroup, whose processes are listed above it (cgroups(7)).
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                raise
    return sorted(found)


def _walk(directory: Path) -> Iterator[Path]:
    """A cgroup directory and those below it, parents first."""
    yield directory
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(directory.iterdir()):
            if entry.is_dir():
                yield from _walk(entry)


def eventually(condition: Callable[[], bool]) -> bool:
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
