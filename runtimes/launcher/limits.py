"""What every program of an instance starts with, whatever the harness was started under.

Children inherit resource limits and the score of the out-of-memory killer from the harness, and so from a shell, a
service or a container; a guest has them from its kernel. So both are set: here for the launcher, from which its
children have them, and by the agent where it is the first process of a guest (``agent/limits.c`` has the same table).

They are those that Linux itself gives its first process (``INIT_RLIMITS`` in asm-generic/resource.h, as of Linux 5.16,
when the locked memory became 8 MiB), save for processes and pending signals, which the kernel takes from the size of
the memory that it sees: those are what it gives on a machine with 4 GiB. All are low enough to be had also where the
harness, root in a container for instance, may not raise a hard limit.
"""

from __future__ import annotations

import resource
from pathlib import Path

from runtimes.base import HostError

_UNLIMITED = resource.RLIM_INFINITY
_RLIMIT_LOCKS = 10  # asm-generic/resource.h; Python has no name for it

LIMITS = {
    resource.RLIMIT_CPU: (_UNLIMITED, _UNLIMITED),
    resource.RLIMIT_FSIZE: (_UNLIMITED, _UNLIMITED),
    resource.RLIMIT_DATA: (_UNLIMITED, _UNLIMITED),
    resource.RLIMIT_STACK: (8 << 20, _UNLIMITED),
    resource.RLIMIT_CORE: (0, _UNLIMITED),
    resource.RLIMIT_RSS: (_UNLIMITED, _UNLIMITED),
    resource.RLIMIT_NPROC: (16384, 16384),
    resource.RLIMIT_NOFILE: (1024, 4096),
    resource.RLIMIT_MEMLOCK: (8 << 20, 8 << 20),
    resource.RLIMIT_AS: (_UNLIMITED, _UNLIMITED),
    _RLIMIT_LOCKS: (_UNLIMITED, _UNLIMITED),
    resource.RLIMIT_SIGPENDING: (16384, 16384),
    resource.RLIMIT_MSGQUEUE: (819200, 819200),
    resource.RLIMIT_NICE: (0, 0),
    resource.RLIMIT_RTPRIO: (0, 0),
    resource.RLIMIT_RTTIME: (_UNLIMITED, _UNLIMITED),
}
"""Soft and hard limit by resource, in the units of getrlimit(2)."""

NAMES = {
    kind: name.removeprefix("RLIMIT_")
    for name in dir(resource)
    if name.startswith("RLIMIT_") and (kind := getattr(resource, name)) in LIMITS and name != "RLIMIT_OFILE"
} | {_RLIMIT_LOCKS: "LOCKS"}
"""What each is called in getrlimit(2), after ``RLIMIT_``; ``OFILE`` is an old name of ``NOFILE``."""


def set_limits(pid: int, *, rootless: bool) -> None:
    """Give a process of ours the limits, and the score 0; what it starts inherits both.

    Without root, a hard limit that is lower stays: there are no guests then, and all arms have it alike.

    Raises:
        HostError: the kernel refused, as it does where we may not raise a hard limit.
    """
    for kind, wanted in LIMITS.items():
        limits = _at_most(wanted, resource.prlimit(pid, kind)[1]) if rootless else wanted
        try:
            resource.prlimit(pid, kind, limits)
        except (OSError, ValueError) as error:  # ValueError is what Python makes of EPERM
            raise HostError(
                f"cannot set RLIMIT_{NAMES[kind]} of getrlimit(2) to {limits}, as every arm has it: {error}; "
                "raise the hard limit of the shell or service that starts the harness"
            ) from error
    score = Path(f"/proc/{pid}/oom_score_adj")
    try:
        score.write_text("0")
    except OSError as error:
        raise HostError(f"cannot write 0 to {score}, as every arm has it: {error.strerror}") from error


def _at_most(wanted: tuple[int, int], hard: int) -> tuple[int, int]:
    """Soft and hard limit, none above ``hard``."""
    soft, own_hard = (hard if hard != _UNLIMITED and (each == _UNLIMITED or each > hard) else each for each in wanted)
    return soft, own_hard
