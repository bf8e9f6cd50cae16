"""What a domain is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from runtimes.base import GuestKernel, IoLimits
from runtimes.vm.hardware import Hardware


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The guest's one network interface.

    Attributes:
        bridge: name of the bridge on the host.
        tap: name that the host's end shall have.
        mac: hardware address.
        address: IPv4 address, and ``prefix`` the length of its network part, bits.
        gateway: IPv4 address of the bridge.
        tap_descriptor: number under which QEMU finds the tap open, where it is handed one; else libvirt makes it.
        vhost_descriptor: the same for vhost, if it is to be used with a tap that is handed over.
    """

    bridge: str
    tap: str
    mac: str
    address: str
    prefix: int
    gateway: str
    tap_descriptor: int | None = None
    vhost_descriptor: int | None = None


@dataclass(frozen=True, slots=True)
class CpuTuning:
    """What libvirt gives in the cgroup that it makes, where it makes one.

    Attributes:
        quota: microseconds of CPU for the whole of QEMU in every ``period`` microseconds; None for no limit.
        shares: its share of CPUs that others want too, as the host's version of control groups has it, or None.
    """

    quota: int | None
    period: int
    shares: int | None


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """All that goes into a domain's XML.

    Attributes:
        name: of the domain, and the guest's host name.
        accelerator: ``kvm`` or ``tcg`` (software emulation).
        emulator: the program to start, and ``environment`` what is added to its environment.
        hardware: the machine.
        cpus: the host's CPUs that it may run on.
        memory: bytes.
        kernel: what the guest boots; with ``boot: disk`` it is in the disk.
        root: the root disk: a file with the image's root file system, or with a whole bootable disk.
        waits: whether the guest stops before it is given its name, its address and its scratch disk, to be saved there.
        systemd: whether the kernel starts systemd, and not the agent alone.
        scratch: an ext4 file for the scratch disk, or None.
        io: what the guest may read from it and write to it.
        tuning: for where libvirt makes the cgroup; None where it does not, and we do.
        security_models: the security drivers of libvirt that are to leave QEMU and its files alone.
        network: the interface.
        channel: path of the Unix socket that QEMU connects the agent's channel to.
        console: the file that gets what the guest prints on its serial port.
        nvram: where OVMF keeps its variables; for other firmware without meaning.
        tsc_khz: how fast the guest's time stamp counter counts; None for the guest to find out.
    """

    name: str
    accelerator: Literal["kvm", "tcg"]
    emulator: Path
    hardware: Hardware
    cpus: tuple[int, ...]
    memory: int
    kernel: GuestKernel
    root: Path
    systemd: bool
    scratch: Path | None
    network: GuestNetwork
    channel: Path
    console: Path
    nvram: Path
    tsc_khz: int | None = None
    waits: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    io: IoLimits = field(default_factory=IoLimits)
    tuning: CpuTuning | None = None
    security_models: tuple[str, ...] = ()
