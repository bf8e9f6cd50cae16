"""The guest under libvirt."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runtimes import rootless, storage
from runtimes.agent.client import AgentClient, AgentError, AgentGone
from runtimes.base import (
    GuestKernel,
    HostError,
    Image,
    Instance,
    InstanceError,
    InstanceSpec,
    IoLimits,
    Limits,
    Options,
    Runtime,
    Timeline,
)
from runtimes.cgroup import Cgroup
from runtimes.facilities import Facilities
from runtimes.vm.domain import DOMAIN_TYPES, DomainSpec, GuestNetwork, domain_xml
from runtimes.vm.emulator import Emulator, build_emulator, find_qemu, spawn_environment
from runtimes.vm.hardware import choose_hardware
from runtimes.vm.instance import VmInstance
from runtimes.vm.options import VmOptions
from runtimes.vm.probe import Accelerator
from runtimes.vm.process import EmulatorProcess, adopted_orphans, watched_emulator
from runtimes.vm.rehearsal import rehearse
from runtimes.vm.requirements import check_host, check_limits, choose_accelerator
from runtimes.vm.root_disk import open_root_disk

if TYPE_CHECKING:
    from runtimes.vm.connection import Connection, Domain

_DESTROY_TIMEOUT = 30.0
"""Seconds for libvirt to be done with a QEMU that was killed."""

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

NVRAM_NAME = "nvram.fd"
"""The variables of OVMF."""


@dataclass(frozen=True, slots=True)
class _OpenArm:
    """What all guests of an arm have in common.

    Attributes:
        options: of the arm.
        root: the root disk that was made for them; None for the image's file itself.
        emulator: what libvirt starts.
        accelerator: what runs them.
    """

    options: VmOptions
    root: Path | None
    emulator: Emulator
    accelerator: Accelerator


class VmRuntime:
    """A guest through libvirt, under KVM or in software emulation."""

    name: ClassVar[str] = "vm"
    options_model: ClassVar[type[Options]] = VmOptions

    def __init__(self, facilities: Facilities, connection: Connection, arm: _OpenArm) -> None:
        self._facilities = facilities
        self._connection = connection
        self._arm = arm

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, VmOptions)
        if rootless.is_unprivileged():
            raise HostError(
                "guests need root: libvirt's QEMU driver that cares for cgroups is that of root, and so is the tap"
            )
        check_limits(limits)
        check_host(options, limits)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, VmOptions)
        kernel = _kernel(facilities.image, options)
        from runtimes.vm.connection import open_connection

        emulator = build_emulator(find_qemu())
        accelerator = choose_accelerator(options.accel, facilities.image, emulator)
        with ExitStack() as stack:
            root = stack.enter_context(open_root_disk(facilities, options, kernel))
            connection = stack.enter_context(open_connection(emulator))
            with _short_directory(facilities.directory) as directory:
                rehearse(connection, emulator, DOMAIN_TYPES[accelerator.name], kernel, directory)
            yield cls(facilities, connection, _OpenArm(options, root, emulator, accelerator))

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
                accelerator=self._arm.accelerator,
                libvirt_version=self._connection.libvirt_version,
            )

    def image_parts(self, image: Image) -> Mapping[str, int]:
        kernel = _kernel(image, self._arm.options)
        parts = {
            "userland": image.rootfs.stat().st_size,
            "kernel": kernel.bzimage.stat().st_size,
            "initramfs": kernel.initramfs.stat().st_size,
        }
        if self._arm.options.boot == "disk" and self._arm.root is not None:
            parts["boot_loader"] = self._arm.root.stat().st_size - sum(parts.values())
        return parts

    def _domain_spec(self, spec: InstanceSpec, process: EmulatorProcess, cgroup: Cgroup) -> DomainSpec:
        network, arm = self._facilities.network, self._arm
        address = network.allocate()
        if spec.scratch is not None:
            # QEMU would refuse with a message that names only the file.
            os.close(storage.open_direct(spec.scratch))
        return DomainSpec(
            name=spec.name,
            accelerator=arm.accelerator.name,
            emulator=arm.emulator.path,
            hardware=choose_hardware(arm.options, spec.limits),
            cpus=self._facilities.instance_cpus(spec.limits),
            memory=spec.limits.memory,
            kernel=_kernel(spec.image, arm.options),
            root=arm.root or spec.image.rootfs,
            systemd=arm.options.init == "systemd",
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
            nvram=spec.directory / NVRAM_NAME,
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


def _kernel(image: Image, options: VmOptions) -> GuestKernel:
    """What an arm's guests boot.

    Raises:
        HostError: the image does not have it.
    """
    kernel = image.kernels.get(options.guest_kernel)
    if kernel is None or not (kernel.bzimage.is_file() and kernel.initramfs.is_file()):
        raise HostError(f"image {image.id} has no kernel '{options.guest_kernel}': build it with `bench image build`")
    return kernel


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
