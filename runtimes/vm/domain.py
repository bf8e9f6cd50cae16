"""The domain: what a guest is made of, as libvirt's XML (libvirt's "Domain XML format").

The machine is q35 with virtio devices and nothing that the guest does not use: no graphics, USB, sound, balloon; no
random number device either, as the guest's kernel seeds itself from the processor. Devices sit on the root bus, without
a PCI Express port each.

What makes the guest start fast, each with what it was worth on a two-core machine in software emulation, where a start
of the bare emulator takes 1.25 s (medians of nine interleaved starts, which scatter by 0.05 s):

========================================================  ======
``cryptomgr.notests``: no self-tests of ciphers           0.3 s
no PCI Express port for each device                       0.15 s
qboot in place of SeaBIOS                                 0.06 s
========================================================  ======

Besides, the kernel is an unpacked ELF, entered through PVH: a bzImage would be unpacked by the guest itself.

With libvirt and the agent it is 1.7 s from the request to READY, 0.27 s of them libvirt's.

Without measurable worth, and so left as they are: the size of the translation cache, ``no_timer_check``, ``nokaslr``,
``random.trust_cpu``, the number of UARTs, expedited RCU, another processor model.

``tsc=reliable`` makes no start faster either. It is there so that every guest measures time by the same clock: the
kernel otherwise compares the TSC with another clock now and then, and where emulation under load makes the two
disagree, the guest falls back to ``acpi_pm`` for the rest of its life, whose every reading leaves the guest's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from runtimes.base import Image, IoLimits

_QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

DOMAIN_TYPES = {"kvm": "kvm", "tcg": "qemu"}
"""What libvirt calls a domain by its accelerator."""

MACHINE = "q35"
CHANNEL_NAME = "org.bench.agent"
"""The name by which the guest finds the agent's channel in ``/sys/class/virtio-ports``."""

FIRMWARE = Path("/usr/share/qemu/qboot.rom")
"""A firmware that does nothing but enter the kernel; it comes with QEMU. Where it is missing, QEMU's default serves."""

KERNEL_ARGUMENTS = ("quiet", "loglevel=1", "console=ttyS0", "panic=-1", "cryptomgr.notests", "tsc=reliable")
"""What the kernel of every guest is told (kernel documentation, kernel-parameters). A panic reboots at once, which ends
the domain. At log level 1 the kernel is silent, except that a panic is told in full: at level 0 it would not be
(``console_verbose()`` in linux/printk.h)."""


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The guest's one network interface.

    Attributes:
        bridge: name of the bridge on the host.
        tap: name that the host's end shall have.
        mac: hardware address.
        address: IPv4 address, and ``prefix`` the length of its network part, bits.
        gateway: IPv4 address of the bridge.
    """

    bridge: str
    tap: str
    mac: str
    address: str
    prefix: int
    gateway: str


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """All that goes into a domain's XML.

    Attributes:
        name: of the domain, and the guest's host name.
        accelerator: ``kvm`` or ``tcg`` (software emulation).
        emulator: the program to start, and ``environment`` what is added to its environment.
        vcpus: number of processors.
        memory: bytes.
        image: kernel, initramfs, and root file system.
        scratch: an ext4 file for the scratch disk, or None.
        io: what the guest may read from it and write to it.
        network: the interface.
        channel: path of the Unix socket that QEMU connects the agent's channel to.
        console: the file that gets what the guest prints on its serial port.
    """

    name: str
    accelerator: Literal["kvm", "tcg"]
    emulator: Path
    vcpus: int
    memory: int
    image: Image
    scratch: Path | None
    network: GuestNetwork
    channel: Path
    console: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    io: IoLimits = field(default_factory=IoLimits)


def domain_xml(spec: DomainSpec) -> str:
    """The domain as libvirt takes it."""
    ElementTree.register_namespace("qemu", _QEMU_NAMESPACE)
    domain = _element("domain", type=DOMAIN_TYPES[spec.accelerator])
    domain.append(_text("name", spec.name))
    domain.append(_text("memory", str(spec.memory), unit="b"))
    domain.append(_text("vcpu", str(spec.vcpus), placement="static"))
    domain.append(_boot(spec))
    domain.append(_features())
    domain.append(_element("cpu", mode="host-passthrough" if spec.accelerator == "kvm" else "maximum", check="none"))
    domain.append(_clock())
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        domain.append(_text(event, "destroy"))
    domain.append(_devices(spec))
    domain.append(_environment(spec.environment))
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode") + "\n"


def bare_domain_xml(name: str, kind: str, emulator: Path, environment: Mapping[str, str]) -> str:
    """A domain with hardly more than a machine, to be started paused.

    Args:
        name: of the domain.
        kind: ``kvm``, or ``qemu`` for software emulation.
        emulator: the program to start.
        environment: what is added to its environment.
    """
    ElementTree.register_namespace("qemu", _QEMU_NAMESPACE)
    domain = _element(
        "domain",
        _text("name", name),
        _text("memory", "16", unit="MiB"),
        _element("os", _text("type", "hvm", arch="x86_64", machine=MACHINE)),
        _element(
            "devices",
            _text("emulator", str(emulator)),
            _element("controller", type="usb", model="none"),
            _element("memballoon", model="none"),
        ),
        _environment(environment),
        type=kind,
    )
    return ElementTree.tostring(domain, encoding="unicode")


def kernel_command_line(name: str, network: GuestNetwork) -> str:
    """The kernel's command line, with what the guest's init configures itself by."""
    configuration = {
        "hostname": name,
        "address": f"{network.address}/{network.prefix}",
        "gateway": network.gateway,
    }
    return " ".join([*KERNEL_ARGUMENTS, *(f"bench.{key}={value}" for key, value in configuration.items())])


def _boot(spec: DomainSpec) -> ElementTree.Element:
    system = _element("os")
    system.append(_text("type", "hvm", arch="x86_64", machine=MACHINE))
    if FIRMWARE.exists():
        system.append(_text("loader", str(FIRMWARE), type="rom"))
    system.append(_text("kernel", str(spec.image.kernel)))
    system.append(_text("initrd", str(spec.image.initramfs)))
    system.append(_text("cmdline", kernel_command_line(spec.name, spec.network)))
    return system


def _features() -> ElementTree.Element:
    """ACPI and APIC as every guest has them; without the port of another hypervisor, and without management mode."""
    return _element(
        "features", _element("acpi"), _element("apic"), _element("vmport", state="off"), _element("smm", state="off")
    )


def _clock() -> ElementTree.Element:
    return _element("clock", _element("timer", name="hpet", present="no"), offset="utc")


def _devices(spec: DomainSpec) -> ElementTree.Element:
    devices = _element(
        "devices",
        _text("emulator", str(spec.emulator)),
        _element("controller", type="usb", model="none"),
        _element("controller", _root_bus(1), type="virtio-serial", index="0"),
        _root_disk(spec.image.rootfs),
    )
    if spec.scratch is not None:
        devices.append(_scratch_disk(spec.scratch, spec.io))
    devices.append(_interface(spec.network))
    devices.append(_channel(spec.channel))
    devices.append(_console(spec.console))
    devices.append(_element("memballoon", model="none"))
    return devices


def _root_disk(path: Path) -> ElementTree.Element:
    """Through the host's page cache, which holds the image for every arm alike."""
    driver = _element("driver", name="qemu", type="raw", cache="writeback")
    return _disk(path, driver, "root", "vda", 2, _element("readonly"))


def _scratch_disk(path: Path, limits: IoLimits) -> ElementTree.Element:
    """As in production: direct I/O, which a file system in memory may refuse."""
    driver = _element("driver", name="qemu", type="raw", cache="none", io="native")
    return _disk(path, driver, "scratch", "vdb", 3, *_throttle(limits))


def _throttle(limits: IoLimits) -> list[ElementTree.Element]:
    """The limits as libvirt has them, none for none.

    QEMU lets pass 100 ms of a limit at once (``throttle_compute_wait`` in util/throttle.c), so a measurement of
    T seconds may be too high by 100 ms / T.
    """
    given = {
        "read_bytes_sec": limits.read_bytes,
        "write_bytes_sec": limits.write_bytes,
        "read_iops_sec": limits.read_ops,
        "write_iops_sec": limits.write_ops,
    }
    texts = [_text(name, str(limit)) for name, limit in given.items() if limit is not None]
    return [_element("iotune", *texts)] if texts else []


def _disk(
    path: Path, driver: ElementTree.Element, serial: str, target: str, slot: int, *more: ElementTree.Element
) -> ElementTree.Element:
    return _element(
        "disk",
        driver,
        _element("source", file=str(path)),
        _element("target", dev=target, bus="virtio"),
        *more,
        _text("serial", serial),
        _root_bus(slot),
        type="file",
        device="disk",
    )


def _interface(network: GuestNetwork) -> ElementTree.Element:
    return _element(
        "interface",
        _element("mac", address=network.mac),
        _element("source", bridge=network.bridge),
        _element("target", dev=network.tap),
        _element("model", type="virtio"),
        _element("rom", enabled="no"),
        _root_bus(4),
        type="bridge",
    )


def _channel(path: Path) -> ElementTree.Element:
    """QEMU connects to a socket that we listen on, so that nobody has to try until QEMU listens."""
    return _element(
        "channel",
        _element("source", mode="connect", path=str(path)),
        _element("target", type="virtio", name=CHANNEL_NAME),
        type="unix",
    )


def _console(path: Path) -> ElementTree.Element:
    return _element(
        "serial", _element("source", path=str(path)), _element("target", type="isa-serial", port="0"), type="file"
    )


def _environment(variables: Mapping[str, str]) -> ElementTree.Element:
    command_line = _element(f"{{{_QEMU_NAMESPACE}}}commandline")
    for name, value in variables.items():
        command_line.append(_element(f"{{{_QEMU_NAMESPACE}}}env", name=name, value=value))
    return command_line


def _root_bus(slot: int) -> ElementTree.Element:
    return _element("address", type="pci", domain="0x0000", bus="0x00", slot=f"0x{slot:02x}", function="0x0")


def _element(tag: str, *children: ElementTree.Element, **attributes: str) -> ElementTree.Element:
    made = ElementTree.Element(tag, attributes)
    made.extend(children)
    return made


def _text(tag: str, text: str, **attributes: str) -> ElementTree.Element:
    made = ElementTree.Element(tag, attributes)
    made.text = text
    return made
