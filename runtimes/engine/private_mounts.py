"""A mount namespace in which an engine finds directories of the run's in the places where it keeps its own things.

So whatever it writes there, also what no option of it moves, stays with the run, and what the host has of the same
engine is out of its sight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from runtimes import syscalls
from runtimes.base import HostError
from runtimes.launcher.client import Launcher
from runtimes.launcher.steps import StepError, Steps

_Result = TypeVar("_Result")

_SHARED_MEMORY = "/dev/shm"


class PrivateMounts:
    """The namespace, which a thread of ours is in as long as it is open.

    Attributes:
        fd: a descriptor of it, for :func:`runtimes.launcher.entry.join_mounts`.
    """

    def __init__(self, thread: ThreadPoolExecutor, fd: int) -> None:
        self._thread = thread
        self.fd = fd

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Have the thread that is in it call a function, which may start programs there."""
        return self._thread.submit(function).result()


@contextmanager
def private_mounts(launcher: Launcher, places: Mapping[str, Path]) -> Iterator[PrivateMounts]:
    """Make such a namespace from the calling thread's; shared memory of POSIX is its own too.

    Args:
        launcher: takes the steps.
        places: directories of ours, which exist, by those that they hide.

    Raises:
        HostError: something could not be mounted.
    """
    with ThreadPoolExecutor(1, "bench-mounts") as thread:
        try:
            fd = thread.submit(_enter, launcher, places).result()
        except OSError as error:
            raise HostError(f"cannot make a mount namespace for a container engine: {error.strerror}") from error
        try:
            yield PrivateMounts(thread, fd)
        finally:
            os.close(fd)


def _enter(launcher: Launcher, places: Mapping[str, Path]) -> int:
    """Have the calling thread in a new one, for good; a descriptor of it."""
    syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
    fd = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        launcher.take(_steps(places))
    except StepError:
        os.close(fd)
        raise
    return fd


def _steps(places: Mapping[str, Path]) -> Steps:
    steps = Steps("put the run's own directories in the place of an engine's")
    for hidden, ours in places.items():
        steps.mount(str(ours), hidden, "", syscalls.MS_BIND)
    steps.mount("tmpfs", _SHARED_MEMORY, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
    return steps
