"""What keeps a container's root user from the host: the steps, and what they are made of.

Each part can be switched off in an arm, to see what it costs. Together they are what Docker does by default, so that
figures compare.
"""

from __future__ import annotations

import struct
from pathlib import Path

from runtimes.launcher.steps import Steps
from runtimes.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT

KEPT_CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
"""What a container keeps, with their numbers (linux/capability.h): the set that Docker gives by default."""

READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")
"""What sets the host's kernel, where root may write without any capability."""

MASKED_FILES = (
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/kallsyms",
    "proc/kmsg",
)
MASKED_DIRECTORIES = ("proc/acpi", "proc/asound", "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap")
"""What tells of the host, or of its other users."""

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")


def mask_paths(root: str) -> Steps:
    """The steps that hide, or make read-only, what in /proc and /sys of a mounted root tells of or sets the host."""
    steps = Steps("mask what is the host's")
    for name in filter(_exists, READ_ONLY):
        path = f"{root}/{name}"
        steps.mount(path, path, "", MS_BIND)
        steps.mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in filter(_exists, MASKED_FILES):
        steps.mount(f"{root}/dev/null", f"{root}/{name}", "", MS_BIND)
    for name in filter(_exists, MASKED_DIRECTORIES):
        steps.mount(
            "tmpfs", f"{root}/{name}", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_blocks=1,nr_inodes=1"
        )
    return steps


def _exists(name: str) -> bool:
    """Which of them there are is a matter of the kernel's configuration, and so the same inside."""
    return Path("/", name).exists()


def give_up_privileges(*, no_new_privileges: bool, capabilities: bool, seccomp: bytes | None) -> Steps:
    """The last steps before the program: away with what a container does not need.

    Args:
        no_new_privileges: never gain privileges by execve from here on.
        capabilities: keep ``KEPT_CAPABILITIES`` only.
        seccomp: a filter for system calls, or None.
    """
    steps = Steps("give up privileges")
    steps.call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0, about="KEYCTL_JOIN_SESSION_KEYRING")
    kept = sum(1 << number for number in KEPT_CAPABILITIES.values())
    if no_new_privileges:
        steps.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, about="PR_SET_NO_NEW_PRIVS")
    if capabilities:
        for number in range(int(_LAST_CAPABILITY.read_text()) + 1):
            if not kept >> number & 1:
                steps.call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, about=f"PR_CAPBSET_DROP {number}")
    if seccomp is not None:
        # Before capabilities go: without no_new_privs a filter needs CAP_SYS_ADMIN.
        steps.filter_system_calls(seccomp)
    if capabilities:
        low, high = kept & 0xFFFFFFFF, kept >> 32
        header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
        steps.call("capset", header, struct.pack("=6I", low, low, 0, high, high, 0))
    steps.stamp("hardening")
    return steps
