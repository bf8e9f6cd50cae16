"""Where a run's scratch disks lie: a directory of its own in the cache, on the disk that is to be measured."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtimes.base import HostError
from workloads.image.cache import cache_directory


def _parent() -> Path:
    return cache_directory() / "scratch"


@contextmanager
def scratch_directory(run: str) -> Iterator[Path]:
    """A directory for the scratch disks of one run, removed at the end. A lock on it says that the run is alive.

    Args:
        run: the run's name on the host.

    Raises:
        HostError: it cannot be made.
    """
    directory = _parent() / run
    try:
        directory.mkdir(parents=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"cannot make {directory} for scratch disks: {error.strerror}; "
            "set BENCH_CACHE to a directory that is writable"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory)
        os.close(lock)


def reclaim_scratch() -> list[str]:
    """Remove the scratch disks of runs that died; what was removed, one description each."""
    removed: list[str] = []
    for directory in sorted(_parent().glob("bench-*")):
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(directory)
            removed.append(f"scratch disks in {directory}")
        finally:
            os.close(lock)
    return removed
