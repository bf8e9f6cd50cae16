"""What ``podman run`` is told of a container: the limits in Podman's own options (podman-run(1))."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import Limits
from runtimes.cgroup.base import QUOTA_PERIOD, quota
from runtimes.cgroup.v1 import cpu_shares
from runtimes.launcher.instance import AGENT_ARGV
from runtimes.launcher.limits import LIMITS, NAMES

_INHERITED = frozenset({"AS", "LOCKS"})
"""Limits that Podman cannot set: its containers have those that it has."""

_RATES = {
    "read_bytes": "--device-read-bps",
    "write_bytes": "--device-write-bps",
    "read_ops": "--device-read-iops",
    "write_ops": "--device-write-iops",
}

_MEMORY_FILE_SYSTEMS = {"/tmp": "rw,nosuid,nodev,notmpcopyup,mode=1777", "/run": "rw,nosuid,nodev,notmpcopyup,mode=755"}
"""As in every arm."""


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """What Podman writes of a container.

    Attributes:
        conmon_pid: the process id of conmon, which writes it as it begins.
        pid: that of the container's first process, which the OCI runtime writes once it has made it.
        id: the container's full id.
    """

    conmon_pid: Path
    pid: Path
    id: Path

    @classmethod
    def below(cls, directory: Path, name: str) -> WrittenFiles:
        """Those of a container of this name in a directory."""
        return cls(*(directory / f"{name}.{kind}" for kind in ("conmon", "pid", "id")))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One container.

    Attributes:
        name: of the container, and its host name.
        image: id of the image.
        limits: what it may use.
        cpus: the CPUs that it may run on.
        cgroup_parent: where its cgroup is made.
        version: of control groups on this host, 1 or 2.
        swap: whether swap can be limited.
        network: a file of the network namespace to join; empty for one of its own, None for that of Podman.
        volume: name of the volume to mount at ``/scratch``, or None.
        limited_disk: the block device that ``limits.io`` is for, or None.
        seccomp: whether system calls are filtered.
        owners: the mapping of users and groups of a user namespace, as ``--uidmap`` has it, or None.
        files: what Podman is to write, as it sees them.
    """

    name: str
    image: str
    limits: Limits
    cpus: Sequence[int]
    cgroup_parent: str
    version: int
    swap: bool
    network: str | None
    volume: str | None
    limited_disk: Path | None
    seccomp: bool
    owners: str | None
    files: WrittenFiles


def run_arguments(wanted: Wanted) -> list[str]:
    """``run`` and all that follows: detached, removed at its end, with the agent's stream handed on as it is."""
    return [
        "run",
        "--detach",
        "--rm",
        "--pull=never",
        "--preserve-fds=1",
        "--log-driver=passthrough",
        f"--name={wanted.name}",
        f"--hostname={wanted.name}",
        f"--conmon-pidfile={wanted.files.conmon_pid}",
        f"--pidfile={wanted.files.pid}",
        f"--cidfile={wanted.files.id}",
        "--cgroups=no-conmon",
        f"--cgroup-parent={wanted.cgroup_parent}",
        f"--network={_network(wanted.network)}",
        "--shm-size=0",
        *(f"--tmpfs={at}:{how}" for at, how in _MEMORY_FILE_SYSTEMS.items()),
        *([f"--volume={wanted.volume}:/scratch:suid,dev,exec,nocopy"] if wanted.volume else []),
        *([] if wanted.seccomp else ["--security-opt=seccomp=unconfined"]),
        *([f"--uidmap={wanted.owners}", f"--gidmap={wanted.owners}"] if wanted.owners else []),
        *_limits(wanted),
        wanted.image,
        *AGENT_ARGV,
    ]


def _network(network: str | None) -> str:
    if network is None:
        return "host"
    return f"ns:{network}" if network else "none"


def _limits(wanted: Wanted) -> Iterator[str]:
    limits = wanted.limits
    yield f"--cpuset-cpus={','.join(map(str, wanted.cpus))}"
    if (share := quota(limits.cpus)) is not None:
        yield f"--cpu-quota={share}"
        yield f"--cpu-period={QUOTA_PERIOD}"
    if limits.cpu_weight is not None:
        # The shares of version 1 are made into weights that mean something else.
        yield (
            f"--cpu-shares={cpu_shares(limits.cpu_weight)}"
            if wanted.version == 1
            else f"--cgroup-conf=cpu.weight={limits.cpu_weight}"
        )
    yield f"--memory={limits.memory}"
    if wanted.swap:
        yield f"--memory-swap={limits.memory + limits.memory_swap}"
    yield f"--pids-limit={-1 if limits.pids is None else limits.pids}"
    if wanted.limited_disk is not None:
        for name, option in _RATES.items():
            rate = getattr(limits.io, name)
            if rate is not None:
                yield f"{option}={wanted.limited_disk}:{rate}"
    for kind, (soft, hard) in LIMITS.items():
        if NAMES[kind] not in _INHERITED:
            yield f"--ulimit={NAMES[kind].lower()}={_ulimit(soft)}:{_ulimit(hard)}"


def _ulimit(value: int) -> int:
    return -1 if value == resource.RLIM_INFINITY else value
