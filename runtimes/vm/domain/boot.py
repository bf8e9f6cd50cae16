"""From the firmware to the kernel: what the machine boots, and what the kernel is told."""

from __future__ import annotations

from pathlib import Path

from runtimes.vm.domain.elements import Element, element, text
from runtimes.vm.domain.spec import DomainSpec, GuestNetwork
from runtimes.vm.hardware import OVMF_CODE, QBOOT, Hardware

OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

ROOT_PARTITION = 4
"""Where a bootable disk has the image's root file system."""

KERNEL_ARGUMENTS = ("quiet", "loglevel=1", "console=ttyS0", "panic=-1", "tsc=reliable", "no_timer_check")
"""What the kernel of every guest is told (kernel documentation, kernel-parameters).

A panic reboots at once, which ends the domain. At log level 1 the kernel is silent, except that a panic is told in
full: at level 0 it would not be (``console_verbose()`` in linux/printk.h). ``tsc=reliable`` has every guest measure
time by the same clock: the kernel otherwise compares the TSC with another clock now and then, and where emulation
under load makes the two disagree, the guest falls back to ``acpi_pm`` for the rest of its life, whose every reading
leaves the guest's code. ``no_timer_check`` leaves out counting the timer's ticks, of which too few come where emulation
is held up, and the kernel panics; under KVM it leaves that out by itself.
"""

QUICK_ARGUMENTS = ("cryptomgr.notests",)
"""What leaves out work of the kernel's start that no workload misses: self-tests of ciphers."""


def fixed_arguments(*, quick: bool, tsc_khz: int | None = None) -> str:
    """What the kernel of every guest of an arm is told.

    A kernel that is told the frequency of its time stamp counter does not go by its own measurement, which is wrong
    where QEMU is held up meanwhile.
    """
    told = () if tsc_khz is None else (f"tsc_early_khz={tsc_khz}",)
    return " ".join((*KERNEL_ARGUMENTS, *told, *(QUICK_ARGUMENTS if quick else ())))


def guest_arguments(
    name: str,
    network: GuestNetwork,
    *,
    systemd: bool = False,
    emulated: bool = False,
    scratch: bool = False,
    waits: bool = False,
    partition: int | None = None,
) -> str:
    """What one guest's init configures itself by.

    Args:
        name: of the guest.
        network: of its interface.
        systemd: whether init hands over to systemd.
        emulated: whether disks and interface are emulated.
        scratch: whether there is a scratch disk, without which init then does not go on.
        waits: whether init stops before it makes use of name and network, for the guest to be saved there.
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
    if scratch:
        configuration["scratch"] = "yes"
    if waits:
        configuration["wait"] = "yes"
    if partition is not None:
        configuration["partition"] = str(partition)
    return " ".join(f"bench.{key}={value}" for key, value in configuration.items())


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
    fixed = fixed_arguments(quick=spec.hardware.quick_start, tsc_khz=spec.tsc_khz)
    system.append(text("cmdline", f"{fixed} {_guest_arguments_of(spec)}"))
    return system


def system_information(spec: DomainSpec) -> list[Element]:
    """What a guest that boots from a disk is told in an OEM string of SMBIOS.

    Its disk, and the kernel command line on it, is that of all guests of the arm. The kernel shows the string without
    any driver (kernel documentation, ABI/testing/sysfs-firmware-dmi-tables).
    """
    if spec.hardware.boot != "disk":
        return []
    told = _guest_arguments_of(spec)
    return [element("sysinfo", element("oemStrings", text("entry", told)), type="smbios")]


def _guest_arguments_of(spec: DomainSpec) -> str:
    return guest_arguments(
        spec.name,
        spec.network,
        systemd=spec.systemd,
        emulated=spec.hardware.devices == "emulated",
        scratch=spec.scratch is not None,
        waits=spec.waits,
        partition=ROOT_PARTITION if spec.hardware.boot == "disk" else None,
    )


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
