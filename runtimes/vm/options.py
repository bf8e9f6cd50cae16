"""What an arm of the runtime ``vm`` may say of its guest."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from runtimes.base import Options

Machine = Literal["q35", "pc"]
Devices = Literal["virtio", "emulated"]
Boot = Literal["direct", "disk"]
Firmware = Literal["seabios", "qboot", "ovmf"]
CacheMode = Literal["none", "writeback", "writethrough", "directsync", "unsafe"]
IoMode = Literal["native", "io_uring", "threads"]
PageSize = Literal["2M", "1G"]

IMAGE_KERNEL = "image"
GENERIC_KERNEL = "generic"
HOST_KERNEL = "host"

EMBED, SYSTEM, SESSION = "embed", "system", "session"

_URI = re.compile(r"qemu(\+[a-z0-9]+)?://[^/?\s]*/(system|session)(\?\S*)?")
"""A URI of libvirt's QEMU driver in a daemon (libvirt's "Connection URIs" and "Remote support")."""

_DIRECT = ("none", "directsync")
"""Cache modes that pass by the host's page cache, without which ``io: native`` is refused by QEMU."""


_MOST_PROCESSORS = 255
"""How many libvirt gives a guest without an IOMMU, beyond which interrupts would not reach them
(``qemuValidateDomainVCpuTopology`` in qemu_validate.c of libvirt's source)."""


def _check_kernel(kernel: str) -> str:
    if kernel in (IMAGE_KERNEL, GENERIC_KERNEL, HOST_KERNEL) or kernel.startswith("/"):
        return kernel
    raise ValueError(f"expected {IMAGE_KERNEL}, {GENERIC_KERNEL}, {HOST_KERNEL}, or the absolute path of a kernel file")


def _check_connect(connect: str) -> str:
    """Each connection by one name."""
    plain = connect.removeprefix("qemu:///").removeprefix("qemu+unix:///")
    if plain in (EMBED, SYSTEM, SESSION):
        return plain
    if _URI.fullmatch(connect):
        return connect
    raise ValueError(f"expected {EMBED}, {SYSTEM}, {SESSION}, or a URI such as qemu+ssh://root@localhost/system")


class Topology(BaseModel):
    """How a guest's processors are laid out; all of them together are ``sockets * cores * threads``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sockets: int = Field(default=1, ge=1)
    cores: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)

    @property
    def processors(self) -> int:
        """How many there are."""
        return self.sockets * self.cores * self.threads


class VmOptions(Options):
    """Options of an arm. What is None here is decided by the others: see :mod:`runtimes.vm.hardware`.

    Attributes:
        accel: ``kvm``, ``tcg`` (software emulation), or ``auto`` for KVM where it works.
        machine: QEMU's machine type: ``q35`` with PCI Express, ``pc`` (i440FX) without.
        devices: ``virtio`` (paravirtualised), or ``emulated``: SATA (``q35``) or IDE (``pc``) disks and an e1000.
        boot: ``direct``: the firmware is handed kernel and initramfs; ``disk``: firmware, GRUB, and the kernel from
            the disk image.
        firmware: of the machine.
        init: what the guest's kernel starts: ``agent`` alone, or ``systemd`` with the agent as one of its services.
        kernel: ``image`` for the image's own, ``generic`` for Debian's kernel for any machine, ``host`` for the one
            that runs the host, or the path of a kernel file.
        cpu: model of the processor, as libvirt names it; without it, all that the accelerator has.
        vcpus: how many processors the guest has, up to 255; without it, as many as its limit needs.
        topology: how they are laid out.
        pinning: whether each processor is kept on a CPU of its own.
        hugepages: size of the host's pages that the guest's memory is made of.
        cache: how the host caches the scratch disk.
        io: how QEMU reads and writes it.
        iothreads: threads of QEMU that serve disks and nothing else.
        balloon: whether there is a memory balloon, which tells statistics.
        free_page_reporting: whether the guest gives free pages back by the balloon.
        vhost: whether the host's kernel moves network packets instead of QEMU; without it, where it can.
        start: ``cold``, or ``restore`` from a saved state, which a run makes once for each kernel, hardware, size of
            memory and size of scratch disk.
        connect: libvirt's driver: ``embed`` (in this process), ``session``, ``system``, or a URI.
        tuned: whether what is not said is the best known setting, and not that of a stock guest.
    """

    accel: Literal["auto", "kvm", "tcg"] = "auto"
    machine: Machine = "q35"
    devices: Devices = "virtio"
    boot: Boot = "direct"
    firmware: Firmware | None = None
    init: Literal["agent", "systemd"] = "agent"
    kernel: Annotated[str, AfterValidator(_check_kernel)] = IMAGE_KERNEL
    cpu: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")] | None = None
    vcpus: int | None = Field(default=None, ge=1, le=_MOST_PROCESSORS)
    topology: Topology | None = None
    pinning: bool | None = None
    hugepages: PageSize | None = None
    cache: CacheMode = "none"
    io: IoMode | None = None
    iothreads: int | None = Field(default=None, ge=0, le=16)
    balloon: bool | None = None
    free_page_reporting: bool = False
    vhost: bool | None = None
    start: Literal["cold", "restore"] = "cold"
    connect: Annotated[str, AfterValidator(_check_connect)] = EMBED
    tuned: bool = False

    @property
    def packages(self) -> tuple[str, ...]:
        return ("systemd-sysv", "udev") if self.needs_systemd else ()

    @property
    def needs_systemd(self) -> bool:
        return self.init == "systemd"

    @property
    def guest_kernel(self) -> str:
        """The kernel that the guest runs, by its name in an image: emulated devices need one with their drivers."""
        emulated = self.devices == "emulated" and self.kernel == IMAGE_KERNEL
        return GENERIC_KERNEL if emulated else self.kernel

    @property
    def kernels(self) -> tuple[str, ...]:
        return () if self.guest_kernel == IMAGE_KERNEL else (self.guest_kernel,)

    @property
    def pins(self) -> bool:
        """Whether each processor is kept on a CPU of its own."""
        return self.tuned if self.pinning is None else self.pinning

    @property
    def monitor_threads(self) -> str:
        if self.pins:
            return "each virtual processor keeps to one of the instance's CPUs, QEMU's other threads to any of them"
        return "QEMU's own threads are on the instance's CPUs, as part of what it costs"

    def outside(self) -> AbstractContextManager[None]:
        if self.connect != SESSION:
            return nullcontext()
        from runtimes.vm.daemon import session_daemon

        return session_daemon()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.boot == "disk" and self.firmware == "qboot":
            raise ValueError("firmware: qboot cannot boot from a disk; expected seabios or ovmf with boot: disk")
        if self.machine == "pc" and self.firmware == "ovmf":
            raise ValueError("firmware: ovmf needs machine: q35")
        if self.free_page_reporting and self.balloon is False:
            raise ValueError("free_page_reporting is done by the balloon; expected balloon: true")
        if self.io == "native" and self.cache not in _DIRECT:
            raise ValueError(f"io: native needs cache: none or directsync, not {self.cache}")
        if self.devices == "emulated" and self.iothreads:
            raise ValueError("iothreads serve virtio disks; expected devices: virtio")
        if self.devices == "emulated" and self.vhost:
            raise ValueError("vhost serves virtio interfaces; expected devices: virtio")
        if self.start == "restore" and self.connect != EMBED:
            raise ValueError("start: restore is for connect: embed: a daemon would not end a guest with the harness")
        if self.topology and self.vcpus and self.topology.processors != self.vcpus:
            raise ValueError(f"topology: {self.topology.processors} processors, but vcpus: {self.vcpus}")
        if self.topology and self.topology.processors > _MOST_PROCESSORS:
            raise ValueError(
                f"topology: {self.topology.processors} processors; expected {_MOST_PROCESSORS} at the most"
            )
        return self
