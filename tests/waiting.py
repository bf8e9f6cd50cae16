"""Waiting for what another process, or the kernel, does in its own time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process, started as by ``subprocess.Popen``, that is killed at the end if it still runs.

    Popen itself would wait for it without limit, also where a test has failed because it hangs.
    """
    with subprocess.Popen(*arguments, **options) as process:
        try:
            yield process
        finally:
            process.kill()
