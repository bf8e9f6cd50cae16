"""Whether the process that writes a run is still there.

A run that is being written holds an exclusive flock(2) on a file in its directory. The kernel drops the lock when the
process ends, however it ends, so a run marked ``running`` without the lock has died; no process id can be mistaken for
another's, and a reboot needs no thought.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alive(path: Path) -> Iterator[None]:
    """Hold the lock on ``path``, which is created if need be.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_alive(path: Path) -> bool:
    """Whether anybody holds the lock on ``path``. Creates nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
