"""One running guest."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runtimes.accounting import read_memory, read_usage
from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import InstanceError, MemoryReading, Timeline, Usage
from runtimes.cgroup import Cgroup
from runtimes.vm.probe import Accelerator
from runtimes.vm.process import EmulatorProcess

if TYPE_CHECKING:
    from runtimes.vm.connection import Domain

_STOP_TIMEOUT = 20.0
"""Seconds from the request to stop until the guest has powered off; emulated ones on a busy host take two."""


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
        accelerator: Accelerator,
        libvirt_version: str,
    ) -> None:
        self.agent = agent
        self.timeline = timeline
        self.address: str | None = address
        self._domain = domain
        self._process = process
        self._cgroup = cgroup
        self._accelerator = accelerator
        self._libvirt_version = libvirt_version

    @functools.cached_property
    def facts(self) -> Mapping[str, str]:
        """Read back from QEMU and the guest when first asked for: no other arm does such work before it is measured."""
        accelerated = bool(self._domain.monitor("query-kvm")["enabled"])
        accel = "kvm" if accelerated else "tcg"
        if accel != self._accelerator.name:
            raise InstanceError(f"{self._domain.name}: asked for {self._accelerator.name}, but QEMU runs it by {accel}")
        return {
            "accel": accel,
            "accel_reason": self._accelerator.reason,
            "kernel": self.agent.read_file("/proc/sys/kernel/osrelease").decode().strip(),
            "machine": self._domain.machine,
            "qemu": "{major}.{minor}.{micro}".format(**self._domain.monitor("query-version")["qemu"]),
            "libvirt": self._libvirt_version,
        }

    def memory(self) -> MemoryReading:
        return read_memory(self._cgroup, self.agent.read_file("/proc/meminfo"))

    def usage(self) -> Usage:
        return read_usage(self._cgroup)

    def stop(self) -> None:
        """Power the guest off; ``exited`` is stamped when QEMU has ended, ``stopped`` when libvirt is done with it."""
        name = self._domain.name
        self.timeline.stamp("stop_requested")
        try:
            self.agent.shutdown()
        except AgentError as error:
            raise InstanceError(f"{name}: the guest did not take the request to stop: {error}") from error
        if not self._domain.stopped.wait(_STOP_TIMEOUT):
            raise InstanceError(f"{name}: the guest has not powered off {_STOP_TIMEOUT:g} s after the request to stop")
        if self._domain.lost is not None:
            raise InstanceError(f"{name}: {self._domain.lost}")
        if self._process.exited_at is not None:
            self.timeline.stamp("exited", self._process.exited_at)
        self.timeline.stamp("stopped", self._domain.stopped_at)
