"""Starting a domain once before any that is measured."""

from __future__ import annotations

import os
from pathlib import Path

from runtimes import storage
from runtimes.base import HostError, Image, InstanceError
from runtimes.vm.connection import Connection
from runtimes.vm.emulator import Emulator
from runtimes.vm.process import adopted_orphans, watched_emulator

_DOMAIN = """\
<domain type="{kind}" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
  <qemu:commandline><qemu:env name="BENCH_SPAWN_STAMP" value="{stamp_file}"/></qemu:commandline>
</domain>
"""
_TIMEOUT = 30.0


def rehearse(connection: Connection, emulator: Emulator, kind: str, image: Image, directory: Path) -> None:
    """Pay what the first domain would pay: libvirt asks the emulator what it can do, starts its worker thread, and is
    loaded as QEMU is; the guest's kernel, whose pages would be charged to their first reader, is read.

    Args:
        connection: to the driver.
        emulator: of the domains to come.
        kind: ``kvm``, or ``qemu`` for software emulation.
        image: of the instances to come.
        directory: an empty one with a short path.

    Raises:
        HostError: the emulator cannot do that.
    """
    for part in (image.kernel, image.initramfs):
        storage.read_file_through(part)
    connection.learn(emulator, kind)
    name = f"bench-rehearsal-{os.getpid()}"
    try:
        with watched_emulator(directory) as process:
            xml = _DOMAIN.format(kind=kind, name=name, emulator=emulator.path, stamp_file=process.stamp_file)
            with adopted_orphans():
                domain = connection.create(name, xml, paused=True)
            domain.destroy(_TIMEOUT)
            connection.forget(domain)
            process.exited.wait(_TIMEOUT)
    except InstanceError as error:
        raise HostError(f"libvirt cannot use {emulator.qemu} for domains of type {kind}: {error}") from error
