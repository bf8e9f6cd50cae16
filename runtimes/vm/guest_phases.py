"""The part of a guest's start that only the guest can tell, put on the host's clock.

The host sees processors set going (``resume``) and READY arrive (``ready``). What lies between is told by the guest's
clock, which starts at zero when its kernel sets up time keeping, and which READY carries. How far that clock is from
the host's, and with it how long READY was on its way, is told by reading it once more just after READY: it was read
some time between the host's question and the answer's arrival (the same bounds as in RFC 5905, section 8).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runtimes.agent.client import AgentClient

STARTUP_FILE = "/run/bench/startup"
"""Where the guest's init leaves its stamps: a line ``NAME NANOSECONDS`` each, CLOCK_BOOTTIME."""

_CLOCK_FILE = "/proc/timer_list"
"""The one file that tells the time in nanoseconds (``timer_list_show_tickdevices_header``, kernel/time/timer_list.c).
It is CLOCK_MONOTONIC, which in a guest that is never suspended is CLOCK_BOOTTIME."""

_NOW = re.compile(rb"^now at (\d+) nsecs$", re.MULTILINE)

_RESTORED = "restored"
"""The stamp of a guest whose kernel had started, and was saved, before."""

_PHASES = {"init": "guest_kernel", _RESTORED: "guest_restored", "root": "guest_initramfs"}
"""The phase that ends at each of init's stamps: its first instruction, or going on after having been restored; and
handing over to what runs in the root."""

_USERSPACE = "guest_userspace"

_RATE_TOLERANCE = 0.05


class GuestClockError(Exception):
    """The guest's clock cannot be laid on the host's; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The guest's clock, read at a moment that lies between two of the host's; nanoseconds.

    Attributes:
        guest: the guest's CLOCK_BOOTTIME.
        after: the host's CLOCK_MONOTONIC before it was read.
        before: the same after it was read.
    """

    guest: int
    after: int
    before: int


def read_clock(agent: AgentClient) -> ClockReading | None:
    """Read the guest's clock now; None if its kernel does not tell it.

    Raises:
        AgentGone: the agent has ended.
    """
    asked = time.monotonic_ns()
    try:
        told = _NOW.search(agent.read_file(_CLOCK_FILE))
    except OSError:
        return None
    return ClockReading(int(told[1]), asked, time.monotonic_ns()) if told else None


def guest_stamps(ready: ClockReading, soon: ClockReading, later: ClockReading, startup: str) -> dict[str, int]:
    """The guest's stamps on the host's clock, in the order of time.

    ``guest_firmware`` ends when the kernel's clock starts: the firmware, the kernel's own unpacking and its first
    steps. ``guest_kernel`` ends at init's first instruction, ``guest_initramfs`` when init hands over, and
    ``guest_userspace`` when the agent says READY; what is left until ``ready`` is its way to the host. A guest that was
    restored has no firmware and no kernel to start: ``guest_restored`` ends when its init goes on. A stamp that init
    did not leave is missing.

    Args:
        ready: READY, with the guest's clock as it says, between the guest's processors being set going and its arrival.
        soon: a reading just after that, for the distance of the clocks.
        later: one some time after that, for their rates.
        startup: the text of ``STARTUP_FILE``.

    Raises:
        GuestClockError: the guest's clock runs at another rate than the host's by more than 5 %, or its stamps do not
            lie in order between its processors being set going and READY.
    """
    _check_rate(soon, later)
    told = _parse(startup)
    stamps = {} if _RESTORED in told else {"guest_firmware": 0}
    stamps |= {phase: told[name] for name, phase in _PHASES.items() if name in told}
    stamps[_USERSPACE] = ready.guest
    distance = _distance(ready, soon, min(stamps.values()))
    placed = {phase: at + distance for phase, at in stamps.items()}
    moments = [ready.after, *placed.values(), ready.before]
    if moments != sorted(moments):
        raise GuestClockError(
            f"by the guest's clock its kernel started {ready.guest / 1e9:.2f} s before READY, and its stamps are "
            f"{', '.join(f'{name} {at / 1e9:.2f} s' for name, at in told.items()) or 'none'}; its processors were set "
            f"going {(ready.before - ready.after) / 1e9:.2f} s before READY by the host's"
        )
    return placed


def _check_rate(soon: ClockReading, later: ClockReading) -> None:
    """READY says nothing of it: nobody knows yet how long it was on its way."""
    least, most, by_guest = later.after - soon.before, later.before - soon.after, later.guest - soon.guest
    if not (1 - _RATE_TOLERANCE) * least <= by_guest <= (1 + _RATE_TOLERANCE) * most:
        raise GuestClockError(
            f"the guest's clock counted {by_guest / 1e9:.3f} s while {least / 1e9:.3f} to {most / 1e9:.3f} s passed on "
            "the host's"
        )


def _distance(ready: ClockReading, soon: ClockReading, first: int) -> int:
    """What the host's clock is ahead of the guest's: half way between what it can be at the least and at the most.

    It was read between ``soon``'s two moments and READY was said before it arrived; nor was the first of the stamps
    taken before the processors were set going, as far as that fits.
    """
    least = soon.after - soon.guest
    most = min(soon.before - soon.guest, ready.before - ready.guest)
    if least > most:
        raise GuestClockError(
            f"the guest's clock stood still for {(least - most) / 1e6:.1f} ms between READY and the next reading"
        )
    return (max(least, min(ready.after - first, most)) + most) // 2


def _parse(startup: str) -> Mapping[str, int]:
    lines = (line.split() for line in startup.splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
