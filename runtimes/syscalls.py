"""System calls that Python 3.11 does not offer, each a few lines over ctypes.

Each is named like its manual page in section 2, where more stands about it. Every failure is an OSError with the name
of the call and the path it was about. What a new process does before it executes its program stands elsewhere, in
:mod:`runtimes.launcher.steps`.
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
CLONE_VM = 0x00000100
CLONE_FS = 0x00000200
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

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS, _SIOCSIFHWADDR = 0x8916, 0x891C, 0x8914, 0x8924
_SIOCADDRT = 0x890B
_RTF_UP, _RTF_GATEWAY = 1, 2
_IFF_UP = 1
_ARPHRD_ETHER = 1

_libc = ctypes.CDLL(None, use_errno=True)


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


def unshare(flags: int) -> None:
    """Give the calling thread its own of what the CLONE_… flags name."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Enter a namespace; ``kind`` is the CLONE_NEW… flag of the namespace behind ``fd``."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def be_told_of_parents_end(number: int) -> None:
    """Have this process get a signal when the thread that started it ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def adopt_orphans(adopt: bool) -> None:
    """Have, or no longer have, descendants whose parents end become children of this process
    (PR_SET_CHILD_SUBREAPER).
    """
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


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


def add_default_route(gateway: str) -> None:
    """Have all that the current network namespace has no other route for go by way of ``gateway``, an IPv4 address
    (``struct rtentry`` in linux/route.h, on a 64-bit machine).
    """
    everywhere, way = (struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(to)) for to in ("0.0.0.0", gateway))
    entry = struct.pack("=Q16s16s16sH70x", 0, everywhere, way, everywhere, _RTF_UP | _RTF_GATEWAY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCADDRT, entry)
        except OSError as error:
            raise OSError(error.errno, f"ioctl SIOCADDRT: {error.strerror}", gateway) from None


def _interface_call(control: socket.socket, call: int, name: str, value: bytes) -> None:
    """One ioctl with a ``struct ifreq``: the name in 16 bytes, then a union of 24."""
    try:
        fcntl.ioctl(control, call, struct.pack("16s24s", name.encode(), value))
    except OSError as error:
        raise OSError(error.errno, f"ioctl {call:#x}: {error.strerror}", name) from None
