"""Control groups of a run, on version 1 (also hybrid) and version 2 alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runtimes.base import HostError
from runtimes.cgroup.adopted import adopt_cgroup
from runtimes.cgroup.base import Cgroup, RunCgroups, harness_leaf
from runtimes.cgroup.hierarchy import OPTIONAL_CONTROLLERS, REQUIRED_CONTROLLERS, Hierarchies
from runtimes.cgroup.tree import CgroupTree, DaemonTree

__all__ = [
    "OPTIONAL_CONTROLLERS",
    "REQUIRED_CONTROLLERS",
    "Cgroup",
    "CgroupTree",
    "DaemonTree",
    "RunCgroups",
    "adopt_cgroup",
    "describe_version",
    "missing_controllers",
    "open_cgroups",
    "possible_directories",
]


def describe_version() -> str:
    """What this host has: ``v1``, ``v2``, ``hybrid`` (the controllers on version 1, version 2 mounted beside them), or
    ``none``.
    """
    found = Hierarchies.of_this_thread()
    if "memory" in found.v1:
        return "v1" if found.v2 is None else "hybrid"
    return "none" if found.v2 is None else "v2"


def missing_controllers(wanted: Mapping[int, tuple[str, ...]] = REQUIRED_CONTROLLERS) -> list[str]:
    """Names of the controllers that runs need, and this host does not give us.

    On version 2 they are those that not even the topmost cgroup we see can hand down.

    Args:
        wanted: ``REQUIRED_CONTROLLERS`` or ``OPTIONAL_CONTROLLERS``.

    Raises:
        HostError: no hierarchy is mounted.
    """
    found = Hierarchies.of_this_thread()
    version = _version(found)
    if version == 1:
        available = set(found.v1)
    else:
        assert found.v2_top is not None
        available = set((found.v2_top / "cgroup.controllers").read_text().split())
    return [controller for controller in wanted[version] if controller not in available]


def possible_directories(run: str) -> list[Path]:
    """Every directory that ``open_cgroups(run)`` may make in this thread, in the order of removal.

    Raises:
        HostError: no hierarchy is mounted.
    """
    found = Hierarchies.of_this_thread()
    if _version(found) == 1:
        unified = [] if found.v2 is None else [found.v2]
        return [parent / run for parent in dict.fromkeys([*found.v1.values(), *unified])]
    return [parent / name for parent in found.own_and_above() for name in (run, harness_leaf(run))]


def _version(found: Hierarchies) -> int:
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
    if _version(found) == 1:
        from runtimes.cgroup.v1 import make_run_cgroups_v1 as make
    else:
        from runtimes.cgroup.v2 import make_run_cgroups_v2 as make
    cgroups = make(found, run)
    try:
        yield cgroups
    finally:
        cgroups.remove()
