"""What of a guest's start is libvirt's own, told by the log of what libvirt and QEMU say to one another.

libvirt writes a line for every message, with the time (kbase/debuglogs.html of libvirt's documentation). It reads where
to when it is first imported, so that this has to be asked for before.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from unittest import mock

from starts import Ours, Start

_LINE = re.compile(r"^(\S+ \S+): \d+: info : \w+:\d+ : QEMU_MONITOR_(\w+): (.*)$", re.MULTILINE)
_LEVEL = 2
"""Information; one line for each message, and none for each function."""


@dataclass(frozen=True, slots=True)
class GuestStart(Start):
    """One start of a guest by libvirt.

    Attributes:
        libvirt: milliseconds of libvirt's own, see :func:`libvirt_share`; None where they are not known.
    """

    libvirt: float | None = None


def conversation(log: str) -> float:
    """Milliseconds from QEMU's first answer, which it gives as soon as it has made its devices, until it has set the
    processors going.

    Args:
        log: of one start.

    Raises:
        ValueError: the log does not tell.
    """
    said = [(datetime.fromisoformat(at), kind, text) for at, kind, text in _LINE.findall(log)]
    answered = next((at for at, kind, _ in said if kind == "RECV_REPLY"), None)
    going = next((at for at, kind, text in said if kind == "RECV_EVENT" and '"event": "RESUME"' in text), None)
    if answered is None or going is None or going < answered:
        raise ValueError("libvirt's log does not tell when QEMU answered first and when it set the processors going")
    return (going - answered).total_seconds() * 1e3


def libvirt_share(start: Start, log: str) -> float:
    """Milliseconds of a guest's start that libvirt takes: from the call of libvirt until QEMU is executed, the phase
    ``spawn``, and from when QEMU is ready until libvirt has asked it all that it wants to know, and set it going.

    In the second is QEMU's time to answer what only libvirt asks. Not in it are the cgroup and the XML, which are made
    before, what libvirt does once the processors are going, since the guest starts meanwhile, and what the devices of
    libvirt's choice cost QEMU or the guest.
    """
    return start.phases["spawn"] + conversation(log)


@contextmanager
def monitor_log(directory: Path) -> Iterator[Path | None]:
    """Have libvirt write what it and QEMU say; yields the file, or None if libvirt has been imported already."""
    if "libvirt" in sys.modules:
        yield None
        return
    log = directory / "libvirt.log"
    asked = {"LIBVIRT_LOG_OUTPUTS": f"{_LEVEL}:file:{log}", "LIBVIRT_LOG_FILTERS": f"{_LEVEL}:qemu.qemu_monitor"}
    with mock.patch.dict(os.environ, asked):
        yield log


class OurGuest:
    """A guest as any user of the runtime starts it, with libvirt's share of its start."""

    def __init__(self, ours: Ours, log: Path | None) -> None:
        self.name = ours.name
        self._ours = ours
        self._log = log

    def start_and_stop(self) -> GuestStart:
        if self._log is None:
            start = self._ours.start_and_stop()
            return GuestStart(start.ready, start.phases)
        with self._log.open() as log:
            log.seek(0, os.SEEK_END)
            start = self._ours.start_and_stop()
            return GuestStart(start.ready, start.phases, libvirt_share(start, log.read()))
