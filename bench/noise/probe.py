"""The probe of a run: a reading before the first block and after each.

A reading costs what the spinning does, 0.2 s for CPUs of different cores and the same again for their siblings, and a
few milliseconds for the counters. It is taken between blocks, where nothing is measured.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench.noise import counters
from bench.noise.counters import Counters, read_counters
from bench.noise.spin import rounds_of, spin_on
from results.noise import NoiseReading

if TYPE_CHECKING:
    from runtimes.facilities import Facilities
    from runtimes.topology import Topology


@dataclass(frozen=True, slots=True)
class _Moment:
    """All counters at one moment, and the CPU time, seconds, of the run and the harness until then."""

    counters: Counters
    own: float


class NoiseProbe:
    """Takes readings, each of what has been since the one before."""

    def __init__(self, topology: Topology, cpus: frozenset[int], own_seconds: Callable[[], float]) -> None:
        """Take readings of some CPUs.

        Args:
            topology: of the CPUs that the run may use.
            cpus: those that instances run on.
            own_seconds: gives the CPU time, seconds, of all that the run has started so far.
        """
        self._cpus = tuple(sorted(cpus))
        self._groups = rounds_of(topology, cpus)
        self._own_seconds = own_seconds
        self._before: _Moment | None = None

    def take(self, block: int) -> NoiseReading:
        """Take the reading after a block, or before the first (block 0).

        Raises:
            HostError: the probe's library cannot be made.
        """
        began = time.monotonic()
        now = self._moment()
        reading = NoiseReading(
            block=block,
            taken=datetime.now(UTC).isoformat(timespec="milliseconds"),
            seconds=None,
            cost=0.0,
            spins=spin_on(self._groups),
            steal=None,
            own=None,
            outside=None,
            cpus=os.cpu_count() or 1,
            interrupts=None,
            load=counters.load(),
            frequency=counters.frequency(self._cpus),
            temperature=counters.temperature(),
        )
        if self._before is not None:
            reading = since(reading, self._before.counters, now.counters, now.own - self._before.own, len(self._cpus))
        # What the reading itself has used is no part of the next block.
        self._before = self._moment()
        return replace(reading, cost=time.monotonic() - began)

    def _moment(self) -> _Moment:
        harness = resource.getrusage(resource.RUSAGE_SELF)
        return _Moment(read_counters(self._cpus), self._own_seconds() + harness.ru_utime + harness.ru_stime)


def since(reading: NoiseReading, before: Counters, now: Counters, own: float, measured: int) -> NoiseReading:
    """A reading with what has been since the one before.

    Args:
        reading: what was found at the moment.
        before: counters just after the reading before it.
        now: counters at the moment.
        own: CPU seconds in between of the run and the harness.
        measured: how many CPUs are.
    """
    seconds = now.at - before.at
    # What those that have ended meanwhile did since the reading before is lost: little, as few end.
    kernel = sum(spent - before.kernel.get(thread, 0.0) for thread, spent in now.kernel.items())
    throttled = None
    if now.throttled is not None and before.throttled is not None:
        throttled = now.throttled - before.throttled
    return replace(
        reading,
        seconds=seconds,
        steal=(now.stolen - before.stolen) / (seconds * measured),
        own=own / seconds,
        outside=max(0.0, now.busy - before.busy - kernel - own) / seconds,
        interrupts=(now.interrupts - before.interrupts) / seconds,
        pressure={name: (now.waited[name] - waited) / seconds for name, waited in before.waited.items()},
        throttled=throttled,
    )


def open_probe(facilities: Facilities, cpus: frozenset[int]) -> NoiseProbe:
    """The probe of a run, of the CPUs that its instances are on."""
    return NoiseProbe(facilities.placer.topology, cpus, facilities.cpu_seconds)
