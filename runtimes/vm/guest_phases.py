"""The part of a guest's start that only the guest can tell, put on the host's clock.

The host sees processors set going (``resume``) and READY arrive (``ready``). What lies between is told by the guest's
CLOCK_BOOTTIME, which starts at zero when its kernel sets up time keeping, and which READY carries: counted back from
READY's arrival, the guest's stamps lie on the host's clock, late by the time that READY was on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STARTUP_FILE = "/run/bench/startup"
"""Where the guest's init leaves its stamps: a line ``NAME NANOSECONDS`` each, CLOCK_BOOTTIME."""

_RESTORED = "restored"
"""The stamp of a guest whose kernel had started, and was saved, before."""

_PHASES = {"init": "guest_kernel", _RESTORED: "guest_restored", "root": "guest_initramfs"}
"""The phase that ends at each of init's stamps: its first instruction, or going on after having been restored; and
handing over to what runs in the root."""

_RATE_TOLERANCE = 0.05
_READING = 20_000_000
"""Nanoseconds that a reading of the guest's clock may be off: ``/proc/uptime`` counts in hundredths of a second."""


class GuestClockError(Exception):
    """The guest's clock cannot be laid on the host's; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The two clocks at one moment, nanoseconds.

    Attributes:
        guest: the guest's CLOCK_BOOTTIME.
        host: the host's CLOCK_MONOTONIC.
    """

    guest: int
    host: int


def guest_stamps(resumed_at: int, ready: ClockReading, later: ClockReading, startup: str) -> dict[str, int]:
    """The guest's stamps on the host's clock, in the order of time.

    ``guest_firmware`` ends when the kernel's clock starts: the firmware, the kernel's own unpacking and its first
    steps. ``guest_kernel`` ends at init's first instruction, ``guest_initramfs`` when init hands over; what is left
    until ``ready`` is the guest's user space with READY's way to the host. A guest that was restored has no firmware
    and no kernel to start: ``guest_restored`` ends when its init goes on. A stamp that init did not leave is missing.

    Args:
        resumed_at: when the guest's processors were set going, on the host's clock.
        ready: READY: the guest's clock as it says, the host's at its arrival.
        later: some time after that, to tell how fast the guest's clock runs.
        startup: the text of ``STARTUP_FILE``.

    Raises:
        GuestClockError: the guest's clock runs at another rate than the host's by more than 5 %, or its stamps do not
            lie in order between ``resumed_at`` and READY.
    """
    passed, by_guest = later.host - ready.host, later.guest - ready.guest
    if abs(by_guest - passed) > _RATE_TOLERANCE * passed + _READING:
        raise GuestClockError(
            f"the guest's clock counted {by_guest / 1e9:.2f} s while {passed / 1e9:.2f} s passed on the host's"
        )
    told = _parse(startup)
    stamps = {} if _RESTORED in told else {"guest_firmware": 0}
    stamps |= {phase: told[name] for name, phase in _PHASES.items() if name in told}
    placed = {phase: ready.host - (ready.guest - at) for phase, at in stamps.items()}
    moments = [resumed_at, *placed.values(), ready.host]
    if moments != sorted(moments):
        raise GuestClockError(
            f"by the guest's clock its kernel started {ready.guest / 1e9:.2f} s before READY, and its stamps are "
            f"{', '.join(f'{name} {at / 1e9:.2f} s' for name, at in told.items()) or 'none'}; its processors were set "
            f"going {(ready.host - resumed_at) / 1e9:.2f} s before READY by the host's"
        )
    return placed


def parse_uptime(text: str) -> int:
    """Nanoseconds since the guest's start, of a ``/proc/uptime`` (proc_uptime(5))."""
    return round(float(text.split(maxsplit=1)[0]) * 1e9)


def _parse(startup: str) -> Mapping[str, int]:
    lines = (line.split() for line in startup.splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
