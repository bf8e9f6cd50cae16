"""An engine's program that stays in the foreground as long as its container lives, and is the parent of its first
process.
"""

from __future__ import annotations

import psutil

from runtimes.base import InstanceError
from runtimes.launcher.client import Launched
from runtimes.launcher.instance import wait_for_end

_END_TIMEOUT = 30.0
"""Seconds for the program to clear up once the container has ended."""


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
