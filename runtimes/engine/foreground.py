"""An engine's program that stays in the foreground as long as its container lives, and is the parent of its first
process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from runtimes.base import InstanceError
from runtimes.launcher.client import Launched
from runtimes.launcher.instance import wait_for_end

_END_TIMEOUT = 30.0
"""Seconds for the program to clear up once the container has ended."""


@contextmanager
def explained(log: Path, complaint: re.Pattern[str]) -> Iterator[None]:
    """When no instance comes of it, name the first of what the program complains of: the rest follows from that.

    Args:
        log: what it says on standard error.
        complaint: a line of its, with a group ``what``.
    """
    try:
        yield
    except InstanceError as error:
        said = log.read_text(errors="replace")
        if (found := complaint.search(said)) is None:
            raise
        raise InstanceError(f"{error}; it began with: {found['what']}", details=said) from error


def only_child(launched: Launched) -> int:
    """The container's first process.

    Raises:
        InstanceError: it has ended.
    """
    try:
        (child,) = psutil.Process(launched.pid).children()
    except (psutil.NoSuchProcess, ValueError) as error:
        raise InstanceError("the container has ended as soon as it was ready") from error
    return child.pid


def wait_until_gone(launched: Launched, program: str) -> None:
    """Wait for the program, which clears up once its container has ended.

    Raises:
        InstanceError: it goes on.
    """
    if not wait_for_end(launched.pidfd, _END_TIMEOUT):
        raise InstanceError(f"{program} has not ended within {_END_TIMEOUT:g} s of its container's end")
