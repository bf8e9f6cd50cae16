"""What one run holds of the host, from its start to its end.

Mounts, the bridge and everything that joins it lie in a mount and a network namespace of the run's own, which the
thread that opens the facilities is in as long as they are open; they vanish with the run's last process even if it is
killed. What the kernel does not remove by itself, cgroups and the run's directories, the next run removes
(:mod:`runtimes.leftovers`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from runtimes import rootless, storage, syscalls
from runtimes.accounting import parse_process_stat
from runtimes.base import HostError, Image, Limits
from runtimes.cgroup import Cgroup, CgroupTree, DaemonTree, RunCgroups, open_cgroups
from runtimes.launcher.client import Launcher, open_launcher
from runtimes.leftovers import (
    PREFIX,
    SCRATCH_SUFFIX,
    held_directory,
    note_cgroups,
    note_scratch,
    reclaim,
    run_parents,
    scratch_parent,
)
from runtimes.network import RunNetwork, open_network
from runtimes.placement import Placer, make_placer
from runtimes.topology import read_topology
from runtimes.unpacking import unpacked_root

__all__ = ["Facilities", "check_host", "open_facilities", "open_root", "reclaim", "scratch_parent"]


@dataclass(frozen=True, slots=True)
class Facilities:
    """What one run holds of the host.

    Attributes:
        run: its name on the host, ``bench-`` and eight characters.
        directory: a private directory with a short path, for sockets, mount points and small files; it may be in
            memory.
        scratch_directory: a private directory on a disk, for scratch disks.
        image: what all instances run.
        root: where the image is mounted, read-only.
        cached: where pages of the image that instances without a kernel of their own read are in the host's page cache:
            what is mounted, and the image's file where the loop device does not pass it by.
        rootless: whether the run's user namespace is not the host's own: then there are no loop devices, no device
            nodes can be made, and what containers and native instances mount must be theirs to mount.
        launcher: starts native instances, containers and peers.
        network: the bridge.
        outer_network: descriptor of the network namespace that we were in before, from which others are reached.
        placer: decides which CPUs everything is on.
        cgroups: the run's cgroup.
    """

    run: str
    directory: Path
    scratch_directory: Path
    image: Image
    root: Path
    cached: tuple[Path, ...]
    rootless: bool
    launcher: Launcher
    network: RunNetwork
    outer_network: int
    placer: Placer
    cgroups: RunCgroups

    def instance_cpus(self, limits: Limits) -> tuple[int, ...]:
        """The CPU set of an instance: as many as it may use, rounded up; see :mod:`runtimes.placement`."""
        return self.placer.place(limits).instance

    def peer_cpus(self, limits: Limits) -> tuple[int, ...]:
        """Where the load generator of an instance runs."""
        return self.placer.place(limits).peer

    @property
    def harness_cpus(self) -> tuple[int, ...]:
        """Where the harness keeps itself."""
        return self.placer.harness

    def cpu_seconds(self) -> float:
        """CPU time of all that the run has started so far: instances, load generators, and the launcher."""
        launcher = parse_process_stat(Path(f"/proc/{self.launcher.pid}/stat").read_text())
        return self.cgroups.cpu_seconds() + launcher.cpu_time

    @contextmanager
    def new_cgroup(self, name: str, limits: Limits | None, *, memory_limit: bool = True) -> Iterator[Cgroup]:
        """A fresh cgroup for one instance; at the end every process in it is killed and it is removed.

        Args:
            name: unique in the run.
            limits: what its processes may use, or None for no limits.
            memory_limit: whether ``limits.memory`` is set on the cgroup; not where it is the memory of a guest.

        Raises:
            HostError: the host cannot give these limits.
        """
        cpus = () if limits is None else self.instance_cpus(limits)
        cgroup = self.cgroups.new(name, limits, cpus=cpus, memory_limit=memory_limit)
        with _ended(cgroup):
            yield cgroup

    @contextmanager
    def new_cgroup_tree(self, name: str, limits: Limits, daemon: DaemonTree | None = None) -> Iterator[CgroupTree]:
        """The same for an instance that a container engine starts, which sets the limits itself.

        Args:
            name: unique in the run.
            limits: what the engine will be told.
            daemon: the cgroups of the engine's daemon, if one makes the container.

        Raises:
            HostError: the host refused.
        """
        self.cgroups.check_limits(limits)
        tree = self.cgroups.new_tree(name, cpu_weight=limits.cpu_weight, daemon=daemon)
        weighed = nullcontext() if daemon is None else self.cgroups.weighed(daemon, limits.cpu_weight)
        with _ended(tree.whole), weighed:
            yield tree

    @contextmanager
    def new_daemon_tree(self, name: str) -> Iterator[DaemonTree]:
        """The same for the daemon of a container engine, and for all instances that it will start.

        Raises:
            HostError: the host refused.
        """
        tree = self.cgroups.new_daemon_tree(name)
        with _ended(tree.whole):
            yield tree


@contextmanager
def _ended(cgroup: Cgroup) -> Iterator[None]:
    """At the end nothing is left of it."""
    try:
        yield
    finally:
        try:
            cgroup.kill()
        finally:
            cgroup.remove()


def check_host(limits: Iterable[Limits]) -> None:
    """Find out whether runs can be had here, with instances under these limits, before an image is built for one.

    Raises:
        HostError: they cannot.
    """
    run = f"{PREFIX}{secrets.token_hex(4)}"
    directory = run_parents()[0] / run
    with held_directory(directory), _noted_cgroups(run, directory) as cgroups:
        for each in limits:
            cgroups.check_limits(each)


@contextmanager
def open_facilities(run: str, image: Image, limits: Iterable[Limits] = ()) -> Iterator[Facilities]:
    """Take hold of what a run needs of the host.

    The calling thread, and the threads and processes it starts from here on, are in namespaces of the run's own until
    the context is left, which must be done by the same thread.

    Args:
        run: name of the run on the host, ``bench-`` and eight characters.
        image: what all instances run.
        limits: of the run's arms: the harness keeps off the CPUs that they name.

    Raises:
        HostError: something could not be had.
    """
    if os.geteuid() != 0:
        raise HostError("a run needs root, or a user namespace of its own (runtimes.user_namespace.enter)")
    directory, scratch_directory = run_parents()[0] / run, scratch_parent() / f"{run}{SCRATCH_SUFFIX}"
    unprivileged = rootless.is_unprivileged()
    with ExitStack() as stack:
        stack.enter_context(held_directory(directory))
        note_scratch(directory, scratch_directory)
        try:
            stack.enter_context(held_directory(scratch_directory))
        except HostError as error:
            raise HostError(f"{error}; set BENCH_SCRATCH to a directory on a disk, in which we may write") from error
        cgroups = stack.enter_context(_noted_cgroups(run, directory))
        outer_network = stack.enter_context(_own_namespaces())
        cached = stack.enter_context((_unpacked_image if unprivileged else _mounted_image)(image, directory))
        network = stack.enter_context(open_network())
        launcher = stack.enter_context(open_launcher())
        cgroups.account_io(scratch_directory, image.rootfs)
        yield Facilities(
            run=run,
            directory=directory,
            scratch_directory=scratch_directory,
            image=image,
            root=cached[0],
            cached=cached,
            rootless=unprivileged,
            launcher=launcher,
            network=network,
            outer_network=outer_network,
            placer=make_placer(read_topology(cgroups.cpus()), limits),
            cgroups=cgroups,
        )


@contextmanager
def open_root(image: Image) -> Iterator[Path]:
    """Where the root file system of an image can be read, outside of any run.

    The calling thread is in namespaces of its own until the context is left, as in :func:`open_facilities`.

    Raises:
        HostError: the image cannot be mounted, or unpacked.
    """
    if os.geteuid() != 0:
        raise HostError("reading an image needs root, or a user namespace of its own (runtimes.user_namespace.enter)")
    directory = run_parents()[0] / f"{PREFIX}{secrets.token_hex(4)}"
    opened = _unpacked_image if rootless.is_unprivileged() else _mounted_image
    with held_directory(directory), _own_namespaces(), opened(image, directory) as places:
        yield places[0]


@contextmanager
def _noted_cgroups(run: str, directory: Path) -> Iterator[RunCgroups]:
    if rootless.is_unprivileged():
        rootless.require_cgroups()
    note_cgroups(directory, run)
    with open_cgroups(run) as cgroups:
        yield cgroups


@contextmanager
def _own_namespaces() -> Iterator[int]:
    """Have the calling thread in a mount and a network namespace of its own, and back in the old ones at the end.

    Yields a descriptor of the old network namespace.

    Raises:
        HostError: the kernel refused; the message names the call.
    """
    with ExitStack() as stack:
        with _refusals("enter namespaces of the run's own"):
            old = {}
            # What this thread is in, which is not what /proc/self tells once it is not the process's first.
            for name, kind in (("mnt", syscalls.CLONE_NEWNS), ("net", syscalls.CLONE_NEWNET)):
                old[kind] = os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, old[kind])
            working_directory = Path.cwd()
            syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        stack.callback(_return_to, old, working_directory)
        with _refusals("enter namespaces of the run's own"):
            syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
        yield old[syscalls.CLONE_NEWNET]


def _return_to(namespaces: Mapping[int, int], working_directory: Path) -> None:
    """Have the calling thread in namespaces that are given as descriptors, by their CLONE_NEW… flags."""
    with _refusals("leave the namespaces of the run"):
        # Threads started meanwhile share our root and working directory; a thread that shares them cannot change its
        # mount namespace (setns(2)).
        syscalls.unshare(syscalls.CLONE_FS)
        for kind, fd in namespaces.items():
            syscalls.setns(fd, kind)
        with contextlib.suppress(FileNotFoundError):
            os.chdir(working_directory)


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Name what could not be done when a system call fails."""
    try:
        yield
    except OSError as error:
        raise HostError(f"cannot {what}: {error}") from error


@contextmanager
def _mounted_image(image: Image, directory: Path) -> Iterator[tuple[Path, ...]]:
    """Mount the image and read all of it once; see :func:`runtimes.storage.read_whole`.

    Yields:
        Where it is mounted, and its file if pages of that are kept besides.
    """
    with ExitStack() as stack:
        root = stack.enter_context(_mount_point(image, directory))
        try:
            device = stack.enter_context(storage.attach_loop(image.rootfs, read_only=True))
            stack.enter_context(storage.mounted(device, root, "ext4", syscalls.MS_RDONLY | syscalls.MS_NODEV))
            storage.read_whole(root)
            storage.read_file_through(image.rootfs)
        except (HostError, OSError) as error:
            raise HostError(
                f"the image {image.rootfs} cannot be used: {error}; "
                f"if it is damaged, remove {image.rootfs.parent}, and it is built anew"
            ) from error
        yield (root,) if storage.has_direct_io(device) else (root, image.rootfs)


@contextmanager
def _unpacked_image(image: Image, directory: Path) -> Iterator[tuple[Path, ...]]:
    """The same where there are no loop devices: what is mounted is the image unpacked on the disk."""
    with (
        _mount_point(image, directory) as root,
        storage.mounted_read_only(unpacked_root(image.rootfs), root),
    ):
        storage.read_whole(root)
        yield (root,)


@contextmanager
def _mount_point(image: Image, directory: Path) -> Iterator[Path]:
    if not image.rootfs.is_file():
        raise HostError(f"no image at {image.rootfs}: build it with `bench image build`")
    root = directory / "root"
    root.mkdir()
    try:
        yield root
    finally:
        # Not rmtree: should the mount still be there, this must fail and not empty anything.
        root.rmdir()
