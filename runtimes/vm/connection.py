"""A connection to libvirt's QEMU driver: starting domains, hearing of their ends and of its own.

Where the driver is, in this process (:mod:`runtimes.vm.embedded`) or in a daemon (:mod:`runtimes.vm.daemon`), makes
little difference here. A daemon may end, however, and its domains outlive it: then whoever waits for one of them is
told, and QEMU is killed.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from runtimes.base import HostError, InstanceError
from runtimes.vm import troubles
from runtimes.vm.apparmor import how_to_permit
from runtimes.vm.domain import MACHINE
from runtimes.vm.emulator import Emulator
from runtimes.vm.live_domain import Domain
from runtimes.watchdog import answered_within

_KEEPALIVE = (5, 5)
"""Seconds between questions to a daemon whether it is there, and how many it may leave without an answer."""

_KNOWLEDGE_PATIENCE = 120.0
"""Seconds for the driver to find out what a QEMU can do, by starting it: some 4 on two cores, more where emulated."""

_LOSSES = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "the connection failed",
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "the daemon ended or closed it",
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "the daemon no longer answers",
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: "it was closed here",
}


class Connection:
    """An open connection to the driver.

    Attributes:
        libvirt_version: of the driver.
        log_directory: where libvirt writes ``NAME.log`` for every domain, with QEMU's messages; None if it is not ours
            to know.
        daemon: the URI of the daemon that starts QEMU; None where this process does.
        lost: why it is of no use any more; None as long as it is there.
    """

    def __init__(
        self, handle: libvirt.virConnect, log_directory: Path | None, reopen: Callable[[], libvirt.virConnect] | None
    ) -> None:
        """``reopen`` opens a connection to the same daemon anew, and is None where there is none."""
        self.libvirt_version = _version(handle.getLibVersion())
        self.log_directory = log_directory
        self.daemon = None if reopen is None else handle.getURI()
        self.lost: str | None = None
        self._reopen = reopen
        self._domains: dict[str, Domain] = {}
        self._attend(handle)

    def _attend(self, handle: libvirt.virConnect) -> None:
        self._handle = handle
        self._callback = handle.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._hear, self._domains
        )
        self._ignore_troubles = troubles.attend(handle, self._domains)
        if self.daemon is not None:
            handle.registerCloseCallback(self._hear_loss, None)
            handle.setKeepAlive(*_KEEPALIVE)

    @staticmethod
    def _hear(
        _handle: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, domains: dict[str, Domain]
    ) -> None:
        known = domains.get(domain.name())
        by_guest = detail != libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_HOST  # a signal to QEMU
        if known is not None and event == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN and by_guest:
            known.note_power_off()
        if known is not None and event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            known.note_stop()

    def _hear_loss(self, _handle: libvirt.virConnect, reason: int, _opaque: object) -> None:
        self.lost = f"the connection to libvirt at {self.daemon} was lost: {_LOSSES.get(reason, f'reason {reason}')}"
        for domain in list(self._domains.values()):
            domain.note_loss(self.lost)

    def revive(self) -> None:
        """Connect anew if the connection was lost.

        Raises:
            InstanceError: that failed.
        """
        if self.lost is None or self._reopen is None:
            return
        lost = self.lost
        try:
            handle = self._reopen()
            self._dismiss()
            self.lost = None  # from here on it is the new one that may be lost
            self._attend(handle)
        except (libvirt.libvirtError, HostError) as error:
            self.lost = lost
            raise InstanceError(f"{lost}, and cannot be had again: {error}") from error

    @functools.cached_property
    def security_models(self) -> tuple[str, ...]:
        """The security drivers that would confine QEMU.

        Raises:
            HostError: the driver does not tell them.
        """
        try:
            capabilities = self._answered(self._handle.getCapabilities)
        except libvirt.libvirtError as error:
            raise HostError(f"libvirt at {self.daemon} does not tell its security drivers: {error}") from error
        models = ElementTree.fromstring(capabilities).iterfind("host/secmodel/model")
        return tuple(model.text for model in models if model.text and model.text != "none")

    @property
    def host(self) -> str:
        """Name of the host that the driver runs on, as it says itself."""
        return str(self._handle.getHostname())

    def create(self, name: str, xml: str, *, paused: bool = False, kill: Callable[[], None] = lambda: None) -> Domain:
        """Start a transient domain; its processors run when this returns, unless it is to be paused.

        Without a daemon, QEMU and the domain's tap are made by the calling thread, in its network and mount namespaces.
        With one, the domain is destroyed when the connection ends, however it does.

        Args:
            name: of the domain, the same as in ``xml``.
            xml: the domain.
            paused: whether its processors shall not run.
            kill: kills QEMU, if it is there; called, in any thread, where libvirt cannot be told to: QEMU hangs, or the
                connection was lost, perhaps while the domain was being started.

        Raises:
            InstanceError: libvirt refused, or QEMU did not start.
        """
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        if self.daemon is not None:
            flags |= libvirt.VIR_DOMAIN_START_AUTODESTROY
        return self._begin(name, lambda: self._handle.createXML(xml, flags), kill)

    def restore(self, name: str, state: Path, *, kill: Callable[[], None] = lambda: None) -> Domain:
        """The same for a domain that is in a saved state; its processors run when this returns.

        Args:
            name: of the domain in that state.
            state: the file.
            kill: as for :meth:`create`.

        Raises:
            InstanceError: libvirt refused, or QEMU did not start.
        """

        def begin() -> libvirt.virDomain:
            self._handle.restoreFlags(str(state), None, libvirt.VIR_DOMAIN_SAVE_RUNNING)
            return self._handle.lookupByName(name)

        return self._begin(name, begin, kill)

    def _begin(self, name: str, begin: Callable[[], libvirt.virDomain], kill: Callable[[], None]) -> Domain:
        domain = self._domains[name] = Domain(name, kill)
        try:
            domain.started(begin())
        except libvirt.libvirtError as error:
            del self._domains[name]
            kill()
            raise InstanceError(f"{name}: libvirt could not start it: {self.lost or error}") from error
        except BaseException:  # interrupted when libvirt had started it, and nobody here knew yet
            del self._domains[name]
            with contextlib.suppress(libvirt.libvirtError):
                self._handle.lookupByName(name).destroy()
            raise
        return domain

    def end(self, domain: Domain, exited: threading.Event, patience: float) -> None:
        """Destroy a domain, listen no more for it, and wait until its QEMU has ended, also where libvirt fails.

        Args:
            domain: one that was started by this connection.
            exited: set when its QEMU has ended.
            patience: seconds for libvirt, and then for QEMU.

        Raises:
            InstanceError: libvirt could not destroy it.
        """
        try:
            domain.destroy(patience)
        finally:
            self._domains.pop(domain.name, None)
            exited.wait(patience)

    def learn(self, emulator: Emulator, kind: str) -> None:
        """Have libvirt ask the emulator now what it can do; it would else do so for the first domain.

        Args:
            emulator: of the domains to come.
            kind: ``kvm``, or ``qemu`` for software emulation.

        Raises:
            HostError: the emulator cannot do that, or it hangs.
        """
        ask = functools.partial(self._handle.getDomainCapabilities, str(emulator.path), "x86_64", MACHINE, kind)
        try:
            self._answered(ask)
        except libvirt.libvirtError as error:
            permission = how_to_permit(emulator.path) if self.daemon else ""
            raise HostError(
                f"libvirt cannot use {emulator.qemu} for domains of type {kind}: {error}"
                + (f"; {permission}" if permission else "")
            ) from error

    def _answered(self, ask: Callable[[], str]) -> str:
        """What the driver says that it has to start a QEMU for.

        Raises:
            libvirt.libvirtError: it could not find out.
            HostError: it does not answer.
        """
        return answered_within(_KNOWLEDGE_PATIENCE, f"libvirt at {self.daemon or 'qemu:///embed'}", ask)

    def close(self) -> None:
        """Close it; all domains of ours have been destroyed. The handle of a driver in this process stays open."""
        self._dismiss()

    def _dismiss(self) -> None:
        """Each callback holds the connection open; those of a lost one are let go here, though there is an error."""
        if self.daemon is not None:
            with contextlib.suppress(libvirt.libvirtError):
                self._handle.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self._ignore_troubles()
        with contextlib.suppress(libvirt.libvirtError):
            self._handle.domainEventDeregisterAny(self._callback)
        if self.daemon is not None:
            self._handle.close()


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
