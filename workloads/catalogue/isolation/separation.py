"""What an instance has of its own, and the host's processes, which it must not reach."""

from __future__ import annotations

import errno
import os
import socket

from . import calls
from .findings import Finding, Host, attempt, claim, every, namespace, opened, status

_PTRACE_SEIZE = 0x4206


def _own(host: Host, kind: str, what: str) -> Finding:
    mine = namespace(kind)
    return Finding(mine not in host.namespaces, f"{mine}, {what}")


@claim
def has_its_own_kernel(host: Host) -> Finding:
    with open("/proc/sys/kernel/random/boot_id") as file:
        mine = file.read().strip()
    return Finding(mine != host.boot_id, f"boot id {mine}")


@claim
def has_its_own_mount_table(host: Host) -> Finding:
    with open("/proc/self/mountinfo") as file:
        return _own(host, "mnt", f"{len(list(file))} mounts")


@claim
def has_its_own_network(host: Host) -> Finding:
    return _own(host, "net", f"interfaces {', '.join(name for _, name in socket.if_nameindex())}")


@claim
def has_its_own_host_name(host: Host) -> Finding:
    return _own(host, "uts", f"host name {socket.gethostname()}")


@claim
def has_its_own_ipc(host: Host) -> Finding:
    with open("/proc/sysvipc/shm") as file:
        return _own(host, "ipc", f"{len(list(file)) - 1} segments of shared memory")


@claim
def has_its_own_view_of_cgroups(host: Host) -> Finding:
    with open("/proc/self/cgroup") as file:
        paths = sorted({line.rstrip("\n").split(":", 2)[2] for line in file})
    outside = [path for path in paths if path.startswith("/..")]
    return every(_own(host, "cgroup", f"in {', '.join(paths)}"), Finding(not outside, f"above its root: {outside}"))


@claim
def root_inside_is_not_root_outside(host: Host) -> Finding:
    with open("/proc/self/uid_map") as file:
        ranges = [[int(word) for word in line.split()] for line in file]
    outside = [there - here for here, there, count in ranges if here <= 0 < here + count]
    return Finding(bool(outside) and outside[0] != 0, f"user 0 here is {outside} there")


@claim
def cannot_see_host_processes(host: Host) -> Finding:
    # In a /proc that belongs to other process ids than one's own, a process has a number for each (proc_pid_status(5)).
    numbers = status("NSpid").split()
    seen = sum(name.isdecimal() for name in os.listdir("/proc"))
    foreign = Finding(len(numbers) == 1, f"/proc has {len(numbers)} numbers for this process")
    return every(_own(host, "pid", f"{seen} processes in /proc"), foreign)


def _if_of_the_host(host: Host, finding: Finding) -> Finding:
    """What was done to the process with the host's number counts if numbers here are the host's."""
    if finding.holds or namespace("pid") in host.namespaces:
        return finding
    return Finding(True, f"process {host.pid} is one of the instance's own")


@claim
def cannot_signal_host_processes(host: Host) -> Finding:
    finding = attempt(f"kill({host.pid}, 0)", lambda: os.kill(host.pid, 0), absent=[errno.ESRCH])
    return _if_of_the_host(host, finding)


@claim
def cannot_trace_host_processes(host: Host) -> Finding:
    # It neither stops the process nor outlasts this one (ptrace(2)).
    finding = attempt(
        f"PTRACE_SEIZE of {host.pid}",
        lambda: calls.call(calls.PTRACE, _PTRACE_SEIZE, host.pid, 0, 0),
        absent=[errno.ESRCH],
    )
    return _if_of_the_host(host, finding)


@claim
def cannot_read_memory_of_host_processes(host: Host) -> Finding:
    path = f"/proc/{host.pid}/mem"
    finding = attempt(f"opening {path}", opened(path, os.O_RDONLY), absent=[errno.ENOENT, errno.ESRCH])
    return _if_of_the_host(host, finding)


@claim
def cannot_join_host_namespaces(host: Host) -> Finding:
    def join() -> None:
        descriptor = os.open(f"/proc/{host.pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        calls.call(calls.SETNS, descriptor, 0)

    finding = attempt(f"setns to that of process {host.pid}", join, absent=[errno.ENOENT])
    return _if_of_the_host(host, finding)
