"""One domain that was started: asking after it, and ending it."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu  # type: ignore[import-untyped] # shipped without types

from runtimes.base import InstanceError
from runtimes.watchdog import killed_after

_ANSWER_TIMEOUT = 10.0
"""Seconds for QEMU to answer a question about itself, which takes it milliseconds."""

_SAVE_TIMEOUT = 120.0
"""Seconds for QEMU to write its state to a disk, which takes it less than one."""

_BALLOON_SIZES = ("actual", "available", "unused", "usable", "disk_caches", "swap_in", "swap_out")
_UNKNOWN = 2**63 // 1024
"""KiB from which on a figure can only be the -1 by which QEMU says that the driver does not tell it."""


class Domain:
    """One domain that was started.

    Attributes:
        name: of the domain.
        stopped: set when libvirt says that the domain has stopped or crashed, and QEMU is gone; or when nothing more
            will be heard of it.
        stopped_at: when it said so, nanoseconds on CLOCK_MONOTONIC.
        powered_off_at: when it said that the guest had powered off, on the same clock; None if it has not.
        trouble: why the guest could not go on, so that QEMU was killed; None if it could.
        guarded_since: from when on it is trouble if the agent closes its port, seconds of the wall clock; None for
            never.
        lost: whether the connection is gone, and nothing more will be heard of it.
    """

    def __init__(self, name: str, kill: Callable[[], None]) -> None:
        self.name = name
        self.stopped = threading.Event()
        self.stopped_at: int | None = None
        self.powered_off_at: int | None = None
        self.trouble: str | None = None
        self.guarded_since: float | None = None
        self.lost = False
        self._kill = kill
        self._handle: libvirt.virDomain | None = None

    def started(self, handle: libvirt.virDomain) -> None:
        """Take over libvirt's own handle."""
        self._handle = handle

    def note_stop(self) -> None:
        """Called in the thread of the event loop."""
        self.stopped_at = time.monotonic_ns()
        self.stopped.set()

    def note_power_off(self) -> None:
        """Called in the thread of the event loop."""
        self.powered_off_at = time.monotonic_ns()

    def note_trouble(self, reason: str) -> None:
        """Called in any thread: the guest cannot go on."""
        self.trouble = self.trouble or reason
        self._kill()

    def note_loss(self, reason: str) -> None:
        """Called in the thread of the event loop: there is nobody left who could end the domain but ourselves."""
        self.lost = True
        self.note_trouble(reason)
        self.stopped.set()

    def monitor(self, command: str) -> Any:  # noqa: ANN401 any JSON
        """What QEMU's monitor returns for a command without arguments.

        Raises:
            InstanceError: the domain is gone, or QEMU does not know the command, or it did not answer and was killed.
        """
        try:
            with self._patience(command):
                answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._handle, json.dumps({"execute": command}), 0))
        except libvirt.libvirtError as error:
            # Where QEMU was killed for it, libvirt only knows that the connection broke.
            reason = self.trouble or f"libvirt could not ask QEMU for {command}: {error}"
            raise InstanceError(f"{self.name}: {reason}") from error
        if "return" not in answer:
            raise InstanceError(f"{self.name}: QEMU does not answer {command}: {answer['error']['desc']}")
        return answer["return"]

    def _patience(self, question: str) -> AbstractContextManager[threading.Event]:
        """Libvirt waits without a limit; so QEMU is killed if it does not answer."""
        hung = functools.partial(self.note_trouble, f"QEMU did not answer {question} within {_ANSWER_TIMEOUT:g} s")
        return killed_after(_ANSWER_TIMEOUT, hung)

    def balloon(self) -> dict[str, int]:
        """What the guest's balloon driver told last of the guest's memory, see :func:`parse_balloon`.

        Raises:
            InstanceError: the domain is gone.
        """
        try:
            with self._patience("for its balloon"):
                return parse_balloon(self._handle.memoryStats()) if self._handle else {}
        except libvirt.libvirtError as error:
            reason = self.trouble or f"libvirt has no figures of its memory: {error}"
            raise InstanceError(f"{self.name}: {reason}") from error

    def description(self) -> str:
        """The XML of the domain as it runs, with all that libvirt filled in.

        Raises:
            InstanceError: the domain is gone.
        """
        try:
            return str(self._handle.XMLDesc(0)) if self._handle else ""
        except libvirt.libvirtError as error:
            raise InstanceError(f"{self.name}: libvirt has no description of it: {error}") from error

    def save(self, state: Path) -> None:
        """Write the state of the domain into a file, and end it.

        Raises:
            InstanceError: libvirt could not.
        """
        assert self._handle is not None
        try:
            with killed_after(_SAVE_TIMEOUT, functools.partial(self.note_trouble, "QEMU did not save its state")):
                self._handle.save(str(state))
        except libvirt.libvirtError as error:
            raise InstanceError(f"{self.name}: libvirt could not save its state: {error}") from error

    def destroy(self, patience: float) -> None:
        """Have libvirt kill QEMU, if it has not ended, and wait until libvirt is done with the domain.

        Raises:
            InstanceError: libvirt could not; QEMU was killed all the same.
        """
        if self._handle is None or self.lost:
            return
        try:
            self._destroy(patience)
        except BaseException:
            self._kill()
            raise

    def _destroy(self, patience: float) -> None:
        assert self._handle is not None
        try:
            if not self.stopped.is_set():
                self._handle.destroy()
        except libvirt.libvirtError as error:
            over = error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
            if not over and not self.lost:
                raise InstanceError(f"{self.name}: libvirt could not destroy it: {error}") from error
        if not self.stopped.wait(patience):
            raise InstanceError(f"{self.name}: libvirt did not say within {patience:g} s that it has stopped")


def parse_balloon(statistics: Mapping[str, int]) -> dict[str, int]:
    """Figures of virDomainMemoryStats (libvirt's libvirt-domain.h) that a balloon driver tells, in bytes.

    Returns:
        ``actual`` (the guest's memory without what is in the balloon), ``available`` (``MemTotal`` in the guest),
        ``unused`` (``MemFree``), ``usable`` (``MemAvailable``), ``disk_caches``, ``swap_in`` and ``swap_out``; without
        those that the driver does not tell, and empty if it has not told any yet.
    """
    if not statistics.get("last_update"):
        return {}
    given = {name: statistics[name] for name in _BALLOON_SIZES if name in statistics}
    return {name: value * 1024 for name, value in given.items() if 0 <= value < _UNKNOWN}
