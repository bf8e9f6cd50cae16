"""Control groups of a run, on version 1 (also hybrid) and version 2 alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtimes.base import HostError
from runtimes.cgroup.base import Cgroup, RunCgroups
from runtimes.cgroup.hierarchy import Hierarchies

__all__ = ["Cgroup", "RunCgroups", "cgroup_version", "open_cgroups"]


def cgroup_version() -> int:
    """Which version this host's memory controller is on: 1 (also hybrid) or 2.

    Raises:
        HostError: no hierarchy is mounted.
    """
    found = Hierarchies.of_this_thread()
    if "memory" in found.v1:
        return 1
    if found.v2 is not None:
        return 2
    raise HostError(
        "no control groups are mounted: expected cgroup2 at /sys/fs/cgroup; mount it, or start a usual init system"
    )


@contextmanager
def open_cgroups(run: str) -> Iterator[RunCgroups]:
    """Make the cgroup of a run beneath the one this process is in; it and all processes in it are gone afterwards.

    Raises:
        HostError: a controller that is needed is missing, or this process may not make cgroups.
    """
    found = Hierarchies.of_this_thread()
    if cgroup_version() == 1:
        from runtimes.cgroup.v1 import make_run_cgroups_v1 as make
    else:
        from runtimes.cgroup.v2 import make_run_cgroups_v2 as make
    cgroups = make(found, run)
    try:
        yield cgroups
    finally:
        cgroups.remove()
