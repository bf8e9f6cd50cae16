"""One running guest."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.accounting import limit_facts, read_memory, read_usage, unreclaimable_part
from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import InstanceError, MemoryReading, Timeline, Usage
from runtimes.cgroup import Cgroup
from runtimes.vm.endings import Traces
from runtimes.vm.facts import read_facts
from runtimes.vm.guest_phases import STARTUP_FILE, ClockReading, GuestClockError, guest_stamps, read_clock
from runtimes.vm.memory_map import read_guest_memory
from runtimes.vm.probe import Accelerator
from runtimes.vm.process import EmulatorProcess

if TYPE_CHECKING:
    from runtimes.vm.live_domain import Domain


class VmInstance:
    """One guest; see :class:`runtimes.base.Instance`."""

    def __init__(
        self,
        *,
        agent: AgentClient,
        timeline: Timeline,
        address: str,
        domain: Domain,
        process: EmulatorProcess,
        cgroup: Cgroup,
        memory: int,
        accelerator: Accelerator,
        libvirt_version: str,
        traces: Traces,
        stop_timeout: float,
        clock: ClockReading | None,
        note_cpu: Callable[[float], None],
    ) -> None:
        """``clock`` is the guest's, read just after READY; None if it cannot be read. ``note_cpu`` is told the guest's
        CPU time, seconds, whenever its usage is read.
        """
        self.agent = agent
        self.timeline = timeline
        self.address: str | None = address
        self._domain = domain
        self._process = process
        self._cgroup = cgroup
        self._memory = memory
        self._accelerator = accelerator
        self._libvirt_version = libvirt_version
        self._traces = traces
        self._stop_timeout = stop_timeout
        self._clock = clock
        self._note_cpu = note_cpu

    @functools.cached_property
    def facts(self) -> Mapping[str, str]:
        """Read back from QEMU and the guest when first asked for: no other arm does such work before it is measured.

        That adds to the timeline the phases of the start that only the guest can tell.
        """
        accelerated = bool(self._domain.monitor("query-kvm")["enabled"])
        accel = "kvm" if accelerated else "tcg"
        if accel != self._accelerator.name:
            raise InstanceError(f"{self._domain.name}: asked for {self._accelerator.name}, but QEMU runs it by {accel}")
        return {
            **self._place_guest_phases(),
            "accel": accel,
            "accel_reason": self._accelerator.reason,
            **read_facts(self._domain, self._pid, read_guest_memory(self._pid, self._memory), self.agent),
            "qemu": "{major}.{minor}.{micro}".format(**self._domain.monitor("query-version")["qemu"]),
            "libvirt": self._libvirt_version,
            **limit_facts(self._cgroup),
        }

    def _place_guest_phases(self) -> dict[str, str]:
        """Add to the timeline what the guest tells of its start; returns the fact that says why there is none of it."""
        stamps = self.timeline.stamps
        ready = ClockReading(self.agent.hello.boottime, stamps["resume"], stamps["ready"])
        try:
            startup = self.agent.read_file(STARTUP_FILE).decode(errors="replace")
        except FileNotFoundError:
            startup = ""
        later = read_clock(self.agent)
        if self._clock is None or later is None:
            return {"guest_phases": "left out: the guest's kernel does not tell the time in nanoseconds"}
        try:
            placed = guest_stamps(ready, self._clock, later, startup)
        except GuestClockError as error:
            return {"guest_phases": f"left out: {error}"}
        for phase, at in placed.items():
            self.timeline.stamp(phase, at)
        return {}

    def memory(self) -> MemoryReading:
        reading = read_memory(self._cgroup, self.agent.read_file("/proc/meminfo"))
        ram = read_guest_memory(self._pid, self._memory)
        return dataclasses.replace(reading, guest_memory=ram, balloon=self._domain.balloon())

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None, "it has said READY"
        return self._process.pid

    def unreclaimable(self) -> int:
        return unreclaimable_part(self._cgroup.quick_split()) + self._huge_pages()

    def _huge_pages(self) -> int:
        """Bytes of huge pages that QEMU has: in no cgroup's figure, nobody's to take back, never fewer than before."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        huge = next((line.split()[1] for line in status.splitlines() if line.startswith("HugetlbPages:")), "0")
        return int(huge) * 1024

    def usage(self) -> Usage:
        usage = read_usage(self._cgroup)
        self._note_cpu(usage.cpu_time)
        return dataclasses.replace(usage, memory_peak=usage.memory_peak + self._huge_pages())

    def stop(self) -> None:
        """Power the guest off. An end that it did not come to by itself is none in order.

        ``goodbye`` is stamped when the agent has ended all that ran in the guest, ``powered_off`` when libvirt heard of
        it, ``exited`` when QEMU has ended, ``stopped`` when libvirt is done with it.
        """
        deadline = self.timeline.stamp("stop_requested") / 1e9 + self._stop_timeout
        self._domain.guarded_since = None
        try:
            self.agent.shutdown(self._stop_timeout)
        except AgentError as error:
            raise self._traces.error("the guest could not be stopped in order", error, self._domain) from error
        if not self._domain.stopped.wait(max(deadline - time.monotonic(), 0.0)):
            late = TimeoutError(f"it has not powered off within {self._stop_timeout:g} s of the request to stop")
            raise self._traces.error("the guest could not be stopped in order", late, self._domain)
        self._process.exited.wait(max(deadline - time.monotonic(), 0.0))
        if self._domain.trouble is not None or self._domain.powered_off_at is None:
            forced = InstanceError("it ended before it had powered off")
            raise self._traces.error("the guest could not be stopped in order", forced, self._domain)
        for phase, at in (
            ("goodbye", self.agent.goodbye_at),
            ("powered_off", self._domain.powered_off_at),
            ("exited", self._process.exited_at),
        ):
            if at is not None:
                self.timeline.stamp(phase, at)
        self.timeline.stamp("stopped", self._domain.stopped_at)
