"""The guest under libvirt."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runtimes import storage
from runtimes.agent.client import AgentClient, AgentGone
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
from runtimes.cgroup import Cgroup, adopt_cgroup
from runtimes.facilities import Facilities
from runtimes.vm.domain import DOMAIN_TYPES, DomainSpec, GuestNetwork, domain_xml
from runtimes.vm.emulator import Emulator, build_emulator, find_qemu, spawn_environment
from runtimes.vm.endings import Traces
from runtimes.vm.guest_phases import read_clock
from runtimes.vm.hardware import Hardware, choose_hardware, firmware_files, memory_size
from runtimes.vm.instance import VmInstance
from runtimes.vm.options import EMBED, VmOptions
from runtimes.vm.placement import HandedTap, cpu_tuning, handed_tap
from runtimes.vm.probe import Accelerator
from runtimes.vm.process import EmulatorProcess, adopted_orphans, watched_emulator
from runtimes.vm.rehearsal import rehearse
from runtimes.vm.requirements import check_connection, check_host, check_limits, choose_accelerator
from runtimes.vm.root_disk import open_root_disk
from runtimes.vm.saved_state import SavedState, tell_who_it_is, wait_until_it_waits
from runtimes.vm.tsc import counter_frequency
from runtimes.watchdog import killed_after

if TYPE_CHECKING:
    from runtimes.vm.connection import Connection
    from runtimes.vm.live_domain import Domain

_DESTROY_TIMEOUT = 30.0
"""Seconds for libvirt to be done with a QEMU that was killed."""

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
        tsc_khz: what they are told of their time stamp counter; None under KVM, which tells them itself.
        placed: whether libvirt makes their cgroups.
    """

    options: VmOptions
    root: Path | None
    emulator: Emulator
    accelerator: Accelerator
    tsc_khz: int | None
    placed: bool


class VmRuntime:
    """A guest through libvirt, under KVM or in software emulation."""

    name: ClassVar[str] = "vm"
    options_model: ClassVar[type[Options]] = VmOptions

    def __init__(self, facilities: Facilities, connection: Connection, arm: _OpenArm) -> None:
        self._facilities = facilities
        self._connection = connection
        self._arm = arm
        self._states: dict[tuple[object, ...], SavedState] = {}
        self._machines: dict[tuple[Limits, int], Hardware] = {}
        self._lock = threading.RLock()

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, VmOptions)
        check_connection(options.connect)
        check_limits(limits)
        check_host(options, limits)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, VmOptions)
        kernel = _kernel(facilities.image, options)
        emulator = build_emulator(find_qemu())
        accelerator = choose_accelerator(options.accel, facilities.image, emulator)
        with ExitStack() as stack:
            root = stack.enter_context(open_root_disk(facilities, options, kernel))
            connection = stack.enter_context(_open_connection(options.connect, emulator, facilities.outer_network))
            with _short_directory(facilities.directory) as directory:
                placed = rehearse(connection, emulator, DOMAIN_TYPES[accelerator.name], kernel, directory)
            tsc_khz = counter_frequency() if accelerator.name == "tcg" else None
            runtime = cls(facilities, connection, _OpenArm(options, root, emulator, accelerator, tsc_khz, placed))
            stack.callback(runtime._remove_states)
            yield runtime

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        """Start a guest; to be called by the thread that opened the facilities, or one that it has started since."""
        with self._lock:
            self._connection.revive()
        state = self._saved_state(spec) if self._arm.options.start == "restore" else None
        spec.prepared()
        timeline = Timeline()
        deadline = timeline.stamp("requested") / 1e9 + spec.start_timeout
        with ExitStack() as stack:
            own_cgroup, traces = stack.enter_context(self._prepared(spec))
            process, domain_spec = traces.process, traces.domain_spec
            timeline.stamp("define")
            domain = stack.enter_context(self._started(traces, deadline, state))
            timeline.stamp("resume")
            with traces.ready(domain):
                stack.enter_context(self._facilities.network.limited(domain_spec.network.tap, spec.limits.net))
            agent = stack.enter_context(self._connected(traces, domain, deadline, timeline))
            stack.enter_context(traces.explained(domain, agent))
            domain.guarded_since = time.time() - (time.monotonic_ns() - timeline.stamps["ready"]) / 1e9
            cgroup = _cgroup_of(spec.name, process, own_cgroup)
            _save_artefacts(spec.directory, domain, process)
            yield VmInstance(
                agent=agent,
                timeline=timeline,
                address=domain_spec.network.address,
                domain=domain,
                process=process,
                cgroup=cgroup,
                memory=memory_size(spec.limits),
                accelerator=self._arm.accelerator,
                libvirt_version=self._connection.libvirt_version,
                traces=traces,
                stop_timeout=spec.stop_timeout,
                clock=read_clock(agent),
                note_cpu=self._note_cpu(spec.name, own_cgroup),
            )

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        """A kernel on the disk that is booted from is in its layer ``image``. Of QEMU it is the program alone: its
        libraries are others' too.
        """
        options = self._arm.options
        kernel = _kernel(image, options)
        booted = (kernel.bzimage, kernel.initramfs, *([kernel.elf] if kernel.elf else []))
        return {
            "image": (self._arm.root or image.rootfs,),
            "kernel": (
                *(booted if options.boot == "direct" else ()),
                *firmware_files(options),
                self._arm.emulator.qemu,
            ),
        }

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

    @contextmanager
    def _own_cgroup(self, spec: InstanceSpec) -> Iterator[Cgroup | None]:
        """A cgroup for the guest, or None where libvirt makes one."""
        if self._arm.placed:
            yield None
            return
        # The guest's memory and its disk are limited by what it is made of.
        outside = dataclasses.replace(spec.limits, io=IoLimits())
        with self._facilities.new_cgroup(spec.name, outside, memory_limit=False) as cgroup:
            yield cgroup

    def _note_cpu(self, name: str, own_cgroup: Cgroup | None) -> Callable[[float], None]:
        """What an instance's CPU time is told: nobody, where its cgroup is below the run's."""
        if own_cgroup is not None:
            return lambda seconds: None
        return partial(self._facilities.cgroups.note_elsewhere, name)

    @contextmanager
    def _prepared(self, spec: InstanceSpec) -> Iterator[tuple[Cgroup | None, Traces]]:
        """What a guest's domain is made from, and who watches its QEMU; and its cgroup, if it is ours to make."""
        with ExitStack() as stack:
            own_cgroup = stack.enter_context(self._own_cgroup(spec))
            sockets = stack.enter_context(_short_directory(self._facilities.directory))
            address = self._facilities.network.allocate()
            tap = stack.enter_context(self._tap(_tap_name(address), spec))
            process = stack.enter_context(watched_emulator(sockets, tap.handed))
            domain_spec = self._domain_spec(spec, address, tap, process, own_cgroup)
            yield own_cgroup, Traces(spec, process, domain_spec, self._connection.log_directory)

    def _saved_state(self, spec: InstanceSpec) -> SavedState:
        """The state that an instance is restored from; one for each size of memory, processors and scratch disk.

        Raises:
            InstanceError: the guest that was to be saved did not come up.
        """
        size = spec.scratch.stat().st_size if spec.scratch else None
        hardware = self._hardware(spec)
        key = (spec.image.rootfs, _kernel(spec.image, self._arm.options), hardware, memory_size(spec.limits), size)
        with self._lock:
            if key not in self._states:
                self._states[key] = self._save_state(spec, size)
            return self._states[key]

    def _save_state(self, spec: InstanceSpec, scratch_size: int | None) -> SavedState:
        """Start a guest that waits, save its state, and end it."""
        number = len(self._states)
        with _short_directory(self._facilities.scratch_directory) as directory:
            scratch = directory / "scratch" if scratch_size is not None else None
            if scratch is not None:
                scratch.touch()
                os.truncate(scratch, scratch_size or 0)
            whole = Limits(math.ceil(spec.limits.cpus), spec.limits.cpuset, spec.limits.memory)
            name = f"{self._facilities.run}-state-{number}"
            waiting = dataclasses.replace(spec, name=name, limits=whole, scratch=scratch, directory=directory)
            path = self._facilities.scratch_directory / f"{number}-{secrets.token_hex(4)}.state"
            try:
                deadline = time.monotonic() + spec.start_timeout
                with self._prepared(waiting) as (_, traces), self._started(traces, deadline) as domain:
                    with traces.ready(domain), _channel(traces.process, deadline) as channel:
                        wait_until_it_waits(channel, deadline)
                    domain.save(path)
                return SavedState(path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def _remove_states(self) -> None:
        for state in self._states.values():
            state.path.unlink(missing_ok=True)

    def _hardware(self, spec: InstanceSpec) -> Hardware:
        """The machine of all instances with these limits: what the host has left is asked once."""
        key = (spec.limits, spec.at_once)
        with self._lock:
            if key not in self._machines:
                self._machines[key] = choose_hardware(self._arm.options, spec.limits, spec.at_once)
            return self._machines[key]

    def _tap(self, name: str, spec: InstanceSpec) -> AbstractContextManager[HandedTap]:
        """What is made of the guest's interface before QEMU starts: nothing, if libvirt can do it in this process."""
        if self._connection.daemon is None:
            return nullcontext(HandedTap())
        return handed_tap(self._facilities.network, name, self._hardware(spec))

    def _domain_spec(
        self, spec: InstanceSpec, address: str, tap: HandedTap, process: EmulatorProcess, cgroup: Cgroup | None
    ) -> DomainSpec:
        network, arm, connection = self._facilities.network, self._arm, self._connection
        if spec.scratch is not None:
            # QEMU would refuse with a message that names only the file.
            os.close(storage.open_direct(spec.scratch))
        return DomainSpec(
            name=spec.name,
            accelerator=arm.accelerator.name,
            emulator=arm.emulator.path,
            hardware=self._hardware(spec),
            cpus=self._facilities.instance_cpus(spec.limits),
            memory=memory_size(spec.limits),
            kernel=_kernel(spec.image, arm.options),
            root=arm.root or spec.image.rootfs,
            waits=arm.options.start == "restore",
            systemd=arm.options.init == "systemd",
            scratch=spec.scratch,
            io=spec.limits.io,
            network=GuestNetwork(
                bridge=network.bridge,
                tap=_tap_name(address),
                mac=network.mac(address),
                address=address,
                prefix=network.prefix,
                gateway=network.gateway,
                tap_descriptor=tap.tap_descriptor,
                vhost_descriptor=tap.vhost_descriptor,
            ),
            channel=process.channel,
            console=spec.directory / CONSOLE_NAME,
            nvram=spec.directory / NVRAM_NAME,
            tsc_khz=arm.tsc_khz,
            environment=spawn_environment(
                cgroup.thread_files if cgroup else (), process.stamp_file, process.descriptors
            ),
            tuning=None if cgroup else cpu_tuning(spec.limits),
            security_models=connection.security_models if connection.daemon else (),
        )

    @contextmanager
    def _started(self, traces: Traces, deadline: float, state: SavedState | None = None) -> Iterator[Domain]:
        """Start the domain, from a saved state if there is one; at the end it is gone, and QEMU's messages are in the
        instance's directory.
        """
        spec, process, domain_spec = traces.spec, traces.process, traces.domain_spec
        # libvirt would otherwise add to it, should the directory have been used before.
        domain_spec.console.unlink(missing_ok=True)
        try:
            with adopted_orphans(), killed_after(deadline - time.monotonic(), process.kill) as late:
                try:
                    if state is None:
                        domain = self._connection.create(spec.name, domain_xml(domain_spec), kill=process.kill)
                    else:
                        with state.lock:
                            state.rewrite(domain_spec)
                            domain = self._connection.restore(spec.name, state.path, kill=process.kill)
                except InstanceError as error:
                    raise traces.start_error(error, late=late.is_set()) from error
            try:
                yield domain
            finally:
                self._connection.end(domain, process.exited, _DESTROY_TIMEOUT)
        finally:
            if self._connection.log_directory is not None:
                with contextlib.suppress(FileNotFoundError):
                    shutil.move(self._connection.log_directory / f"{spec.name}.log", spec.directory / QEMU_LOG_NAME)

    @contextmanager
    def _connected(self, traces: Traces, domain: Domain, deadline: float, timeline: Timeline) -> Iterator[AgentClient]:
        """The agent's client, READY received before ``deadline`` (CLOCK_MONOTONIC, s), and all stamps up to there."""
        process = traces.process
        with ExitStack() as stack:
            with traces.ready(domain):
                channel = stack.enter_context(_channel(process, deadline))
                if traces.domain_spec.waits:
                    tell_who_it_is(channel, traces.domain_spec)
                agent = stack.enter_context(contextlib.closing(AgentClient(channel)))
                ready = agent.wait_ready(max(deadline - time.monotonic(), 0.0))
            for name, at in (("spawn", process.spawned_at), ("connected", process.connected_at), ("ready", ready)):
                timeline.stamp(name, at)
            yield agent


def _channel(process: EmulatorProcess, deadline: float) -> socket.socket:
    """The host's end of the agent's channel.

    Raises:
        AgentGone: QEMU did not connect it before ``deadline`` (CLOCK_MONOTONIC, s), or it has ended.
    """
    channel = process.take_channel(max(deadline - time.monotonic(), 0.0))
    if channel is None:
        raise AgentGone("QEMU did not connect the agent's channel")
    return channel


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


def _tap_name(address: str) -> str:
    return "bench-t" + "-".join(address.split(".")[2:])


def _cgroup_of(name: str, process: EmulatorProcess, own: Cgroup | None) -> Cgroup:
    """The cgroup that the guest's figures are read from: what is not in it would not be counted."""
    assert process.pid is not None
    cgroup = own or adopt_cgroup(process.pid, name)
    if cgroup is None or process.pid not in cgroup.pids():
        raise InstanceError(f"{name}: QEMU (process {process.pid}) is not in the cgroup that was made for it")
    return cgroup


def _open_connection(connect: str, emulator: Emulator, network: int) -> AbstractContextManager[Connection]:
    """Open the driver; libvirt is first imported here."""
    if connect == EMBED:
        from runtimes.vm.embedded import open_embedded

        return open_embedded(emulator)
    from runtimes.vm.daemon import open_daemon

    return open_daemon(connect, network)


def _save_artefacts(directory: Path, domain: Domain, process: EmulatorProcess) -> None:
    """Save how the guest was started, which libvirt and the kernel tell without asking QEMU or the guest."""
    (directory / DOMAIN_NAME).write_text(domain.description())
    argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    (directory / ARGV_NAME).write_bytes(argv.replace(b"\0", b"\n"))
