"""The disks of the host by their numbers, ``MAJOR:MINOR``, as cgroups name them (kernel documentation, ABI/testing,
sysfs-block).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

SYS_DEVICES = Path("/sys/dev/block")

_LOOP_MAJOR = "7"
"""Of loop devices (kernel documentation, admin-guide/devices)."""


def number_of(device: Path) -> str:
    """The number of a block device.

    Raises:
        OSError: there is none at that path.
    """
    status = device.stat()
    if not stat.S_ISBLK(status.st_mode):
        raise OSError(f"{device} is no block device")
    return _number(status.st_rdev)


def is_at_the_bottom(number: str) -> bool:
    """Whether what is read from a disk and written to it goes through no other disk below it.

    That is not so for loop devices, and for those that are put together from others (device mapper, md).
    """
    return number.split(":", maxsplit=1)[0] != _LOOP_MAJOR and not _slaves(SYS_DEVICES / number)


def disks_that_hold(path: Path) -> set[str]:
    """The disks at the bottom that a file or directory lies on.

    Empty where the file system does not say: one in memory or on the network, or one with a number of its own (Btrfs).
    """
    return _bottom(_number(path.stat().st_dev))


def disk_that_holds(path: Path) -> Path | None:
    """The device of the one disk at the bottom that a file or directory lies on; None where there is not just one."""
    disks = disks_that_hold(path)
    if len(disks) != 1:
        return None
    notes = (SYS_DEVICES / disks.pop() / "uevent").read_text().splitlines()
    return Path("/dev", dict(line.split("=", 1) for line in notes)["DEVNAME"])


def _bottom(number: str) -> set[str]:
    device = SYS_DEVICES / number
    if not device.exists():
        return set()
    if (device / "partition").exists():
        return _bottom((device.resolve().parent / "dev").read_text().strip())
    backing = device / "loop/backing_file"
    if backing.exists():
        file = Path(backing.read_text().strip())
        return disks_that_hold(file) if file.exists() else set()
    slaves = _slaves(device)
    if slaves:
        return {found for slave in slaves for found in _bottom((slave / "dev").read_text().strip())}
    return {number}


def _slaves(device: Path) -> list[Path]:
    directory = device / "slaves"
    return sorted(directory.iterdir()) if directory.exists() else []


def _number(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"
