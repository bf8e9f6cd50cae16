"""From an arm's options to the machine that is built: whatever an option leaves open is decided here, and only here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import HostError, Limits
from runtimes.vm.options import Boot, CacheMode, Devices, Firmware, IoMode, Machine, Topology, VmOptions

QBOOT = Path("/usr/share/qemu/qboot.rom")
"""A firmware that does nothing but enter the kernel; it comes with QEMU."""

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")

_SEABIOS = Path("/usr/share/seabios/bios-256k.bin")

_MIB = 1 << 20
_PAGE_BYTES = {"2M": 2 << 20, "1G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A guest's machine; attributes as in :class:`runtimes.vm.options.VmOptions`, none of them open.

    Attributes:
        cpu: model of the processor; None for all that the accelerator has.
        topology: None for one socket a processor, as QEMU has it.
        hugepages: bytes of a page of the guest's memory; None for the host's ordinary ones.
        vhost: None for where libvirt can have it.
        quick_start: whether kernel and libvirt are told to leave out what only delays the start.
    """

    machine: Machine
    devices: Devices
    boot: Boot
    firmware: Firmware
    cpu: str | None
    vcpus: int
    topology: Topology | None
    pinning: bool
    hugepages: int | None
    cache: CacheMode
    io: IoMode
    iothreads: int
    balloon: bool
    free_page_reporting: bool
    vhost: bool | None
    quick_start: bool

    @property
    def unpacked_kernel(self) -> bool:
        """Whether the kernel is entered as an unpacked ELF file, and not as the bzImage that unpacks itself."""
        return self.firmware == "qboot"


def choose_hardware(options: VmOptions, limits: Limits, at_once: int = 1) -> Hardware:
    """The machine for an arm.

    A stock guest is what libvirt's users get by default: SeaBIOS, a packed kernel, a balloon. A tuned one has the
    quickest firmware and kernel entry, its processors pinned, huge pages if the host has set enough aside, a thread of
    its own for disks, and no balloon.

    Args:
        options: of the arm.
        limits: of its instances.
        at_once: how many of them are started at the same time.

    Raises:
        HostError: the topology has another number of processors than the limits give.
    """
    vcpus = options.vcpus or (options.topology.processors if options.topology else math.ceil(limits.cpus))
    if vcpus < math.ceil(limits.cpus):
        raise HostError(f"vcpus: {vcpus} cannot use {limits.cpus:g} CPUs, as limits: cpus gives")
    virtio = options.devices == "virtio"
    direct_io = options.cache in ("none", "directsync")
    return Hardware(
        machine=options.machine,
        devices=options.devices,
        boot=options.boot,
        firmware=options.firmware or _default_firmware(options),
        cpu=options.cpu,
        vcpus=vcpus,
        topology=options.topology,
        pinning=options.pins,
        hugepages=_page_size(options, limits, at_once),
        cache=options.cache,
        io=options.io or ("native" if direct_io else "threads"),
        iothreads=int(options.tuned and virtio) if options.iothreads is None else options.iothreads,
        balloon=_has_balloon(options),
        free_page_reporting=options.free_page_reporting,
        vhost=options.vhost,
        quick_start=options.tuned,
    )


def memory_size(limits: Limits) -> int:
    """Bytes of a guest's memory: as much as the limit, in whole MiB, to which libvirt would round it up too."""
    return math.ceil(limits.memory / _MIB) * _MIB


def free_hugepages(page: int) -> int:
    """How many huge pages of ``page`` bytes the host has that nobody has or is promised (kernel documentation,
    admin-guide/mm/hugetlbpage).
    """
    directory = Path(f"/sys/kernel/mm/hugepages/hugepages-{page >> 10}kB")
    if not directory.exists():
        return 0
    free, reserved = (int((directory / name).read_text()) for name in ("free_hugepages", "resv_hugepages"))
    return free - reserved


def firmware_files(options: VmOptions) -> tuple[Path, ...]:
    """What is read of the firmware when such a guest starts, where it lies as Debian has it."""
    path = {"qboot": QBOOT, "ovmf": OVMF_CODE, "seabios": _SEABIOS}[options.firmware or _default_firmware(options)]
    return (path,) if path.exists() else ()


def _default_firmware(options: VmOptions) -> Firmware:
    return "qboot" if options.tuned and options.boot == "direct" and QBOOT.exists() else "seabios"


def _has_balloon(options: VmOptions) -> bool:
    if options.balloon is not None:
        return options.balloon
    return options.free_page_reporting or (options.devices == "virtio" and not options.tuned)


def _page_size(options: VmOptions, limits: Limits, at_once: int) -> int | None:
    """Bytes of the pages asked for, or of those that a tuned guest can have."""
    if options.hugepages is not None:
        return _PAGE_BYTES[options.hugepages]
    page = _PAGE_BYTES["2M"]
    fits = limits.memory % page == 0 and free_hugepages(page) * page >= limits.memory * at_once
    return page if options.tuned and fits else None
