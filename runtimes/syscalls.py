"""System calls that Python 3.11 does not offer, each a few lines over ctypes.

Each is named like its manual page in section 2, where more stands about it. Every failure is an OSError with the name
of the call and the path it was about. Nothing here imports more than the launcher, which is kept small because it is
forked for every start, can afford.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_FS = 0x00000200
CLONE_PIDFD = 0x00001000
CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

_SYS_CLONE3 = 435  # the same number on every architecture, as for all calls since Linux 5.1
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLOSE_RANGE_CLOEXEC = 4
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS, _SIOCSIFHWADDR = 0x8916, 0x891C, 0x8914, 0x8924
_IFF_UP = 1
_ARPHRD_ETHER = 1

_libc = ctypes.CDLL(None, use_errno=True)
# The lock of the interpreter is kept over clone3: in the child there is nobody who could hand it back.
_locked_libc = ctypes.PyDLL(None, use_errno=True)
_locked_libc.syscall.restype = ctypes.c_long


class _CloneArguments(ctypes.Structure):
    """``struct clone_args`` of clone(2)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def _check(result: int, call: str, path: str | None = None) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}", path)
    return result


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system; the empty string stands for a null argument."""
    arguments = [text.encode() if text else None for text in (source, target, fstype)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {fstype}", target)


def umount(target: str, flags: int = 0) -> None:
    """Unmount; MNT_DETACH does it lazily."""
    _check(_libc.umount2(target.encode(), flags), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root of the mount namespace and put the old one at ``put_old``."""
    _check(_libc.pivot_root(new_root.encode(), put_old.encode()), "pivot_root", new_root)


def unshare(flags: int) -> None:
    """Give the calling thread its own of what the CLONE_… flags name."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Enter a namespace; ``kind`` is the CLONE_NEW… flag of the namespace behind ``fd``."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when its parent thread ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def adopt_orphans(adopt: bool) -> None:
    """Have, or no longer have, descendants whose parents end become children of this process
    (PR_SET_CHILD_SUBREAPER).
    """
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


def drop_bounding_capability(number: int) -> None:
    """Take one capability out of the bounding set (PR_CAPBSET_DROP)."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"prctl PR_CAPBSET_DROP {number}")


def no_new_privileges() -> None:
    """Never gain privileges by execve from here on (PR_SET_NO_NEW_PRIVS)."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS")


def close_on_exec_from(first: int) -> None:
    """Mark every file descriptor from ``first`` on to be closed by execve (close_range(2))."""
    _check(_libc.close_range(first, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC), "close_range")


def clone3(flags: int, exit_signal: int, cgroup: int | None = None) -> tuple[int, int]:
    """Fork: a copy of the calling process in new namespaces.

    Only for a process with one thread: handlers for fork, of Python and of the C library, do not run.

    Args:
        flags: CLONE_NEW… flags; CLONE_PIDFD is added.
        exit_signal: the signal that tells the parent of the child's end.
        cgroup: file descriptor of the cgroup v2 directory in which the child starts.

    Returns:
        The child's pid and a pidfd of it in the parent; (0, -1) in the child.
    """
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArguments(
        flags=flags | CLONE_PIDFD | (0 if cgroup is None else CLONE_INTO_CGROUP),
        pidfd=ctypes.addressof(pidfd),
        exit_signal=exit_signal,
        cgroup=0 if cgroup is None else cgroup,
    )
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    pid = _check(_locked_libc.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(arguments), size), f"clone3 {flags:#x}")
    return (pid, pidfd.value) if pid else (0, -1)


def configure_interface(name: str, address: str | None = None, prefix: int = 0, mac: str | None = None) -> None:
    """Give a network interface of the current namespace its addresses and set it up (netdevice(7)).

    Args:
        name: of the interface.
        address: IPv4 address, or None to leave it as it is.
        prefix: length of the network part of ``address``, bits.
        mac: hardware address as ``aa:bb:cc:dd:ee:ff``, or None to leave it as it is.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if mac is not None:
            raw = bytes.fromhex(mac.replace(":", ""))
            _interface_call(control, _SIOCSIFHWADDR, name, struct.pack("=H6s", _ARPHRD_ETHER, raw))
        if address is not None:
            mask = struct.pack("!I", 0xFFFFFFFF << (32 - prefix) & 0xFFFFFFFF)
            for call, value in ((_SIOCSIFADDR, socket.inet_aton(address)), (_SIOCSIFNETMASK, mask)):
                _interface_call(control, call, name, struct.pack("=HH4s", socket.AF_INET, 0, value))
        _interface_call(control, _SIOCSIFFLAGS, name, struct.pack("=h", _IFF_UP))


def _interface_call(control: socket.socket, call: int, name: str, value: bytes) -> None:
    """One ioctl with a ``struct ifreq``: the name in 16 bytes, then a union of 24."""
    try:
        fcntl.ioctl(control, call, struct.pack("16s24s", name.encode(), value))
    except OSError as error:
        raise OSError(error.errno, f"ioctl {call:#x}: {error.strerror}", name) from None
