"""Starting a domain once before any that is measured."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import storage
from runtimes.base import GuestKernel, HostError, InstanceError
from runtimes.cgroup import adopt_cgroup
from runtimes.vm.domain import bare_domain_xml
from runtimes.vm.emulator import Emulator, spawn_environment
from runtimes.vm.process import EmulatorProcess, adopted_orphans, watched_emulator
from runtimes.watchdog import killed_after

if TYPE_CHECKING:
    from runtimes.vm.connection import Connection

_TIMEOUT = 30.0
"""Seconds for libvirt to start the domain, for the emulator to reach us, and for the domain's end."""


def rehearse(connection: Connection, emulator: Emulator, kind: str, guest_kernel: GuestKernel, directory: Path) -> bool:
    """Pay what the first domain would pay: libvirt asks the emulator what it can do, starts its worker thread, and is
    loaded as QEMU is; the guest's kernel, whose pages would be charged to their first reader, is read.

    Args:
        connection: to the driver.
        emulator: of the domains to come.
        kind: ``kvm``, or ``qemu`` for software emulation.
        guest_kernel: of the instances to come.
        directory: an empty one with a short path.

    Returns:
        Whether libvirt makes a cgroup for QEMU and keeps it there; then nobody else can place it.

    Raises:
        HostError: the emulator cannot do that, or what libvirt starts is on another host.
    """
    for part in (guest_kernel.bzimage, guest_kernel.elf, guest_kernel.initramfs):
        if part is not None:
            storage.read_file_through(part)
    connection.learn(emulator, kind)
    name = f"bench-rehearsal-{secrets.token_hex(4)}"
    models = connection.security_models if connection.daemon else ()
    try:
        with watched_emulator(directory) as process:
            xml = bare_domain_xml(name, kind, emulator.path, spawn_environment((), process.stamp_file), models)
            with adopted_orphans(), killed_after(_TIMEOUT, process.kill):
                domain = connection.create(name, xml, paused=True, kill=process.kill)
            try:
                placed = _is_placed(connection, process, name)
            finally:
                connection.end(domain, process.exited, _TIMEOUT)
            return placed
    except InstanceError as error:
        raise HostError(f"libvirt cannot use {emulator.qemu} for domains of type {kind}: {error}") from error


def _is_placed(connection: Connection, process: EmulatorProcess, name: str) -> bool:
    if not process.spawned.wait(_TIMEOUT) or process.pid is None:
        raise HostError(f"what libvirt at {connection.daemon or 'qemu:///embed'} starts does not reach this process")
    return adopt_cgroup(process.pid, name) is not None
