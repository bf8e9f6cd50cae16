"""From the firmware to the kernel: what the machine boots, and what the kernel is told."""

from __future__ import annotations

from pathlib import Path

from runtimes.vm.domain.elements import Element, element, text
from runtimes.vm.domain.spec import DomainSpec, GuestNetwork
from runtimes.vm.hardware import QBOOT, Hardware

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

ROOT_PARTITION = 4
"""Where a bootable disk has the image's root file system."""

KERNEL_ARGUMENTS = ("quiet", "loglevel=1", "console=ttyS0", "panic=-1", "tsc=reliable")
"""What the kernel of every guest is told (kernel documentation, kernel-parameters).

A panic reboots at once, which ends the domain. At log level 1 the kernel is silent, except that a panic is told in
full: at level 0 it would not be (``console_verbose()`` in linux/printk.h). ``tsc=reliable`` has every guest measure
time by the same clock: the kernel otherwise compares the TSC with another clock now and then, and where emulation
under load makes the two disagree, the guest falls back to ``acpi_pm`` for the rest of its life, whose every reading
leaves the guest's code.
"""

QUICK_ARGUMENTS = ("cryptomgr.notests",)
"""What leaves out work of the kernel's start that no workload misses: self-tests of ciphers."""


def fixed_arguments(*, quick: bool) -> str:
    """What the kernel of every guest of an arm is told."""
    return " ".join((*KERNEL_ARGUMENTS, *(QUICK_ARGUMENTS if quick else ())))


def guest_arguments(
    name: str, network: GuestNetwork, *, systemd: bool = False, emulated: bool = False, partition: int | None = None
) -> str:
    """What one guest's init configures itself by.

    Args:
        name: of the guest.
        network: of its interface.
        systemd: whether init hands over to systemd.
        emulated: whether disks and interface are emulated.
        partition: of the root disk, with the root file system; None for the whole disk.
    """
    configuration = {
        "hostname": name,
        "address": f"{network.address}/{network.prefix}",
        "gateway": network.gateway,
    }
    if systemd:
        configuration["init"] = "systemd"
    if emulated:
        configuration["devices"] = "emulated"
    if partition is not None:
        configuration["partition"] = str(partition)
    return " ".join(f"bench.{key}={value}" for key, value in configuration.items())


def kernel_command_line(
    name: str, network: GuestNetwork, *, quick: bool = False, systemd: bool = False, emulated: bool = False
) -> str:
    """The kernel's command line, with what the guest's init configures itself by."""
    return f"{fixed_arguments(quick=quick)} {guest_arguments(name, network, systemd=systemd, emulated=emulated)}"


def boot(spec: DomainSpec) -> Element:
    """Firmware, and kernel or disk."""
    system = element("os", text("type", "hvm", arch="x86_64", machine=spec.hardware.machine))
    system.extend(_firmware(spec.hardware, spec.nvram))
    if spec.hardware.boot == "disk":
        system.append(element("boot", dev="hd"))
        system.append(element("smbios", mode="sysinfo"))
        return system
    packed = spec.kernel.elf is None or not spec.hardware.unpacked_kernel
    system.append(text("kernel", spec.kernel.bzimage if packed else spec.kernel.elf))
    system.append(text("initrd", spec.kernel.initramfs))
    quick, emulated = spec.hardware.quick_kernel, spec.hardware.devices == "emulated"
    line = kernel_command_line(spec.name, spec.network, quick=quick, systemd=spec.systemd, emulated=emulated)
    system.append(text("cmdline", line))
    return system


def system_information(spec: DomainSpec) -> list[Element]:
    """What a guest that boots from a disk is told in an OEM string of SMBIOS.

    Its disk, and the kernel command line on it, is that of all guests of the arm. The kernel shows the string without
    any driver (kernel documentation, ABI/testing/sysfs-firmware-dmi-tables).
    """
    if spec.hardware.boot != "disk":
        return []
    emulated = spec.hardware.devices == "emulated"
    told = guest_arguments(spec.name, spec.network, systemd=spec.systemd, emulated=emulated, partition=ROOT_PARTITION)
    return [element("sysinfo", element("oemStrings", text("entry", told)), type="smbios")]


def _firmware(hardware: Hardware, nvram: Path) -> list[Element]:
    """SeaBIOS is what QEMU has when nothing is said."""
    if hardware.firmware == "qboot":
        return [text("loader", QBOOT, type="rom")]
    if hardware.firmware == "ovmf":
        return [
            text("loader", OVMF_CODE, readonly="yes", type="pflash"),
            text("nvram", nvram, template=str(OVMF_VARIABLES)),
        ]
    return []
