"""The root that an instance sees: the image under an overlay, with the usual kernel file systems mounted in it.

The same for the native arm, where the runner mounts it before the clock starts, and for a container, which mounts it
itself.
"""

from __future__ import annotations

import errno
import os

from runtimes import syscalls
from runtimes.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mount

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_HOST_SETTINGS = ("bus", "irq", "sys", "sysrq-trigger")
"""What in /proc sets the host's kernel, where root may write without any capability."""

_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def mount_root(image_root: str, staging: str, scratch_device: str | None) -> str:
    """Mount a fresh root in the calling process's mount namespace.

    Writes go to a tmpfs, as in a guest, so that they cost memory alike in every arm.

    Args:
        image_root: where the image is mounted.
        staging: an empty directory; everything is mounted on or below it, so that a lazy unmount of it undoes all.
        scratch_device: block device with the ext4 file system for ``/scratch``, or None.

    Returns:
        The path of the root.

    Raises:
        OSError: naming the call and the path.
    """
    mount("tmpfs", staging, "tmpfs", 0, "mode=0755")
    upper, work, root = (f"{staging}/{name}" for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        os.mkdir(directory)  # noqa: PTH102 pathlib costs the launcher more memory than it has in all
    mount("overlay", root, "overlay", 0, f"lowerdir={image_root},upperdir={upper},workdir={work}")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", f"{root}/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name, mode in (("tmp", "1777"), ("run", "0755")):
        mount("tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    _mount_devices(f"{root}/dev")
    if scratch_device is not None:
        # No options, as a guest mounts it: none may make an arm's disk quicker or slower than another's.
        mount(scratch_device, f"{root}/scratch", "ext4")
    return root


def _mount_devices(dev: str) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=0755")
    mask = os.umask(0)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{dev}/{name}", 0o20666, os.makedev(major, minor))
    os.umask(mask)
    for name, target in _LINKS.items():
        os.symlink(target, f"{dev}/{name}")  # noqa: PTH211 as above
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")  # noqa: PTH102 as above
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def protect_host_settings(root: str) -> None:
    """Make read-only, in a root that was mounted, what in /proc would set the host's kernel.

    Raises:
        OSError: naming the call and the path.
    """
    for name in _HOST_SETTINGS:
        path = f"{root}/proc/{name}"
        if not os.access(path, os.F_OK):  # which of them there are is a matter of the kernel's configuration
            continue
        mount(path, path, "", MS_BIND)
        mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def unmount_scratch(root: str) -> None:
    """Unmount the scratch disk of a root, and so have written to it what was not yet.

    As at a container's end, the file system is let go at once if nobody uses it any more.
    """
    try:
        syscalls.umount(f"{root}/scratch", syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the instance has unmounted it itself
            raise


def unmount_root(staging: str) -> None:
    """Undo :func:`mount_root`; the file systems are gone when nobody uses them any more."""
    syscalls.umount(staging, syscalls.MNT_DETACH)
