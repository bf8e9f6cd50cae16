"""The guest under libvirt."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from runtimes import rootless, storage
from runtimes.accounting import read_memory, read_usage
from runtimes.agent.client import AgentClient, AgentError, AgentGone
from runtimes.base import (
    HostError,
    Image,
    Instance,
    InstanceError,
    InstanceSpec,
    IoLimits,
    Limits,
    MemoryReading,
    Options,
    Runtime,
    Timeline,
    Usage,
)
from runtimes.cgroup import Cgroup
from runtimes.facilities import Facilities
from runtimes.network import check_bandwidth
from runtimes.vm.domain import DOMAIN_TYPES, DomainSpec, GuestNetwork, domain_xml
from runtimes.vm.emulator import Emulator, build_emulator, find_qemu, spawn_environment
from runtimes.vm.probe import Accelerator, answer_file, probe_accelerator, refused_device
from runtimes.vm.process import EmulatorProcess, adopted_orphans, watched_emulator
from runtimes.vm.rehearsal import rehearse

if TYPE_CHECKING:
    from runtimes.vm.connection import Connection, Domain

_STOP_TIMEOUT = 20.0
"""Seconds from the request to stop until the guest has powered off; emulated ones on a busy host take two."""

_DESTROY_TIMEOUT = 30.0
"""Seconds for libvirt to be done with a QEMU that was killed."""

_LEAST_MEMORY = 80 << 20
"""Bytes with which a guest gets ready: with 72 MiB, Debian's kernel 6.1 ends in a panic for want of memory."""

_CONSOLE_LINES = 15
"""Lines of the console that an error quotes."""

_REASON = re.compile(r"bench-init:|Kernel panic")
"""Where on the console the guest, or its kernel, begins to say why it ends."""

CONSOLE_NAME = "console.log"
"""What the guest printed on its serial port, in an instance's directory."""

QEMU_LOG_NAME = "qemu.log"
"""How QEMU was started, and what it said."""

DOMAIN_NAME = "domain.xml"
"""The domain as it ran, with what libvirt filled in."""

ARGV_NAME = "qemu-argv"
"""QEMU's command line, an argument a line."""

_WITHOUT_KVM = "say accel: auto to take software emulation"


class VmOptions(Options):
    """Options of an arm.

    Attributes:
        accel: ``kvm``, ``tcg`` (software emulation), or ``auto`` for KVM where it works.
    """

    accel: Literal["auto", "kvm", "tcg"] = "auto"


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
        if self._process.exited_at is not None:
            self.timeline.stamp("exited", self._process.exited_at)
        self.timeline.stamp("stopped", self._domain.stopped_at)


class VmRuntime:
    """A guest through libvirt, under KVM or in software emulation."""

    name: ClassVar[str] = "vm"
    options_model: ClassVar[type[Options]] = VmOptions

    def __init__(
        self, facilities: Facilities, connection: Connection, emulator: Emulator, accelerator: Accelerator
    ) -> None:
        self._facilities = facilities
        self._connection = connection
        self._emulator = emulator
        self._accelerator = accelerator

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, VmOptions)
        if rootless.is_unprivileged():
            raise HostError(
                "guests need root: libvirt's QEMU driver that cares for cgroups is that of root, and so is the tap"
            )
        _check_limits(limits)
        _check_host(options)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, VmOptions)
        _check_host(options)
        for part in (facilities.image.kernel, facilities.image.initramfs):
            if not part.is_file():
                raise HostError(f"no image at {part}: build it with `bench image build`")
        from runtimes.vm.connection import open_connection

        emulator = build_emulator(find_qemu())
        accelerator = _choose_accelerator(options.accel, facilities.image, emulator)
        with open_connection(emulator) as connection:
            with _short_directory(facilities.directory) as directory:
                rehearse(connection, emulator, DOMAIN_TYPES[accelerator.name], facilities.image, directory)
            yield cls(facilities, connection, emulator, accelerator)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        """Start a guest; must be called by the thread that opened the facilities."""
        timeline = Timeline()
        deadline = timeline.stamp("requested") / 1e9 + spec.start_timeout
        with ExitStack() as stack:
            # The guest's memory and its disk are limited by what it is made of.
            outside = dataclasses.replace(spec.limits, io=IoLimits())
            cgroup = stack.enter_context(self._facilities.new_cgroup(spec.name, outside, memory_limit=False))
            sockets = stack.enter_context(_short_directory(self._facilities.directory))
            process = stack.enter_context(watched_emulator(sockets))
            domain_spec = self._domain_spec(spec, process, cgroup)
            timeline.stamp("define")
            domain = stack.enter_context(self._started(domain_spec, spec, process))
            stack.enter_context(self._facilities.network.limited(domain_spec.network.tap, spec.limits.net))
            timeline.stamp("resume")
            agent = stack.enter_context(self._connected(spec, process, deadline, timeline))
            _check_placement(spec.name, process, cgroup)
            _save_artefacts(spec.directory, domain, process)
            yield VmInstance(
                agent=agent,
                timeline=timeline,
                address=domain_spec.network.address,
                domain=domain,
                process=process,
                cgroup=cgroup,
                accelerator=self._accelerator,
                libvirt_version=self._connection.libvirt_version,
            )

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {
            "userland": image.rootfs.stat().st_size,
            "kernel": image.kernel.stat().st_size,
            "initramfs": image.initramfs.stat().st_size,
        }

    def _domain_spec(self, spec: InstanceSpec, process: EmulatorProcess, cgroup: Cgroup) -> DomainSpec:
        network = self._facilities.network
        address = network.allocate()
        if spec.scratch is not None:
            # QEMU would refuse with a message that names only the file.
            os.close(storage.open_direct(spec.scratch))
        return DomainSpec(
            name=spec.name,
            accelerator=self._accelerator.name,
            emulator=self._emulator.path,
            vcpus=math.ceil(spec.limits.cpus),
            memory=spec.limits.memory,
            image=spec.image,
            scratch=spec.scratch,
            io=spec.limits.io,
            network=GuestNetwork(
                bridge=network.bridge,
                tap="bench-t" + "-".join(address.split(".")[2:]),
                mac=network.mac(address),
                address=address,
                prefix=network.prefix,
                gateway=network.gateway,
            ),
            channel=process.channel,
            console=spec.directory / CONSOLE_NAME,
            environment=spawn_environment(cgroup.thread_files, process.stamp_file),
        )

    @contextmanager
    def _started(self, domain_spec: DomainSpec, spec: InstanceSpec, process: EmulatorProcess) -> Iterator[Domain]:
        """Start the domain; at the end it is gone, and QEMU's messages are in the instance's directory."""
        xml = domain_xml(domain_spec)
        # libvirt would otherwise add to it, should the directory have been used before.
        domain_spec.console.unlink(missing_ok=True)
        try:
            with adopted_orphans():
                domain = self._connection.create(spec.name, xml)
            try:
                yield domain
            finally:
                domain.destroy(_DESTROY_TIMEOUT)
                self._connection.forget(domain)
                process.exited.wait(_DESTROY_TIMEOUT)
        finally:
            with contextlib.suppress(FileNotFoundError):
                shutil.move(self._connection.log_directory / f"{spec.name}.log", spec.directory / QEMU_LOG_NAME)

    @contextmanager
    def _connected(
        self, spec: InstanceSpec, process: EmulatorProcess, deadline: float, timeline: Timeline
    ) -> Iterator[AgentClient]:
        """The agent's client, READY received before ``deadline`` (CLOCK_MONOTONIC, s), and all stamps up to there."""
        channel = process.take_channel(max(deadline - time.monotonic(), 0.0))
        if channel is None:
            raise InstanceError(f"{spec.name}: QEMU did not connect the agent's channel{_console(spec)}")
        with contextlib.closing(AgentClient(channel)) as agent:
            try:
                ready = agent.wait_ready(max(deadline - time.monotonic(), 0.0))
            except (AgentError, TimeoutError) as error:
                raise InstanceError(_explain(spec, process, error)) from error
            for name, at in (("spawn", process.spawned_at), ("connected", process.connected_at), ("ready", ready)):
                timeline.stamp(name, at)
            yield agent


def _check_limits(limits: Limits) -> None:
    """Find out whether a guest can be had under these limits, the host aside.

    Raises:
        HostError: it cannot.
    """
    if limits.memory < _LEAST_MEMORY:
        raise HostError(
            f"limits: memory: a guest with {limits.memory >> 20} MiB cannot boot; its kernel needs "
            f"{_LEAST_MEMORY >> 20} MiB"
        )
    for name, asked in (("memory_swap", limits.memory_swap > 0), ("pids", limits.pids is not None)):
        if asked:
            raise HostError(
                f"limits: {name} cannot be enforced by the runtime vm, whose guests have a kernel of their own for it; "
                f"leave it out, or give this arm `limits: {{{name}: ~}}`"
            )
    check_bandwidth(limits.net)


def _check_host(options: VmOptions) -> None:
    """Find out what can be known without an image.

    Raises:
        HostError: this host cannot run guests, or not with these options.
    """
    find_qemu()
    _require_libvirt()
    if options.accel == "kvm" and (refusal := refused_device()) is not None:
        raise HostError(f"accel: kvm cannot be had on this host: {refusal}; {_WITHOUT_KVM}")


def _require_libvirt() -> None:
    """Import libvirt, which nothing does before: runtimes can be listed without it.

    Raises:
        HostError: it is not installed.
    """
    for module in ("libvirt", "libvirt_qemu"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise HostError(
                f"libvirt-python is needed by the runtime vm and cannot be imported ({error}): "
                "apt-get install libvirt-dev, then make setup"
            ) from error


def _choose_accelerator(wish: Literal["auto", "kvm", "tcg"], image: Image, emulator: Emulator) -> Accelerator:
    if wish == "tcg":
        return Accelerator("tcg", "asked for")
    found = probe_accelerator(image, qemu=emulator.qemu)
    if wish == "kvm" and found.name != "kvm":
        raise HostError(
            f"accel: kvm cannot be had on this host: {found.reason}; {_WITHOUT_KVM}, "
            f"or mend it, remove {answer_file()} and try again"
        )
    return found


@contextmanager
def _short_directory(parent: Path) -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name in the 108 bytes that unix(7) gives."""
    directory = Path(tempfile.mkdtemp(prefix="vm-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _check_placement(name: str, process: EmulatorProcess, cgroup: Cgroup) -> None:
    """What is not in the cgroup would not be counted."""
    if process.pid not in cgroup.pids():
        raise InstanceError(f"{name}: QEMU (process {process.pid}) is not in the cgroup {cgroup.name} that it joined")


def _save_artefacts(directory: Path, domain: Domain, process: EmulatorProcess) -> None:
    """Save how the guest was started, which libvirt and the kernel tell without asking QEMU or the guest."""
    (directory / DOMAIN_NAME).write_text(domain.description())
    argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    (directory / ARGV_NAME).write_bytes(argv.replace(b"\0", b"\n"))


def _explain(spec: InstanceSpec, process: EmulatorProcess, error: Exception) -> str:
    """Why a guest did not become ready."""
    if isinstance(error, AgentGone) and process.exited.wait(_DESTROY_TIMEOUT):
        what = f"the guest ended before it was ready ({process.describe_end()})"
    else:
        what = f"the guest did not get ready: {error}"
    return f"{spec.name}: {what}{_console(spec)}"


def _console(spec: InstanceSpec) -> str:
    """What the console says of the end, or else its last lines, as the end of a message."""
    console = spec.directory / CONSOLE_NAME
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    if not lines:
        return "; its console is empty"
    last = max(0, len(lines) - _CONSOLE_LINES)
    start = next((number for number, line in enumerate(lines) if _REASON.search(line)), last)
    return "".join(["; on its console:", *(f"\n    {line}" for line in lines[start : start + _CONSOLE_LINES])])
