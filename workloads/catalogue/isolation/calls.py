"""System calls that Python does not offer, by their numbers on x86-64, and mounts that undo themselves."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

PTRACE, SYSLOG, SETTIMEOFDAY, SWAPOFF, REBOOT, IOPL, INIT_MODULE = 101, 103, 164, 168, 169, 172, 175
KEXEC_LOAD, KEYCTL, UNSHARE, PERF_EVENT_OPEN, NAME_TO_HANDLE, OPEN_BY_HANDLE = 246, 250, 272, 298, 303, 304
SETNS, BPF, USERFAULTFD = 308, 321, 323

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000

PLACE = "/var/tmp"
"""On the root file system, where neither nodev nor nosuid takes a node or a set-user-ID file its effect."""

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call, with numbers as long as the machine's words; OSError if it fails."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


@contextmanager
def new_directory() -> Iterator[str]:
    """A new directory, which must be empty again in the end: what might be mounted on it is never emptied."""
    directory = tempfile.mkdtemp(dir=PLACE)
    try:
        yield directory
    finally:
        os.rmdir(directory)


@contextmanager
def mounted(kind: str, options: str = "") -> Iterator[str]:
    """Mount a file system of this kind on a new directory, for as long as the context lasts."""
    with new_directory() as directory:
        _checked(_libc.mount(b"bench", directory.encode(), kind.encode(), ctypes.c_ulong(0), options.encode()))
        try:
            yield directory
        finally:
            _checked(_libc.umount2(directory.encode(), _MNT_DETACH))


@contextmanager
def device_node(kind: int, major: int, minor: int) -> Iterator[str]:
    """A device node of one's own, of the kind S_IFCHR or S_IFBLK."""
    with new_directory() as directory:
        path = f"{directory}/node"
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        try:
            yield path
        finally:
            os.unlink(path)
