"""What happens to a guest after which it will not go on by itself, though QEMU has not ended.

Then QEMU is killed: whoever waits for the guest is told by that at once, and not by a timeout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import libvirt
import libvirt_qemu  # type: ignore[import-untyped] # shipped without types

if TYPE_CHECKING:
    from runtimes.vm.live_domain import Domain

_PORT_EVENT = "VSERPORT_CHANGE"
"""The guest has opened or closed a port (QEMU's QMP reference); libvirt has an event of its own for the port of QEMU's
guest agent alone."""

_REASONS = {"enospc": "No space left on device"}
"""libvirt's words for the reason of an I/O error; it has none for others."""


def attend(handle: libvirt.virConnect, domains: Mapping[str, Domain]) -> Callable[[], None]:
    """Have domains told of their troubles.

    Args:
        handle: the connection.
        domains: by name; may change.

    Returns:
        What ends it.
    """
    disks = handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, _hear_disk, domains)
    ports = libvirt_qemu.qemuMonitorEventRegister(handle, None, _PORT_EVENT, _hear_port, domains)

    def ignore() -> None:
        handle.domainEventDeregisterAny(disks)
        libvirt_qemu.qemuMonitorEventDeregister(handle, ports)

    return ignore


def _hear_disk(
    _handle: libvirt.virConnect,
    domain: libvirt.virDomain,
    path: str,
    alias: str,
    _action: int,
    reason: str,
    domains: Mapping[str, Domain],
) -> None:
    known = domains.get(domain.name())
    if known is not None:
        known.note_trouble(f"QEMU could not read or write {path or alias}: {_REASONS.get(reason, 'an I/O error')}")


def _hear_port(
    _handle: libvirt.virConnect,
    domain: libvirt.virDomain,
    _event: str,
    seconds: int,
    micros: int,
    details: str,
    domains: Mapping[str, Domain],
) -> None:
    known = domains.get(domain.name())
    if known is None or known.guarded_since is None or json.loads(details)["open"]:
        return
    # A restored guest's init closes the port before the agent opens it, and events may be late.
    if seconds + micros / 1e6 > known.guarded_since:
        known.note_trouble("the agent in the guest has ended")
