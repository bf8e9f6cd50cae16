"""Scratch disks, loop devices, and the image's root file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtimes import syscalls
from runtimes.base import HostError

# Numbers and structures of linux/loop.h.
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CLR_FD = 0x4C01
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_LOOP_INFO64 = struct.Struct("=QQQQQIIII64s64s32s2Q")
_LOOP_CONFIG = struct.Struct(f"=II{_LOOP_INFO64.size}s64x")
_SECTOR = 512
_CHOSEN_BY_KERNEL = 0
_READ_AT_ONCE = 1 << 20


def make_scratch(path: Path, size: int) -> None:
    """Make a scratch disk: a preallocated file with a fresh ext4 file system.

    Tables and journal are written now: the kernel would otherwise do it in the background, in the middle of a trial.
    Blocks have 4096 bytes, whatever the size, as a disk's sectors may have as many.

    Args:
        path: the file to make; one that exists is replaced.
        size: bytes.

    Raises:
        HostError: there is no room for it, or mke2fs is missing or failed.
    """
    program = shutil.which("mke2fs", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise HostError(
            "mke2fs is neither in PATH nor in /usr/sbin or /sbin: needed to make scratch disks; "
            "apt-get install e2fsprogs"
        )
    path.unlink(missing_ok=True)
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        command = [program, "-q", "-t", "ext4", "-b", "4096", "-F", "-m", "0", "-E", options, str(path)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise HostError(f"cannot make a scratch disk of {size} bytes at {path}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        path.unlink(missing_ok=True)
        raise HostError(f"cannot make a file system in {path}: mke2fs said {error.stderr.strip()!r}") from error


_RELEASE_PATIENCE = 1.0
"""Seconds for a loop device to be let go."""


@contextmanager
def attach_loop(path: Path, *, read_only: bool) -> Iterator[Path]:
    """Attach a file to a free loop device, with direct I/O.

    Direct I/O keeps the data out of the page cache of the file, where it would be a second time. Where data are written
    it is demanded: the arms' disks would else not be alike. The kernel detaches the device by itself when it is neither
    open nor mounted any more, also after this process was killed.

    Yields:
        The device, ``/dev/loopN``.

    Raises:
        HostError: there is no loop device, the file cannot be attached, or not written with direct I/O.
    """
    flags = _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO | (_LO_FLAGS_READ_ONLY if read_only else 0)
    mode = os.O_CLOEXEC | (os.O_RDONLY if read_only else os.O_RDWR)
    try:
        backing = os.open(path, mode) if read_only else open_direct(path)
        try:
            # For a file that is open for direct I/O the kernel takes the logical block size of the disk it lies on.
            device, fd = _configure_free_loop(backing, mode, flags, _SECTOR if read_only else _CHOSEN_BY_KERNEL)
        finally:
            os.close(backing)
    except OSError as error:
        raise HostError(
            f"cannot attach {path} to a loop device: {error.strerror}; is the module `loop` loaded?"
        ) from error
    try:
        # The kernel says nothing when it does without.
        if not read_only and not has_direct_io(device):
            raise _no_direct_io(path, f"{device} does without it")
        yield device
    finally:
        os.close(fd)
        _await_release(device, path)


def _await_release(device: Path, path: Path) -> None:
    """Wait until a device has let its file go, for a second at most.

    The kernel takes the mounts of a mount namespace down after its last process has ended, in its own time; and a
    device that is still in use then is let go when it is not.
    """
    notes = Path("/sys/block", device.name, "loop/backing_file")
    deadline = time.monotonic() + _RELEASE_PATIENCE
    while time.monotonic() < deadline:
        try:
            if notes.read_text().strip() != str(path):
                return
        except OSError:  # no file any more
            return
        time.sleep(0.002)


def open_direct(path: Path) -> int:
    """Open a scratch disk's file for reading and writing with direct I/O; returns the descriptor.

    Raises:
        HostError: it cannot be opened so.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        raise _no_direct_io(path, error.strerror or str(error)) from error


def _no_direct_io(path: Path, reason: str) -> HostError:
    return HostError(
        f"the scratch disk {path} cannot be used with direct I/O: {reason}; "
        "set BENCH_SCRATCH to a directory on a file system that has it (ext4, XFS, Btrfs)"
    )


def has_direct_io(device: Path) -> bool:
    """Whether a loop device passes its file's page cache by."""
    return Path("/sys/block", device.name, "loop/dio").read_text().strip() == "1"


def loop_facts(device: Path) -> dict[str, str]:
    """What the kernel tells of a scratch disk that is a loop device, by the names that a guest's facts have for it."""
    return {"scratch_bus": "loop", "scratch_cache": "none" if has_direct_io(device) else "writeback"}


def _configure_free_loop(backing: int, mode: int, flags: int, block_size: int) -> tuple[Path, int]:
    with Path("/dev/loop-control").open("rb") as control:
        while True:
            device = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
            fd = os.open(device, mode)
            info = _LOOP_INFO64.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0)
            try:
                fcntl.ioctl(fd, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(backing, block_size, info))
            except OSError as error:
                os.close(fd)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
            else:
                return device, fd


def detach_loop(device: Path) -> None:
    """Detach a loop device that somebody left attached; the kernel does so once its last user has gone.

    It is no error if it has been detached meanwhile.
    """
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _LOOP_CLR_FD)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise


def loop_devices_in(directory: Path) -> list[Path]:
    """The loop devices whose file lies in ``directory``, or lay there before it was removed."""
    found = []
    for notes in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(FileNotFoundError):  # detached meanwhile
            if notes.read_text().startswith(f"{directory}/"):
                found.append(Path("/dev", notes.parts[3]))
    return found


@contextmanager
def mounted(source: Path, target: Path, fstype: str, flags: int = 0) -> Iterator[None]:
    """Mount a file system in this thread's mount namespace.

    Raises:
        HostError: the kernel refused.
    """
    try:
        syscalls.mount(str(source), str(target), fstype, flags)
    except OSError as error:
        raise HostError(f"cannot mount {source} at {target}: {error.strerror}") from error
    try:
        yield
    finally:
        syscalls.umount(str(target), syscalls.MNT_DETACH)


@contextmanager
def mounted_read_only(source: Path, target: Path) -> Iterator[None]:
    """Have a directory at ``target`` too, where nothing can be written, in this thread's mount namespace.

    Raises:
        HostError: the kernel refused.
    """
    with mounted(source, target, "", syscalls.MS_BIND):
        # What the mount below does not allow, a user namespace may not allow anew (mount_namespaces(7)); the flags of
        # statvfs(3) have the numbers of those of mount(2).
        kept = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NOEXEC)
        flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY | syscalls.MS_NODEV
        try:
            syscalls.mount("", str(target), "", flags | kept)
        except OSError as error:
            raise HostError(f"cannot make {target} read-only: {error.strerror}") from error
        yield


def read_whole(root: Path) -> None:
    """Read every file below ``root`` once, and the status of every name.

    The first to touch a page of a file, or an inode, is charged for it (kernel documentation, cgroup-v2, "Memory
    Ownership"). Done by the runner before the first trial, it keeps the order of trials out of their memory figures.
    """
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    read_file_through(path)


def read_file_through(path: Path) -> None:
    """Read one file from start to end and forget what was read."""
    with path.open("rb", buffering=0) as file:
        while file.read(_READ_AT_ONCE):
            pass
