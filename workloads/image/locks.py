"""Locks between processes: flock(2) on a file, which the kernel lets go of when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class BusyError(Exception):
    """Somebody else holds the lock."""


@contextmanager
def locked(
    path: Path, *, shared: bool = False, wait: bool = True, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock on ``path`` (made if missing, and never removed, so that all lock the same file).

    Args:
        path: the lock file; its directory exists.
        shared: together with others that share it, instead of alone.
        wait: wait for the others.
        waiting: called once if there is somebody to wait for.

    Raises:
        BusyError: others hold it, and ``wait`` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise BusyError(f"{path} is locked by another process") from error
            waiting()
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
