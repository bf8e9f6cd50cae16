"""What LXC is told of a container: its configuration file (lxc.container.conf(5))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from runtimes.base import AGENT_PATH, IoLimits, Limits
from runtimes.cgroup.base import QUOTA_PERIOD, quota
from runtimes.cgroup.devices import USUAL_DEVICES
from runtimes.cgroup.disks import number_of
from runtimes.cgroup.v1 import IO_FILES, cpu_shares
from runtimes.cgroup.v2 import IO_KEYS
from runtimes.container import hardening
from runtimes.network import INTERFACE, Place
from runtimes.topology import format_cpus

SECCOMP_PROFILE = Path("/usr/share/lxc/config/common.seccomp")
"""LXC's own, which Debian's configurations of containers name."""

Setting = tuple[str, str]

_PLAIN: tuple[Setting, ...] = (
    ("lxc.init.cmd", f"{AGENT_PATH} --stdio"),
    # No terminals: the agent has the standard input and output that lxc-start was given.
    ("lxc.console.path", "none"),
    ("lxc.tty.max", "0"),
    ("lxc.pty.max", "1024"),
    ("lxc.autodev", "1"),
    ("lxc.mount.auto", "proc:mixed sys:ro"),
    ("lxc.mount.entry", "tmpfs dev/shm tmpfs nosuid,nodev,mode=1777,create=dir 0 0"),
    ("lxc.mount.entry", "tmpfs tmp tmpfs nosuid,nodev,mode=1777 0 0"),
    ("lxc.mount.entry", "tmpfs run tmpfs nosuid,nodev,mode=0755 0 0"),
    ("lxc.cap.keep", " ".join(hardening.KEPT_CAPABILITIES).lower()),
    ("lxc.no_new_privs", "1"),
    # In a container that is filtered itself LXC leaves its own filter out otherwise.
    ("lxc.seccomp.allow_nesting", "1"),
    ("lxc.apparmor.profile", "unconfined"),
)
"""What is alike in all containers."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Where LXC makes its cgroups.

    Attributes:
        version: of control groups on this host, 1 or 2.
        relative: whether the paths are below the cgroups that ``lxc-start`` is in; otherwise from the top.
        container: path of the container's.
        monitor: path of that which ``lxc-start`` moves itself to.
        pivot: path of that which it ends in.
    """

    version: int
    relative: bool
    container: str
    monitor: str
    pivot: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One container.

    Attributes:
        hostname: its host name.
        root: as ``lxc.rootfs.path`` has it.
        groups: its cgroups.
        limits: what it may use.
        cpus: the CPUs that it may run on.
        swap: whether swap can be limited.
        network: ``bridge``, ``nat``, ``host`` or ``none``.
        place: where on the bridge; None without one.
        scratch: an entry of fstab(5) for the scratch disk, or None.
        limited_disk: the block device that ``limits.io`` is for, or None.
        seccomp: whether system calls are filtered.
        owners: first user and group on the host, and how many, of a user namespace; None for the host's own.
    """

    hostname: str
    root: str
    groups: Groups
    limits: Limits
    cpus: Sequence[int]
    swap: bool
    network: str
    place: Place | None
    scratch: str | None
    limited_disk: Path | None
    seccomp: bool
    owners: tuple[int, int] | None = None


def make_config(wanted: Wanted) -> str:
    """The text of the file."""
    return "".join(f"{key} = {value}\n" for key, value in _settings(wanted))


def _settings(wanted: Wanted) -> Iterator[Setting]:
    yield "lxc.uts.name", wanted.hostname
    yield "lxc.rootfs.path", wanted.root
    yield from _PLAIN
    if wanted.scratch is not None:
        yield "lxc.mount.entry", wanted.scratch
    if wanted.seccomp:
        yield "lxc.seccomp.profile", str(SECCOMP_PROFILE)
    if wanted.owners is not None:
        first, count = wanted.owners
        for kind in "ug":
            yield "lxc.idmap", f"{kind} 0 {first} {count}"
    yield from _network(wanted)
    yield from _cgroups(wanted.groups)
    prefix = "lxc.cgroup" if wanted.groups.version == 1 else "lxc.cgroup2"
    limits = _limits_v1(wanted) if wanted.groups.version == 1 else _limits_v2(wanted)
    for key, value in (*limits, *_devices()):
        yield f"{prefix}.{key}", value


def _network(wanted: Wanted) -> Iterator[Setting]:
    place = wanted.place
    if place is None:
        yield "lxc.net.0.type", "none" if wanted.network == "host" else "empty"
        return
    yield "lxc.net.0.type", "veth"
    yield "lxc.net.0.link", place.bridge
    yield "lxc.net.0.veth.pair", place.pair
    yield "lxc.net.0.name", INTERFACE
    yield "lxc.net.0.hwaddr", place.mac
    own = IPv4Interface(f"{place.own}/{place.prefix}")
    yield "lxc.net.0.ipv4.address", f"{own} {own.network.broadcast_address}"
    if place.gateway is not None:
        yield "lxc.net.0.ipv4.gateway", place.gateway
    yield "lxc.net.0.flags", "up"


def _cgroups(groups: Groups) -> Iterator[Setting]:
    yield "lxc.cgroup.relative", str(int(groups.relative))
    yield "lxc.cgroup.dir.container", groups.container
    yield "lxc.cgroup.dir.monitor", groups.monitor
    yield "lxc.cgroup.dir.monitor.pivot", groups.pivot


def _limits_v1(wanted: Wanted) -> Iterator[Setting]:
    limits = wanted.limits
    yield "cpuset.cpus", format_cpus(tuple(wanted.cpus))
    if (share := quota(limits.cpus)) is not None:
        yield "cpu.cfs_period_us", str(QUOTA_PERIOD)
        yield "cpu.cfs_quota_us", str(share)
    if limits.cpu_weight is not None:
        yield "cpu.shares", str(cpu_shares(limits.cpu_weight))
    yield "memory.limit_in_bytes", str(limits.memory)
    if wanted.swap:
        yield "memory.memsw.limit_in_bytes", str(limits.memory + limits.memory_swap)
    if limits.pids is not None:
        yield "pids.max", str(limits.pids)
    if wanted.limited_disk is not None:
        for limit, rate in _asked(limits.io):
            yield IO_FILES[limit], f"{number_of(wanted.limited_disk)} {rate}"


def _limits_v2(wanted: Wanted) -> Iterator[Setting]:
    limits = wanted.limits
    yield "cpuset.cpus", format_cpus(tuple(wanted.cpus))
    if (share := quota(limits.cpus)) is not None:
        yield "cpu.max", f"{share} {QUOTA_PERIOD}"
    if limits.cpu_weight is not None:
        yield "cpu.weight", str(limits.cpu_weight)
    yield "memory.max", str(limits.memory)
    if wanted.swap:
        yield "memory.swap.max", str(limits.memory_swap)
    if limits.pids is not None:
        yield "pids.max", str(limits.pids)
    if wanted.limited_disk is not None and (asked := list(_asked(limits.io))):
        rates = " ".join(f"{IO_KEYS[limit]}={rate}" for limit, rate in asked)
        yield "io.max", f"{number_of(wanted.limited_disk)} {rates}"


def _asked(limits: IoLimits) -> Iterator[tuple[str, int]]:
    for name in IO_FILES:
        rate = getattr(limits, name)
        if rate is not None:
            yield name, rate


def _devices() -> Iterator[Setting]:
    """None but the usual ones can be opened, as in our own container; all can be made."""
    yield "devices.deny", "a"
    for kind in "cb":
        yield "devices.allow", f"{kind} *:* m"
    for device in USUAL_DEVICES:
        yield "devices.allow", device.as_rule()
