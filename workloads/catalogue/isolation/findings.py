"""What an attempt came to, and the claims that are made of attempts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS)
"""What the kernel, or a filter before it, says to what is not allowed."""


@dataclass(frozen=True)
class Host:
    """What is known of the host.

    Attributes:
        boot_id: of its kernel.
        namespaces: those that an instance should not be in, as ``net:4026531840``.
        pid: of a process of the host, the harness.
    """

    boot_id: str
    namespaces: frozenset[str]
    pid: int


@dataclass(frozen=True)
class Finding:
    """Whether a claim holds, and what was seen."""

    holds: bool
    evidence: str


class UndecidedError(Exception):
    """An attempt ended in a way that says neither that it is allowed nor that it is refused."""


Claim = Callable[[Host], Finding]

CLAIMS: dict[str, Claim] = {}
"""Every claim by its name."""


def claim(check: Claim) -> Claim:
    """Make a function a claim, by the function's name."""
    CLAIMS[check.__name__] = check
    return check


def attempt(
    what: str, call: Callable[[], object], *, allowed: Collection[int] = (), absent: Collection[int] = ()
) -> Finding:
    """Whether the kernel refuses ``call``.

    Args:
        what: the attempt, in words.
        call: raises OSError if it fails.
        allowed: errors that the kernel gives only after it has found the call permitted.
        absent: errors that say that there is nothing to reach.

    Raises:
        UndecidedError: it failed in another way.
    """
    try:
        call()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error))
        if error.errno in allowed:
            return Finding(False, f"{what}: permitted ({name} is said after that)")
        if error.errno in (*REFUSED, *absent):
            return Finding(True, f"{what}: {name}")
        raise UndecidedError(f"{what}: {error}") from error
    return Finding(False, f"{what}: done")


def every(*findings: Finding) -> Finding:
    """A claim for which several ways were tried: it holds if all of them were refused."""
    broken = [finding for finding in findings if not finding.holds]
    return Finding(not broken, "; ".join(finding.evidence for finding in broken or findings))


def opened(path: str, flags: int) -> Callable[[], None]:
    """A call that opens ``path``, and closes it again."""
    return lambda: os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))


def namespace(kind: str, pid: int | str = "self") -> str:
    """The namespace of a process, as ``net:4026531840``."""
    return os.readlink(f"/proc/{pid}/ns/{kind}").replace("[", "").replace("]", "")


def status(field: str) -> str:
    """A field of /proc/self/status (proc_pid_status(5))."""
    with open("/proc/self/status") as file:
        return next(line for line in file if line.startswith(f"{field}:")).split(":", 1)[1].strip()
