"""One night at a time in a store: two at once would measure each other."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from results.errors import StoreError

LOCK = "nightly.lock"
"""In the store's directory. It stays there: the lock is flock(2)'s, which the kernel drops when its holder ends."""


@contextmanager
def night_lock(store_directory: Path, suite: str) -> Iterator[None]:
    """Have a store for one night alone; the directory is made if need be.

    Raises:
        StoreError: another night is at work, and who it is; or the lock cannot be written.
    """
    path = store_directory / LOCK
    try:
        store_directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name another store with --store") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another bench nightly is at work in {store_directory}: {_holder(descriptor)}") from error
        holder = {"process": os.getpid(), "suite": suite, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {holder['process']} with suite {holder['suite']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has just begun; wait for it to end"
    return f"{who}; wait for it to end"
