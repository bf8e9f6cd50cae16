"""What Docker is told of a container: in its API's words, and in those of its command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.base import Limits
from runtimes.cgroup.base import QUOTA_PERIOD, quota
from runtimes.cgroup.v1 import cpu_shares
from runtimes.engine.oci_config import STDIO_AGENT_ARGV
from runtimes.launcher.limits import LIMITS, NAMES
from runtimes.topology import format_cpus

SCRATCH = "/scratch"

_IO_OPTIONS = {
    "read_bytes": ("BlkioDeviceReadBps", "--device-read-bps"),
    "write_bytes": ("BlkioDeviceWriteBps", "--device-write-bps"),
    "read_ops": ("BlkioDeviceReadIOps", "--device-read-iops"),
    "write_ops": ("BlkioDeviceWriteIOps", "--device-write-iops"),
}

_NOT_TAKEN = "AS"
"""The limit that Docker has no name for; a container has it of the daemon."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One container.

    Attributes:
        name: its host name, and by which it is known to the daemon.
        image: digest of its image.
        limits: what it may use.
        cpus: the CPUs that it may run on.
        parent: the cgroup below which the daemon makes its own.
        version: of control groups on this host, 1 or 2.
        swap: whether swap can be limited.
        network: ``default`` for the daemon's bridge, ``host`` or ``none``.
        volume: name of the volume to mount at ``/scratch``, or None.
        disk: the block device that ``limits.io`` is for, or None.
        seccomp: whether system calls are filtered, by Docker's own profile.
    """

    name: str
    image: str
    limits: Limits
    cpus: Sequence[int]
    parent: str
    version: int
    swap: bool
    network: str
    volume: str | None
    disk: Path | None
    seccomp: bool


def create_body(wanted: Wanted) -> dict[str, Any]:
    """The body of the request to create it (API, ``ContainerCreate``)."""
    return {
        "Image": wanted.image,
        "Cmd": list(STDIO_AGENT_ARGV),
        "Hostname": wanted.name,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(wanted),
    }


def _host_config(wanted: Wanted) -> dict[str, Any]:
    limits = wanted.limits
    config: dict[str, Any] = {
        "CgroupParent": wanted.parent,
        # The agent's stream would be written to a file, in JSON.
        "LogConfig": {"Type": "none"},
        "NetworkMode": wanted.network,
        "CpusetCpus": format_cpus(tuple(wanted.cpus)),
        "Memory": limits.memory,
        "ShmSize": limits.memory,
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in _ulimits()],
    }
    if wanted.swap:
        config["MemorySwap"] = limits.memory + limits.memory_swap
    if (share := quota(limits.cpus)) is not None:
        config |= {"CpuPeriod": QUOTA_PERIOD, "CpuQuota": share}
    if limits.cpu_weight is not None:
        config["CpuShares"] = shares(limits.cpu_weight, wanted.version)
    if limits.pids is not None:
        config["PidsLimit"] = limits.pids
    for (key, _), rate in _io_limits(wanted):
        config[key] = [{"Path": str(wanted.disk), "Rate": rate}]
    config["SecurityOpt"] = _security_options(wanted)
    if wanted.volume is not None:
        # Docker would mount it once more before, to copy into it what the image has there.
        mount = {"Type": "volume", "Source": wanted.volume, "Target": SCRATCH, "VolumeOptions": {"NoCopy": True}}
        config["Mounts"] = [mount]
    return config


def _security_options(wanted: Wanted) -> list[str]:
    """No arm has a profile of AppArmor, which would stay loaded in the host's kernel."""
    return ["apparmor=unconfined", *([] if wanted.seccomp else ["seccomp=unconfined"])]


def run_arguments(wanted: Wanted) -> Iterator[str]:
    """The same for ``docker run``, which removes it at its end."""
    limits = wanted.limits
    yield from ("run", "--interactive", "--rm", "--log-driver=none", f"--name={wanted.name}")
    yield from (f"--hostname={wanted.name}", f"--cgroup-parent={wanted.parent}", f"--network={wanted.network}")
    yield f"--cpuset-cpus={format_cpus(tuple(wanted.cpus))}"
    yield from (f"--memory={limits.memory}", f"--shm-size={limits.memory}")
    if wanted.swap:
        yield f"--memory-swap={limits.memory + limits.memory_swap}"
    if (share := quota(limits.cpus)) is not None:
        yield from (f"--cpu-period={QUOTA_PERIOD}", f"--cpu-quota={share}")
    if limits.cpu_weight is not None:
        yield f"--cpu-shares={shares(limits.cpu_weight, wanted.version)}"
    if limits.pids is not None:
        yield f"--pids-limit={limits.pids}"
    for (_, option), rate in _io_limits(wanted):
        yield f"{option}={wanted.disk}:{rate}"
    for name, soft, hard in _ulimits():
        yield f"--ulimit={name}={soft}:{hard}"
    for option in _security_options(wanted):
        yield f"--security-opt={option}"
    if wanted.volume is not None:
        yield f"--mount=type=volume,source={wanted.volume},target={SCRATCH},volume-nocopy"
    yield from (wanted.image, *STDIO_AGENT_ARGV)


def volume_body(name: str, device: Path) -> dict[str, Any]:
    """The body of the request to make a volume of a disk: it is mounted when a container with it starts."""
    return {"Name": name, "Driver": "local", "DriverOpts": {"type": "ext4", "device": str(device)}}


def shares(weight: int, version: int) -> int:
    """A weight, as :class:`runtimes.base.Limits` has it, as the shares that runc makes that weight of again.

    On version 2 it maps 2 to 262144 to 1 to 10000 and rounds down (``ConvertCPUSharesToCgroupV2Value`` in
    libcontainer/cgroups/utils.go).
    """
    if version == 1:
        return cpu_shares(weight)
    return 2 + -(-(weight - 1) * 262142 // 9999)


def _io_limits(wanted: Wanted) -> Iterator[tuple[tuple[str, str], int]]:
    for name, words in _IO_OPTIONS.items():
        rate = getattr(wanted.limits.io, name)
        if rate is not None and wanted.disk is not None:
            yield words, rate


def _ulimits() -> Iterator[tuple[str, int, int]]:
    """Docker's names of the limits of setrlimit(2), with those that every arm has."""
    for kind, (soft, hard) in LIMITS.items():
        if NAMES[kind] != _NOT_TAKEN:
            yield NAMES[kind].lower(), soft, hard
