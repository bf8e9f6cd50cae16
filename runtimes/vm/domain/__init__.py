"""The domain: what a guest is made of, as libvirt's XML (libvirt's "Domain XML format").

There is nothing in it that the guest does not use: no graphics, USB, sound; no random number device either, as the
guest's kernel seeds itself from the processor. Devices sit on the root bus, without a PCI Express port each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from runtimes.vm.domain.boot import KERNEL_ARGUMENTS, boot, fixed_arguments, guest_arguments, system_information
from runtimes.vm.domain.disks import root_disk, scratch_disk
from runtimes.vm.domain.elements import QEMU_NAMESPACE, Element, element, root_bus, text
from runtimes.vm.domain.memory import balloon, memory
from runtimes.vm.domain.ports import CHANNEL_NAME, channel, console, handed_interface, interface
from runtimes.vm.domain.processor import clock, features, model, processors
from runtimes.vm.domain.spec import CpuTuning, DomainSpec, GuestNetwork

__all__ = [
    "CHANNEL_NAME",
    "DOMAIN_TYPES",
    "KERNEL_ARGUMENTS",
    "MACHINE",
    "CpuTuning",
    "DomainSpec",
    "GuestNetwork",
    "bare_domain_xml",
    "domain_xml",
    "fixed_arguments",
    "guest_arguments",
]

DOMAIN_TYPES = {"kvm": "kvm", "tcg": "qemu"}
"""What libvirt calls a domain by its accelerator."""

MACHINE = "q35"
"""The machine by which an emulator is probed."""

_SERIAL_SLOT, _ROOT_SLOT, _SCRATCH_SLOT, _NETWORK_SLOT, _BALLOON_SLOT = range(3, 8)
"""Slots on the root bus; the machine ``pc`` has its IDE controller in the first, and libvirt keeps the second."""


_USERS = "dac"
"""libvirt's security driver that has QEMU be a user."""


def domain_xml(spec: DomainSpec) -> str:
    """The domain as libvirt takes it."""
    ElementTree.register_namespace("qemu", QEMU_NAMESPACE)
    domain = element(
        "domain",
        text("name", spec.name),
        *memory(spec),
        *processors(spec),
        boot(spec),
        *system_information(spec),
        features(),
        model(spec),
        clock(),
        *(text(event, "destroy") for event in ("on_poweroff", "on_reboot", "on_crash")),
        _devices(spec),
        *_security(spec.security_models),
        _command_line(handed_interface(spec, _NETWORK_SLOT), spec.environment),
        *_unused_capabilities(spec.hardware.quick_start),
        type=DOMAIN_TYPES[spec.accelerator],
    )
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode") + "\n"


def bare_domain_xml(
    name: str, kind: str, emulator: Path, environment: Mapping[str, str], security_models: Sequence[str] = ()
) -> str:
    """A domain with hardly more than a machine, to be started paused.

    Args:
        name: of the domain.
        kind: ``kvm``, or ``qemu`` for software emulation.
        emulator: the program to start.
        environment: what is added to its environment.
        security_models: as in :class:`DomainSpec`.
    """
    ElementTree.register_namespace("qemu", QEMU_NAMESPACE)
    domain = element(
        "domain",
        text("name", name),
        text("memory", "16", unit="MiB"),
        element("os", text("type", "hvm", arch="x86_64", machine=MACHINE)),
        element(
            "devices",
            text("emulator", emulator),
            element("controller", type="usb", model="none"),
            element("memballoon", model="none"),
        ),
        *_security(security_models),
        _command_line((), environment),
        type=kind,
    )
    return ElementTree.tostring(domain, encoding="unicode")


def _devices(spec: DomainSpec) -> Element:
    devices = element(
        "devices",
        text("emulator", spec.emulator),
        element("controller", type="usb", model="none"),
        element("controller", root_bus(_SERIAL_SLOT), type="virtio-serial", index="0"),
        root_disk(spec, _ROOT_SLOT),
    )
    if spec.scratch is not None:
        devices.append(scratch_disk(spec, spec.scratch, _SCRATCH_SLOT))
    devices.extend(interface(spec, _NETWORK_SLOT))
    devices.append(channel(spec.channel))
    devices.append(console(spec.console))
    devices.append(balloon(spec.hardware, _BALLOON_SLOT))
    return devices


def _security(models: Sequence[str]) -> list[Element]:
    """QEMU as root and not confined, so that it can use root's files as they are; in a daemon they may have it be
    another user, to whom they would make files over.
    """
    as_root = element("seclabel", text("label", "+0:+0"), type="static", model=_USERS, relabel="no")
    return [as_root if name == _USERS else element("seclabel", type="none", model=name) for name in models]


def _command_line(arguments: Sequence[str], variables: Mapping[str, str]) -> Element:
    variable, argument = f"{{{QEMU_NAMESPACE}}}env", f"{{{QEMU_NAMESPACE}}}arg"
    made = element(f"{{{QEMU_NAMESPACE}}}commandline")
    made.extend(element(argument, value=each) for each in arguments)
    made.extend(element(variable, name=name, value=value) for name, value in variables.items())
    return made


def _unused_capabilities(quick: bool) -> list[Element]:
    """What libvirt is not to make use of for a quick start (libvirt documentation, drvqemu, qemu:capabilities).

    With ``cpu-unavailable-features`` it asks QEMU for each of some four hundred properties of a processor, one at a
    time, before the guest may run: 225 ms on a two-core machine. Without it, for all of them in two questions.
    """
    if not quick:
        return []
    unused = element(f"{{{QEMU_NAMESPACE}}}del", capability="cpu-unavailable-features")
    return [element(f"{{{QEMU_NAMESPACE}}}capabilities", unused)]
