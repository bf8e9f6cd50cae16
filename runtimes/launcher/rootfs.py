"""The root that an instance sees: the image under an overlay, with the usual kernel file systems mounted in it.

The same for the native arm, where the runner mounts it before the clock starts, and for a container, which mounts it
itself.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from runtimes import syscalls
from runtimes.launcher.steps import Descriptor, Steps
from runtimes.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}

FIRST_OWNER = 1 << 30
"""The host's user that is root in a container's user namespace: far above what is given to people and their ranges
(``SUB_UID_MAX`` of login.defs(5) is 600100000)."""

OWNER_COUNT = 1 << 16
"""Users that there are in it."""


def root_below(staging: str) -> str:
    """Where :func:`mount_root` with ``staging`` has the root."""
    return f"{staging}/root"


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom files belong to in a root for a user namespace.

    Attributes:
        first: the host's user and group that are root inside.
        count: how many users and groups there are inside, from root on.
        namespace: the user namespace.
    """

    first: int
    count: int
    namespace: Descriptor

    @property
    def mapping(self) -> str:
        """For ``uid_map`` and ``gid_map`` (user_namespaces(7))."""
        return f"0 {self.first} {self.count}"


def mount_root(
    image_root: str,
    staging: str,
    *,
    rootless: bool,
    own_processes: bool,
    flags: int = 0,
    owners: Owners | None = None,
    disk: str | None = None,
) -> Steps:
    """The steps that mount a fresh root.

    Writes go to a tmpfs, as in a guest, so that they cost memory alike in every arm; or to a disk, if that is asked
    for.

    Args:
        image_root: where the image is mounted.
        staging: an empty directory; everything is mounted on or below it, so that a lazy unmount of it undoes all.
        rootless: whether all is in a user namespace, which may not make device nodes.
        own_processes: whether it is mounted in a pid namespace of its own.
        flags: of the overlay, MS_…
        owners: whom the files belong to; None for the host's own users, by the same numbers.
        disk: a block device with an ext4 file system that writes go to; None for a tmpfs.
    """
    steps = mount_bare_root(image_root, staging, rootless=rootless, flags=flags, owners=owners, disk=disk)
    owned = _owned(owners)
    root = root_below(staging)
    if rootless and not own_processes:
        # Only who owns a pid namespace may mount its proc.
        steps.mount("/proc", f"{root}/proc", "", MS_BIND | MS_REC)
    else:
        steps.mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    steps.mount("sysfs", f"{root}/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name, mode in (("tmp", "1777"), ("run", "0755")):
        steps.mount("tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}{owned}")
    _mount_devices(steps, f"{root}/dev", owned, rootless=rootless)
    return steps


def mount_bare_root(
    image_root: str,
    staging: str,
    *,
    rootless: bool = False,
    flags: int = 0,
    owners: Owners | None = None,
    disk: str | None = None,
) -> Steps:
    """The steps that mount a fresh root in which whoever runs something there mounts the rest.

    Arguments as of :func:`mount_root`.
    """
    steps = Steps("mount the root")
    steps.mount("tmpfs", staging, "tmpfs", 0, f"mode=0755{_owned(owners)}")
    layer = staging
    if disk is not None:
        layer = f"{staging}/disk"
        steps.make_directory(layer)
        steps.mount(disk, layer, "ext4")
    _mount_overlay(steps, image_root, staging, layer, rootless=rootless, flags=flags, owners=owners)
    return steps


def _owned(owners: Owners | None) -> str:
    """Whom the files of a tmpfs belong to, as options of its mount."""
    return f",uid={owners.first},gid={owners.first}" if owners else ""


def _mount_overlay(
    steps: Steps, image_root: str, staging: str, layer: str, *, rootless: bool, flags: int, owners: Owners | None
) -> None:
    """``layer`` is the directory in which what is written lies."""
    root, upper, work = root_below(staging), f"{layer}/upper", f"{layer}/work"
    for directory in (upper, work, root):
        steps.make_directory(directory)
    lower = image_root
    if owners:
        lower = f"{staging}/lower"
        steps.make_directory(lower)
        steps.map_mount(image_root, lower, owners.namespace)
        steps.change_owner(upper, owners.first, owners.first)
    # A user namespace may not use the names that overlayfs gives its notes otherwise (kernel documentation, overlayfs).
    notes = ",userxattr" if rootless else ""
    steps.mount("overlay", root, "overlay", flags, f"lowerdir={lower},upperdir={upper},workdir={work}{notes}")


def mount_scratch(device: str, staging: str, owners: Owners | None = None) -> Steps:
    """The steps that mount the ext4 file system on ``device`` at ``/scratch`` of a root that was mounted."""
    steps = Steps("mount the scratch disk")
    scratch = f"{root_below(staging)}/scratch"
    # No options, as a guest mounts it: none may make an arm's disk quicker or slower than another's.
    if owners is None:
        steps.mount(device, scratch, "ext4")
    else:
        disk = f"{staging}/disk"
        steps.make_directory(disk)
        steps.mount(device, disk, "ext4")
        steps.map_mount(disk, scratch, owners.namespace)
    return steps


def _mount_devices(steps: Steps, dev: str, owned: str, *, rootless: bool) -> None:
    steps.mount("tmpfs", dev, "tmpfs", MS_NOSUID, f"mode=0755{owned}")
    steps.call("umask", 0)
    for name, (major, minor) in _DEVICES.items():
        if rootless:
            steps.make_file(f"{dev}/{name}", 0o666)
            steps.mount(f"/dev/{name}", f"{dev}/{name}", "", MS_BIND)
        else:
            steps.make_device(f"{dev}/{name}", 0o666, major, minor)
    steps.call("umask", 0o22)
    for name, target in _LINKS.items():
        steps.make_link(f"{dev}/{name}", target)
    for name in ("pts", "shm"):
        steps.make_directory(f"{dev}/{name}")
    steps.mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, f"newinstance,ptmxmode=0666,mode=0620{owned}")
    steps.mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777{owned}")


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
