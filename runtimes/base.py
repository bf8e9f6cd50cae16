"""The one seam: what a runtime is, and what it hands back.

Every arm is something that starts the agent inside an environment and hands back a byte stream to it. A runtime is
opened once a run with what the run holds of the host (:class:`runtimes.facilities.Facilities`), and then starts fresh
instances:

    with ContainerRuntime.open(facilities, options) as runtime:
        with runtime.start(spec) as instance:
            instance.agent.run(Command(("sysbench", "cpu", "run")))
            instance.stop()

Leaving the ``start`` context always tears the instance down, whatever happened inside; ``stop`` is the orderly way,
timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient
    from runtimes.facilities import Facilities


class InstanceError(Exception):
    """An instance did not start, died, or could not be stopped: the trial has failed, the run goes on.

    Attributes:
        details: lines that go with the message, such as the last ones of a console; may be empty.
    """

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class HostError(Exception):
    """The host cannot give what was asked for. The message says what, why, and how to mend it."""


class UnavailableError(HostError):
    """This host has not what a runtime needs whatever its options are: a program, or a kernel that it runs on.

    A suite goes on without the arms that this concerns, and says so.

    Attributes:
        what: what is missing.
        fix: how to have it; empty where that is not known.
    """

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(f"{what}: {fix}" if fix else what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class GuestKernel:
    """A kernel that guests boot.

    Attributes:
        release: as ``uname -r`` tells it in the guest.
        bzimage: the kernel packed, as distributions ship it (kernel documentation, x86/boot).
        elf: the same kernel unpacked, with a PVH entry; None if it has none.
        initramfs: our initramfs, with this kernel's modules.
    """

    release: str
    bzimage: Path
    elf: Path | None
    initramfs: Path


@dataclass(frozen=True, slots=True)
class Image:
    """Where the parts of one built image lie.

    Attributes:
        id: hash of the recipe, hexadecimal.
        rootfs: the ext4 file that every arm mounts read-only; the agent is in it at ``AGENT_PATH``.
        kernels: what guests may boot, by the names that arms use; ``image`` is the one that belongs to every image.
    """

    id: str
    rootfs: Path
    kernels: Mapping[str, GuestKernel] = field(default_factory=dict)


AGENT_PATH = "/usr/lib/bench/agent"
"""Where the image holds the agent."""


@dataclass(frozen=True, slots=True)
class IoLimits:
    """What one instance may read from and write to its scratch disk; None for as much as it can.

    Attributes:
        read_bytes: bytes a second.
        write_bytes: bytes a second.
        read_ops: requests a second.
        write_ops: requests a second.
    """

    read_bytes: int | None = None
    write_bytes: int | None = None
    read_ops: int | None = None
    write_ops: int | None = None


@dataclass(frozen=True, slots=True)
class NetLimits:
    """The bandwidth of one instance's network interface; None for as much as it can.

    Attributes:
        ingress: bits a second towards the instance.
        egress: bits a second away from it.
    """

    ingress: int | None = None
    egress: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use.

    Attributes:
        cpus: CPU time, in CPUs; a whole number is given as a CPU set of that size (vCPUs for a guest), a fraction
            by a quota.
        cpuset: the host CPUs that the instance may run on; empty for all.
        memory: bytes; for a guest, the size of its memory.
        cpu_weight: its share of CPUs that others want too, from 1 to 10000, as ``cpu.weight`` of cgroup v2 has it;
            None for the kernel's default, 100.
        memory_swap: bytes that it may swap out beyond ``memory``.
        pids: how many processes and threads there may be in it at once; None for no limit.
        io: of its scratch disk.
        net: of its network interface.
    """

    cpus: float
    cpuset: tuple[int, ...]
    memory: int
    cpu_weight: int | None = None
    memory_swap: int = 0
    pids: int | None = None
    io: IoLimits = IoLimits()
    net: NetLimits = NetLimits()


START_TIMEOUT = 120.0
"""Seconds from the request to READY, if a suite does not say otherwise; a guest emulated on an emulated machine may
need a minute."""

STOP_TIMEOUT = 60.0
"""Seconds from the request to stop until an instance is gone, if a suite does not say otherwise; a guest writes all it
has cached to its disk first."""


def _go_ahead() -> None:
    """Nobody has to be waited for."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance to start.

    Attributes:
        name: unique on the host, starts with ``bench-``, at most 40 characters.
        image: what it runs.
        limits: what it may use.
        scratch: a file that holds a fresh ext4 file system for ``/scratch``, or None.
        directory: where artefacts of this instance go (console log, domain XML, QEMU argv); exists.
        start_timeout: seconds from the request to READY.
        stop_timeout: seconds from the request to stop until it is gone.
        at_once: how many instances like this one are started at the same time, itself among them.
        prepared: called once, just before ``requested`` is stamped, when all is there that is there before a start; a
            runtime may have to wait in it for others that are to start at the same time.
    """

    name: str
    image: Image
    limits: Limits
    scratch: Path | None
    directory: Path
    start_timeout: float = START_TIMEOUT
    stop_timeout: float = STOP_TIMEOUT
    at_once: int = 1
    prepared: Callable[[], None] = _go_ahead


@dataclass(slots=True)
class Timeline:
    """Stamps of one instance's life, nanoseconds on the host's CLOCK_MONOTONIC.

    A phase is named by the stamp that ends it: the phase ``clone`` runs from the stamp before it to the stamp
    ``clone``. Every runtime stamps ``requested`` first, ``ready`` when the agent's READY arrived, then
    ``stop_requested``, ``goodbye`` when the agent has ended all that it ran, ``exited`` when the process that the
    instance is to the host has ended, and ``stopped``.
    """

    stamps: dict[str, int] = field(default_factory=dict)

    def stamp(self, name: str, at: int | None = None) -> int:
        """Record ``name`` at ``at`` (now, if not given) and return the stamp."""
        taken = time.monotonic_ns() if at is None else at
        self.stamps[name] = taken
        return taken

    def seconds(self, start: str, end: str) -> float:
        """Seconds between two stamps.

        Raises:
            KeyError: one of them was not taken.
        """
        return (self.stamps[end] - self.stamps[start]) / 1e9

    def phases(self, start: str = "requested", end: str = "ready") -> Iterator[tuple[str, float]]:
        """The phases between two stamps in the order of time, each with its seconds; they add up to the whole."""
        first, last = self.stamps[start], self.stamps[end]
        inside = sorted((at, name) for name, at in self.stamps.items() if first < at <= last and name != start)
        before = first
        for at, name in inside:
            yield name, (at - before) / 1e9
            before = at


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """What the host holds of the memory that a guest was given, bytes.

    Attributes:
        size: of the guest's memory.
        anonymous: resident as anonymous memory of QEMU.
        file: resident as pages of a file.
        hugetlb: resident as huge pages that were set aside, which no cgroup's memory is charged for.
        page: of the host's pages that it is made of.
        transparent_huge: the part of ``anonymous`` in transparent huge pages.
    """

    size: int
    anonymous: int
    file: int
    hugetlb: int
    page: int
    transparent_huge: int

    @property
    def resident(self) -> int:
        """All that the host holds of it."""
        return self.anonymous + self.file + self.hugetlb


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """What the host gives for one instance now, bytes.

    Attributes:
        charged: the current charge of the instance's cgroup.
        parts: that charge split as the kernel does (``anon``, ``file``, ``kernel``…).
        pss: proportional set size over all processes of the instance, the VMM included.
        guest: figures of a kernel of its own (``total``, ``free``, ``cached``, ``slab``…); empty where the kernel is
            shared.
        guest_memory: what of that kernel's memory the host holds; None where the kernel is shared.
        balloon: what the guest's balloon driver told of its memory (``available``, ``unused``, ``usable``…); empty
            without one, or if it has not told anything yet.
        helpers: what is held besides for the sake of this instance alone, by who holds it: a process that looks after
            it (``conmon``, ``shim``, ``monitor``), and by how much a daemon has grown (``daemon``). It is not in the
            other figures.
    """

    charged: int
    parts: Mapping[str, int]
    pss: int
    guest: Mapping[str, int] = field(default_factory=dict)
    guest_memory: GuestMemory | None = None
    balloon: Mapping[str, int] = field(default_factory=dict)
    helpers: Mapping[str, int] = field(default_factory=dict)

    @property
    def huge_pages(self) -> int:
        """Bytes of a guest's memory in huge pages, which no cgroup is charged for."""
        return 0 if self.guest_memory is None else self.guest_memory.hugetlb


@dataclass(frozen=True, slots=True)
class IoUsage:
    """What one instance has read from and written to the host's disks.

    That is what reached the disks at the bottom: loop devices and those that are put together from others (device
    mapper, md) are left out, as what goes through them arrives at a disk below and is counted there. So it means the
    same whether an instance's scratch disk is a loop device on a file or a guest's disk in a file. Page cache hits are
    not in it, and metadata and journal of file systems only as far as the kernel attributes them to the instance. On
    cgroup version 1 it lacks what the kernel wrote back from the page cache by itself, later than the instance asked.

    Attributes:
        read_bytes: bytes.
        write_bytes: bytes.
        read_ops: requests, before the kernel merges neighbours.
        write_ops: requests.
    """

    read_bytes: int
    write_bytes: int
    read_ops: int
    write_ops: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What one instance has cost the host since it was requested.

    Attributes:
        cpu_time: seconds of host CPU, VMM and helpers included.
        cpu_user: seconds of it outside the kernel; a guest's are those of QEMU, the kernel's part of running it aside.
        cpu_system: seconds of it in the kernel; with ``cpu_user`` it makes up ``cpu_time``.
        memory_peak: bytes, the kernel's own high-water mark of the instance's cgroup, without helpers.
        oom_kills: processes that the kernel killed because the cgroup was at its limit.
        throttled_time: seconds that it was held up by its CPU quota, summed over CPUs.
        pids_peak: the most processes and threads there were in it at once; None where the kernel does not tell it.
        pids_limit_hits: how often a process or thread was refused because of the limit on their number.
        io: None where the kernel does not tell it.
        pressure: seconds in which at least one of its tasks waited for a resource, by ``cpu``, ``memory`` and ``io``
            (``some`` of the kernel documentation, accounting/psi); empty where the kernel does not tell it.
    """

    cpu_time: float
    cpu_user: float
    cpu_system: float
    memory_peak: int
    oom_kills: int
    throttled_time: float = 0.0
    pids_peak: int | None = None
    pids_limit_hits: int = 0
    io: IoUsage | None = None
    pressure: Mapping[str, float] = field(default_factory=dict)


class Instance(Protocol):
    """One running environment.

    Attributes:
        agent: the connected client, READY already received.
        timeline: stamps so far.
        address: IPv4 address on the run's bridge, or None where it has no network.
    """

    agent: AgentClient
    timeline: Timeline
    address: str | None

    @property
    def facts(self) -> Mapping[str, str]:
        """What is recorded with the trial (``accel``, ``kernel``…).

        To be read after the workload and before ``stop``: the first reading may have to ask the instance.

        Raises:
            InstanceError: the instance is not what was asked for, or cannot be asked.
        """

    def memory(self) -> MemoryReading:
        """Read the memory figures now."""

    def unreclaimable(self) -> int:
        """Bytes that the kernel could not take back from it now: cheap, to be read often, from any thread.

        Raises:
            OSError: it is gone.
        """

    def usage(self) -> Usage:
        """Read CPU time and peaks up to now."""

    def stop(self) -> None:
        """Shut down in order, stamping ``stop_requested`` and ``stopped``.

        Raises:
            InstanceError: it did not stop in time (and was killed).
        """


class Options(BaseModel):
    """Base of every runtime's arm options: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that the image must hold for such an arm."""
        return ()

    @property
    def needs_systemd(self) -> bool:
        """Whether the image must have systemd as ``/sbin/init`` for such an arm."""
        return False

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that the image must have for such an arm, besides its own."""
        return ()

    @property
    def monitor_threads(self) -> str:
        """Where the threads of a virtual machine monitor run, a sentence; empty where there is none."""
        return ""

    def outside(self) -> AbstractContextManager[None]:
        """What an ordinary user's run has to start before it goes into a user namespace of its own.

        Raises:
            HostError: it cannot be had.
        """
        return nullcontext()


class Runtime(Protocol):
    """A way to start instances, opened once a run."""

    name: ClassVar[str]
    options_model: ClassVar[type[Options]]

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        """Find out, before an image is built, what can be known without one.

        Raises:
            HostError: this host cannot run it, or not with these options, or the runtime cannot enforce one of the
                limits.
        """

    @classmethod
    def open(cls, facilities: Facilities, options: Options) -> AbstractContextManager[Runtime]:
        """Make ready for a run: connections, probes, whatever must not be paid inside a trial.

        Raises:
            HostError: this host cannot run it, or not with these options.
        """

    def start(self, spec: InstanceSpec) -> AbstractContextManager[Instance]:
        """Start an instance and wait for READY.

        Raises:
            InstanceError: it did not come up; nothing of it is left.
        """

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        """The files, and directories with such, that a start reads, by layer: what a cold start has to read anew.

        ``image`` is the root file system; ``kernel`` all below it that the arm has of its own: the kernel with its
        initramfs, the firmware, the VMM; ``engine`` the programs of a container engine that a start executes. A layer
        that an arm does not have is missing.
        """

    def image_parts(self, image: Image) -> Mapping[str, int]:
        """Bytes of the image that this runtime needs, by part (``userland``, ``kernel``, ``initramfs``)."""
