"""The domain: what a guest is made of, as libvirt's XML (libvirt's "Domain XML format").

There is nothing in it that the guest does not use: no graphics, USB, sound; no random number device either, as the
guest's kernel seeds itself from the processor. Devices sit on the root bus, without a PCI Express port each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from runtimes.vm.domain.boot import KERNEL_ARGUMENTS, boot, fixed_arguments, kernel_command_line, system_information
from runtimes.vm.domain.disks import root_disk, scratch_disk
from runtimes.vm.domain.elements import QEMU_NAMESPACE, Element, element, root_bus, text
from runtimes.vm.domain.memory import balloon, memory
from runtimes.vm.domain.ports import CHANNEL_NAME, channel, console, interface
from runtimes.vm.domain.processor import clock, features, model, processors
from runtimes.vm.domain.spec import DomainSpec, GuestNetwork

__all__ = [
    "CHANNEL_NAME",
    "DOMAIN_TYPES",
    "KERNEL_ARGUMENTS",
    "MACHINE",
    "DomainSpec",
    "GuestNetwork",
    "bare_domain_xml",
    "domain_xml",
    "fixed_arguments",
    "kernel_command_line",
]

DOMAIN_TYPES = {"kvm": "kvm", "tcg": "qemu"}
"""What libvirt calls a domain by its accelerator."""

MACHINE = "q35"
"""The machine by which an emulator is probed."""

_SERIAL_SLOT, _ROOT_SLOT, _SCRATCH_SLOT, _NETWORK_SLOT, _BALLOON_SLOT = range(3, 8)
"""Slots on the root bus; the machine ``pc`` has its IDE controller in the first, and libvirt keeps the second."""


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
        _environment(spec.environment),
        type=DOMAIN_TYPES[spec.accelerator],
    )
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
        _environment(environment),
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
    devices.append(interface(spec, _NETWORK_SLOT))
    devices.append(channel(spec.channel))
    devices.append(console(spec.console))
    devices.append(balloon(spec.hardware, _BALLOON_SLOT))
    return devices


def _environment(variables: Mapping[str, str]) -> Element:
    variable = f"{{{QEMU_NAMESPACE}}}env"
    made = element(f"{{{QEMU_NAMESPACE}}}commandline")
    made.extend(element(variable, name=name, value=value) for name, value in variables.items())
    return made
