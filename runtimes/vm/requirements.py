"""What a guest needs of the host, found out before one is started."""

from __future__ import annotations

import importlib
import os
from typing import Literal

from runtimes import rootless
from runtimes.base import HostError, Image, Limits
from runtimes.network import TAP_DEVICE, check_bandwidth
from runtimes.user_namespace import NotGrantedError, host_id
from runtimes.vm.domain.boot import OVMF_VARIABLES
from runtimes.vm.emulator import Emulator, find_qemu
from runtimes.vm.hardware import OVMF_CODE, QBOOT, Hardware, choose_hardware, free_hugepages
from runtimes.vm.options import EMBED, SESSION, SYSTEM, VmOptions
from runtimes.vm.placement import VHOST_DEVICE
from runtimes.vm.probe import Accelerator, answer_file, probe_accelerator, refused_device

_LEAST_MEMORY = 80 << 20
"""Bytes with which a guest gets ready: with 72 MiB, Debian's kernel 6.1 ends in a panic for want of memory."""

_LEAST_OVMF_MEMORY = 160 << 20
"""Bytes with which OVMF (2022.11) enters a kernel; with 128 MiB it ends in an exception of its own."""

_WITHOUT_KVM = "say accel: auto to take software emulation"


def check_connection(connect: str) -> None:
    """Find out whether this user can have guests by such a connection.

    Raises:
        HostError: not; the message says by which.
    """
    of_users = connect == SESSION or connect.partition("?")[0].endswith("/session")
    if not rootless.is_unprivileged():
        if of_users:
            raise HostError(
                f"connect: {connect}: a session's daemon is an ordinary user's, and libvirt has none for root; "
                f"run bench as that user, or say connect: {SYSTEM} or {EMBED}"
            )
        return
    if not of_users:
        refused = {
            EMBED: "libvirt's QEMU driver in the harness cares for root's guests only",
            SYSTEM: "the system's daemon runs QEMU as root, out of reach for this user's run",
        }.get(connect, f"{connect} runs QEMU as root, out of reach for this user's run")
        raise HostError(f"guests need root: {refused}; run it as root, or say connect: {SESSION} (--connect {SESSION})")
    _require_libvirt()
    if connect == SESSION:
        from runtimes.vm.daemon import find_daemon

        find_daemon()
    if not os.access(TAP_DEVICE, os.R_OK | os.W_OK):
        raise NotGrantedError(
            f"user {host_id()} may not open {TAP_DEVICE}, by which guests have a network",
            f"sudo modprobe tun && sudo chmod 0666 {TAP_DEVICE}, as udev has it",
        )


def check_limits(limits: Limits) -> None:
    """Find out whether a guest can be had under these limits, the host aside.

    Raises:
        HostError: it cannot.
    """
    if limits.memory < _LEAST_MEMORY:
        raise HostError(
            f"limits: memory: a guest with {limits.memory >> 20} MiB cannot boot; its kernel needs "
            f"{_LEAST_MEMORY >> 20} MiB"
        )
    for name, asked in (("memory_swap", limits.memory_swap > 0), ("pids", limits.pids is not None)):
        if asked:
            raise HostError(
                f"limits: {name} cannot be enforced by the runtime vm, whose guests have a kernel of their own for it; "
                f"leave it out, or give this arm `limits: {{{name}: ~}}`"
            )
    check_bandwidth(limits.net)


def check_host(options: VmOptions, limits: Limits) -> None:
    """Find out what can be known without an image.

    Raises:
        HostError: this host cannot run guests, or not with these options.
    """
    find_qemu()
    _require_libvirt()
    hardware = choose_hardware(options, limits)
    _check_files(hardware)
    if hardware.firmware == "ovmf" and limits.memory < _LEAST_OVMF_MEMORY:
        raise HostError(
            f"limits: memory: firmware: ovmf cannot boot a guest with {limits.memory >> 20} MiB; it needs "
            f"{_LEAST_OVMF_MEMORY >> 20} MiB"
        )
    if hardware.hugepages is not None:
        _check_hugepages(hardware.hugepages, limits.memory)
    if hardware.vhost and not VHOST_DEVICE.exists():
        raise HostError(f"vhost: true needs {VHOST_DEVICE}: modprobe vhost_net, or leave it out")
    if options.accel == "kvm" and (refusal := refused_device()) is not None:
        raise HostError(f"accel: kvm cannot be had on this host: {refusal}; {_WITHOUT_KVM}")


def _check_files(hardware: Hardware) -> None:
    """The firmware is there.

    Raises:
        HostError: it is not.
    """
    needed = {
        "qboot": ((QBOOT,), "qemu-system-x86"),
        "ovmf": ((OVMF_CODE, OVMF_VARIABLES), "ovmf"),
        "seabios": ((), ""),
    }
    files, package = needed[hardware.firmware]
    for file in files:
        if not file.exists():
            raise HostError(f"firmware: {hardware.firmware}: there is no {file}; apt-get install {package}")


def _check_hugepages(page: int, memory: int) -> None:
    """The host has set aside enough huge pages, which the kernel gives to nobody who has not asked for them.

    Raises:
        HostError: it has not.
    """
    if memory % page:
        raise HostError(f"hugepages: {memory} bytes of memory are no whole number of pages of {page >> 20} MiB")
    free = free_hugepages(page)
    if free * page < memory:
        raise HostError(
            f"hugepages: a guest with {memory >> 20} MiB needs {memory // page} free pages of {page >> 20} MiB, and "
            f"there are {free}: echo {memory // page} > "
            f"/sys/kernel/mm/hugepages/hugepages-{page >> 10}kB/nr_hugepages, or leave hugepages out"
        )


def _require_libvirt() -> None:
    """Import libvirt, which nothing does before: runtimes can be listed without it.

    Raises:
        HostError: it is not installed.
    """
    for module in ("libvirt", "libvirt_qemu"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise HostError(
                f"libvirt-python is needed by the runtime vm and cannot be imported ({error}): "
                "apt-get install libvirt-dev, then make setup"
            ) from error


def choose_accelerator(wish: Literal["auto", "kvm", "tcg"], image: Image, emulator: Emulator) -> Accelerator:
    """The accelerator of an arm's guests.

    Raises:
        HostError: KVM was asked for and does not work here.
    """
    if wish == "tcg":
        return Accelerator("tcg", "asked for")
    found = probe_accelerator(image, qemu=emulator.qemu)
    if wish == "kvm" and found.name != "kvm":
        raise HostError(
            f"accel: kvm cannot be had on this host: {found.reason}; {_WITHOUT_KVM}, "
            f"or mend it, remove {answer_file()} and try again"
        )
    return found
