"""What would set, read or endanger the host's kernel and devices."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager

from . import calls
from .calls import call, device_node, mounted
from .findings import Finding, Host, attempt, claim, every, namespace, opened

_NOWHERE = b"/nonexistent"


def _within(place: AbstractContextManager[str], use: Callable[[str], Callable[[], None]]) -> Callable[[], None]:
    """A call that makes a place of its own and uses what is there."""

    def inside() -> None:
        with place as path:
            use(path)()

    return inside


def _set(kind: str, usual: str, name: str, use: Callable[[str], Callable[[], None]]) -> Finding:
    """Use a file of the kernel's settings, as it lies there and in a mount of one's own."""
    own = _within(mounted(kind), lambda directory: use(f"{directory}/{name}"))
    return every(
        attempt(f"{usual}/{name}", use(f"{usual}/{name}"), absent=[errno.ENOENT]),
        attempt(f"{name} in an own {kind}", own, absent=[errno.ENOENT]),
    )


def _device(name: str, kind: int, major: int, minor: int) -> Finding:
    """Open a device by a node of one's own, to read."""
    opening = _within(device_node(kind, major, minor), lambda path: opened(path, os.O_RDONLY))
    return attempt(f"{name} by an own node", opening, absent=[errno.ENXIO, errno.ENODEV])


def _written_back(path: str) -> Callable[[], None]:
    def write() -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.write(descriptor, os.pread(descriptor, 100, 0))

    return write


def _read_some(path: str) -> Callable[[], None]:
    def read() -> None:
        with open(path, "rb", buffering=0) as file:
            if not file.read(4):  # hidden beneath an empty file
                raise FileNotFoundError(errno.ENOENT, "empty", path)

    return read


def _opened_to_write(path: str) -> Callable[[], None]:
    return opened(path, os.O_WRONLY)


@claim
def cannot_mount_file_systems(host: Host) -> Finding:
    return attempt("mounting a tmpfs", _within(mounted("tmpfs"), lambda path: lambda: None))


@claim
def cannot_write_sysctls(host: Host) -> Finding:
    return _set("proc", "/proc", "sys/kernel/panic_on_oops", _written_back)


@claim
def cannot_name_a_program_for_the_kernel_to_run(host: Host) -> Finding:
    names = ("sys/kernel/core_pattern", "sys/kernel/modprobe")
    return every(*(_set("proc", "/proc", name, _opened_to_write) for name in names))


@claim
def cannot_give_orders_by_sysrq(host: Host) -> Finding:
    return _set("proc", "/proc", "sysrq-trigger", _opened_to_write)


@claim
def cannot_write_settings_in_sysfs(host: Host) -> Finding:
    # A sysfs shows a network namespace; mounted again in the same it would be the same, read-only where that is.
    renewed = attempt("unshare(CLONE_NEWNET)", lambda: call(calls.UNSHARE, calls.CLONE_NEWNET), absent=[errno.EINVAL])
    names = ("kernel/mm/transparent_hugepage/enabled", "kernel/rcu_expedited", "kernel/uevent_helper")
    found = every(*(_set("sysfs", "/sys", name, _opened_to_write) for name in names))
    return Finding(found.holds, f"after {renewed.evidence}: {found.evidence}")


@claim
def cannot_open_host_disks(host: Host) -> Finding:
    with open("/proc/partitions") as file:
        rows = [line.split() for line in file if line.strip()][1:]
    disks = [row for row in rows if not row[3].startswith(("ram", "zram", "loop", "sr", "fd"))] or rows
    if not disks:
        return Finding(True, "no disk in /proc/partitions")
    major, minor, _, name = disks[0]
    return _device(name, stat.S_IFBLK, int(major), int(minor))


@claim
def cannot_read_the_memory_of_the_host(host: Host) -> Finding:
    return every(
        _device("/dev/mem", stat.S_IFCHR, 1, 1),
        _set("proc", "/proc", "kcore", _read_some),
    )


@claim
def cannot_read_the_kernel_log(host: Host) -> Finding:
    return every(
        attempt("syslog", lambda: call(calls.SYSLOG, 3, ctypes.create_string_buffer(64), 64)),
        _device("/dev/kmsg", stat.S_IFCHR, 1, 11),
    )


@claim
def cannot_load_kernel_modules(host: Host) -> Finding:
    module = b"no module"
    return attempt("init_module", lambda: call(calls.INIT_MODULE, module, len(module), b""), allowed=[errno.ENOEXEC])


@claim
def cannot_load_another_kernel(host: Host) -> Finding:
    # Neither so many segments nor such flags exist (kexec_load(2)).
    return attempt("kexec_load", lambda: call(calls.KEXEC_LOAD, 0, 1 << 20, None, 0xFFF0), allowed=[errno.EINVAL])


@claim
def cannot_reboot_the_host(host: Host) -> Finding:
    # Without its magic numbers the call does nothing (reboot(2)).
    finding = attempt("reboot", lambda: call(calls.REBOOT, 0, 0, 0, None), allowed=[errno.EINVAL])
    if not finding.holds and namespace("pid") not in host.namespaces:
        return Finding(True, "reboot would end this instance alone")
    return finding


@claim
def cannot_change_the_clock(host: Host) -> Finding:
    # There is no zone this far to the west, which is looked at after the right to set the clock.
    zone = struct.pack("ii", 100_000, 0)
    return attempt("settimeofday", lambda: call(calls.SETTIMEOFDAY, None, zone), allowed=[errno.EINVAL])


@claim
def cannot_turn_swap_off(host: Host) -> Finding:
    return attempt("swapoff of nothing", lambda: call(calls.SWAPOFF, _NOWHERE), allowed=[errno.ENOENT])


@claim
def cannot_use_io_ports(host: Host) -> Finding:
    return attempt("iopl", lambda: call(calls.IOPL, 3))


@claim
def cannot_run_in_real_time(host: Host) -> Finding:
    return attempt("SCHED_FIFO", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


@claim
def cannot_use_bpf(host: Host) -> Finding:
    # BPF_PROG_GET_NEXT_ID: which programs the kernel has.
    return attempt("bpf", lambda: call(calls.BPF, 11, ctypes.create_string_buffer(64), 64), allowed=[errno.ENOENT])


@claim
def cannot_watch_the_whole_host_with_perf(host: Host) -> Finding:
    clock = struct.pack("IIQ", 1, 64, 0).ljust(64, b"\0")  # PERF_TYPE_SOFTWARE, of the first published size
    opening = lambda: os.close(call(calls.PERF_EVENT_OPEN, clock, -1, 0, -1, 8))  # noqa: E731 - PERF_FLAG_FD_CLOEXEC
    return attempt("perf_event_open of CPU 0", opening, absent=[errno.ENOENT, errno.ENODEV])


@claim
def cannot_reach_host_keyrings(host: Host) -> Finding:
    # KEYCTL_GET_KEYRING_ID of the session's keyring, which is not made if there is none.
    return attempt("keyctl", lambda: call(calls.KEYCTL, 0, -3, 0), allowed=[errno.ENOKEY])


@claim
def cannot_hold_up_the_kernel_by_page_faults(host: Host) -> Finding:
    return attempt("userfaultfd", lambda: os.close(call(calls.USERFAULTFD, os.O_CLOEXEC)))
