"""A scratch directory in a container's writable layer: it is in the engine's storage, not on a disk of its own."""

from __future__ import annotations

from pathlib import Path

from runtimes.base import InstanceError, IoLimits, Limits


def layer_disk(disk: Path | None, limits: Limits) -> Path | None:
    """What ``limits.io`` is for there: the disk that the storage lies on.

    Args:
        disk: as :func:`runtimes.cgroup.disks.disk_that_holds` has found it.
        limits: of the instance.

    Raises:
        InstanceError: it is not known, and is to be limited.
    """
    if disk is None and limits.io != IoLimits():
        raise InstanceError(
            "limits.io: there is not one disk below the directory of scratch disks to limit with scratch: layer; "
            "say scratch: volume, or set BENCH_SCRATCH to a directory on a single disk"
        )
    return disk
