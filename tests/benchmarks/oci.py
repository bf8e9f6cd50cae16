"""The OCI bundle that runc and crun are given: what our container has, asked for in their terms.

Where the two could differ the choice favours them: the root is an overlay that is mounted already, there is no console,
no hook, no cgroup file system and no message queue to mount, and the seccomp filter is a short list of refusals, which
takes less time to compile and load than a long list of permissions (config.md, config-linux.md of the OCI runtime
specification 1.0).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtimes.base import Limits

_CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
]
"""Those that Docker gives by default."""

_SECCOMP = Path(__file__).with_name("seccomp.json")
"""What a container has no business with, refused with EPERM; everything else is allowed."""

_MASKED = ("acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")

_MOUNTS = (
    ("/proc", "proc", "nosuid nodev noexec"),
    ("/sys", "sysfs", "nosuid nodev noexec ro"),
    ("/tmp", "tmpfs", "nosuid nodev mode=1777"),
    ("/run", "tmpfs", "nosuid nodev mode=0755"),
    ("/dev", "tmpfs", "nosuid mode=0755"),
    ("/dev/pts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620"),
    ("/dev/shm", "tmpfs", "nosuid nodev mode=1777"),
)


def write_bundle(
    bundle: Path, root: Path, argv: Sequence[str], cgroup: str, limits: Limits, cpus: Sequence[int]
) -> None:
    """Make the directory ``bundle``, with a ``config.json`` that runs ``argv`` in ``root`` under these limits."""
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(_config(root, argv, cgroup, limits, cpus)))


def _config(root: Path, argv: Sequence[str], cgroup: str, limits: Limits, cpus: Sequence[int]) -> dict[str, Any]:
    capability_sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.0.0",
        "root": {"path": str(root), "readonly": False},
        "hostname": "bench-peer",
        "process": {
            "args": list(argv),
            "cwd": "/",
            "env": [],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(capability_sets, _CAPABILITIES),
        },
        "mounts": [
            {"destination": path, "type": kind, "source": kind, "options": options.split()}
            for path, kind, options in _MOUNTS
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "resources": {
                "cpu": {"cpus": ",".join(map(str, cpus))},
                "memory": {"limit": limits.memory, "swap": limits.memory},
                "pids": {"limit": limits.pids or 0},
                "devices": [{"allow": False, "access": "rwm"}],
            },
            "seccomp": json.loads(_SECCOMP.read_text()),
            "maskedPaths": [*(f"/proc/{name}" for name in _MASKED), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in _READ_ONLY],
        },
    }
