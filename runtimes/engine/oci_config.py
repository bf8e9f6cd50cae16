"""What an OCI runtime is told of a container: the ``config.json`` of its bundle (OCI runtime specification 1.0.2).

It says the same as our own container's steps: the namespaces, mounts, capabilities, system calls and limits are alike,
so that what is compared is the runtimes.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.agent.client import BASE_ENVIRONMENT
from runtimes.base import AGENT_PATH, IoLimits, Limits
from runtimes.cgroup.base import QUOTA_PERIOD, quota
from runtimes.cgroup.devices import USUAL_DEVICES
from runtimes.cgroup.disks import number_of
from runtimes.cgroup.v1 import cpu_shares
from runtimes.container import hardening
from runtimes.container.seccomp import Condition, Profile
from runtimes.launcher.limits import LIMITS, NAMES
from runtimes.launcher.rootfs import Owners
from runtimes.topology import format_cpus

VERSION = "1.0.2"

STDIO_AGENT_ARGV = (AGENT_PATH, "--stdio")
"""The agent, which finds its stream where an engine hands it on."""

_PLAIN = ("nosuid", "noexec", "nodev")

_MOUNTS: tuple[dict[str, Any], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": list(_PLAIN)},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "noexec", "nodev", "mode=1777"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_PLAIN, "ro"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
    {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]},
)

_LIMIT_OF_IO = {
    "throttleReadBpsDevice": "read_bytes",
    "throttleWriteBpsDevice": "write_bytes",
    "throttleReadIOPSDevice": "read_ops",
    "throttleWriteIOPSDevice": "write_ops",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One container.

    Attributes:
        root: directory of its root file system, writable.
        hostname: its host name.
        limits: what it may use.
        cpus: the CPUs that it may run on.
        cgroups_path: as :meth:`runtimes.cgroup.CgroupTree.oci_path_of` has it.
        version: of control groups on this host, 1 or 2.
        swap: whether swap can be limited.
        network: a file of the network namespace to join; empty for one of its own, None for that of the runtime.
        scratch: a block device to mount at ``/scratch``, or None.
        limited_disk: the block device that ``limits.io`` is for, or None.
        seccomp: the filter of system calls, or None.
        owners: whom the files of the root belong to, where the container is to have a user namespace; the scratch disk
            is mounted already then.
    """

    root: Path
    hostname: str
    limits: Limits
    cpus: Sequence[int]
    cgroups_path: str
    version: int
    swap: bool
    network: str | None
    scratch: Path | None
    limited_disk: Path | None
    seccomp: Profile | None
    owners: Owners | None = None


def make_config(wanted: Wanted) -> dict[str, Any]:
    """The content of ``config.json``."""
    kept = [f"CAP_{name}" for name in hardening.KEPT_CAPABILITIES]
    environment = [f"{name}={value}" for name, value in BASE_ENVIRONMENT.items()]
    scratch = {"destination": "/scratch", "type": "ext4", "source": str(wanted.scratch), "options": ["rw"]}
    return {
        "ociVersion": VERSION,
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(STDIO_AGENT_ARGV),
            "env": environment,
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), kept),
            "rlimits": [_rlimit(kind, *values) for kind, values in LIMITS.items()],
            "noNewPrivileges": True,
            "oomScoreAdj": 0,
        },
        "root": {"path": str(wanted.root), "readonly": False},
        "hostname": wanted.hostname,
        "mounts": [*_mounts(wanted.owners), *([scratch] if wanted.scratch else [])],
        "linux": {
            "namespaces": _namespaces(wanted.network, wanted.owners),
            **_mappings(wanted.owners),
            "cgroupsPath": wanted.cgroups_path,
            "resources": resources(wanted),
            "maskedPaths": [f"/{path}" for path in (*hardening.MASKED_FILES, *hardening.MASKED_DIRECTORIES)],
            "readonlyPaths": [f"/{path}" for path in hardening.READ_ONLY],
            **({"seccomp": seccomp(wanted.seccomp)} if wanted.seccomp else {}),
        },
    }


def _rlimit(kind: int, soft: int, hard: int) -> dict[str, Any]:
    """A limit of setrlimit(2) in the words of the specification."""
    infinity = (1 << 64) - 1
    return {
        "type": f"RLIMIT_{NAMES[kind]}",
        "soft": infinity if soft == resource.RLIM_INFINITY else soft,
        "hard": infinity if hard == resource.RLIM_INFINITY else hard,
    }


def _mounts(owners: Owners | None) -> list[dict[str, Any]]:
    if owners is None:
        return list(_MOUNTS)
    # Only who owns a network namespace may mount a sysfs that shows it: what is there already is shown.
    shown = {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *_PLAIN, "ro"]}
    return [shown if each["destination"] == "/sys" else each for each in _MOUNTS]


def _mappings(owners: Owners | None) -> dict[str, Any]:
    if owners is None:
        return {}
    mapping = [{"containerID": 0, "hostID": owners.first, "size": owners.count}]
    return {"uidMappings": mapping, "gidMappings": mapping}


def _namespaces(network: str | None, owners: Owners | None) -> list[dict[str, str]]:
    own = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", *(["user"] if owners else []))]
    if network is None:
        return own
    return [*own, {"type": "network", **({"path": network} if network else {})}]


def resources(wanted: Wanted) -> dict[str, Any]:
    """The limits in the words of the specification (config-linux, "Control groups")."""
    limits = wanted.limits
    cpu: dict[str, Any] = {"cpus": format_cpus(tuple(wanted.cpus))}
    if (share := quota(limits.cpus)) is not None:
        cpu |= {"quota": share, "period": QUOTA_PERIOD}
    found: dict[str, Any] = {"cpu": cpu, "devices": _devices(wanted.scratch), "memory": {"limit": limits.memory}}
    if wanted.swap:
        found["memory"]["swap"] = limits.memory + limits.memory_swap
    if limits.cpu_weight is not None:
        if wanted.version == 1:
            cpu["shares"] = cpu_shares(limits.cpu_weight)
        else:
            # The shares of version 1 are made into weights that mean something else.
            found["unified"] = {"cpu.weight": str(limits.cpu_weight)}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    if wanted.limited_disk is not None and limits.io != IoLimits():
        found["blockIO"] = _block_io(wanted.limited_disk, limits.io)
    return found


def _devices(scratch: Path | None) -> list[dict[str, Any]]:
    """None but the usual ones can be opened, as in our own container; all can be made.

    The scratch disk can, too: crun mounts it when the rules hold already.
    """
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    for device in USUAL_DEVICES:
        number = {"major": device.major} | ({} if device.minor is None else {"minor": device.minor})
        rules.append({"allow": True, "type": device.kind, **number, "access": "rwm"})
    if scratch is not None:
        major, minor = _numbers(scratch)
        rules.append({"allow": True, "type": "b", "major": major, "minor": minor, "access": "rw"})
    return rules


def _numbers(device: Path) -> tuple[int, int]:
    major, minor = number_of(device).split(":")
    return int(major), int(minor)


def _block_io(device: Path, limits: IoLimits) -> dict[str, Any]:
    major, minor = _numbers(device)
    found: dict[str, Any] = {}
    for key, name in _LIMIT_OF_IO.items():
        rate = getattr(limits, name)
        if rate is not None:
            found[key] = [{"major": major, "minor": minor, "rate": rate}]
    return found


def seccomp(profile: Profile) -> dict[str, Any]:
    """The filter of our own container in the words of the specification."""
    calls: list[dict[str, Any]] = [{"names": list(profile.allow), "action": "SCMP_ACT_ALLOW"}]
    for name, number in profile.errors.items():
        calls.append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": number})
    calls += [
        {"names": [condition.call], "action": "SCMP_ACT_ALLOW", "args": [_argument(condition)]}
        for condition in profile.conditions
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": profile.otherwise,
        "architectures": [_ARCHITECTURES[os.uname().machine]],
        "syscalls": calls,
    }


_ARCHITECTURES: Mapping[str, str] = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def _argument(condition: Condition) -> dict[str, Any]:
    if condition.differs is not None:
        return {"index": condition.argument, "value": condition.differs, "op": "SCMP_CMP_NE"}
    if condition.mask is not None:
        return {
            "index": condition.argument,
            "value": condition.mask,
            "valueTwo": condition.equals,
            "op": "SCMP_CMP_MASKED_EQ",
        }
    return {"index": condition.argument, "value": condition.equals, "op": "SCMP_CMP_EQ"}
