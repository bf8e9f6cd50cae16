"""Podman, as people type it: ``podman run --detach --rm``, without a daemon.

All of Podman's own is in directories of the run (:mod:`runtimes.engine.podman_home`), with the image imported once.
What is timed is the making of the network namespace, which ``podman run`` is given, and then that command up to READY.
The agent's stream is handed on to the container past conmon (``--preserve-fds``). By the time that the workload begins,
``podman`` has ended, and conmon is what is left beside the container. When the agent ends, conmon has Podman clear the
container away, and ``stopped`` is when that is done.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from runtimes import storage
from runtimes.base import (
    Image,
    Instance,
    InstanceError,
    InstanceSpec,
    Limits,
    Options,
    Runtime,
    Timeline,
    UnavailableError,
)
from runtimes.cgroup import CgroupTree
from runtimes.engine.instance import EngineInstance, contained, stamp_agent
from runtimes.engine.layer import layer_disk
from runtimes.engine.network import joined_network, require_network
from runtimes.engine.oci_program import OciProgram, require_oci_program
from runtimes.engine.options import EngineOptions
from runtimes.engine.phases import stamp_files
from runtimes.engine.podman_command import Wanted, WrittenFiles, run_arguments
from runtimes.engine.podman_home import STATE, PodmanHome, open_home
from runtimes.engine.programs import find_program, first_line, require_root, save_command
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.instance import LOG_NAME, check_image, connected_agent, host_facts, userland_size, wait_for_end
from runtimes.launcher.rootfs import FIRST_OWNER, OWNER_COUNT

_CGROUP = "libpod-"
"""What Podman's names of cgroups begin with."""

_OWNERS = f"0:{FIRST_OWNER}:{OWNER_COUNT}"
"""As in our own container with ``user_namespace``."""

_RETURN_TIMEOUT = 60.0
"""Seconds for ``podman run`` to return once the container runs."""

_REMOVAL_TIMEOUT = 20.0
"""Seconds for Podman to clear away a container that was killed; it needs a fraction of one."""

_PREFERRED = ("crun", "runc")
"""OCI runtimes, the one that Debian's Podman takes by itself first."""


class PodmanOptions(EngineOptions):
    """Options of an arm that Podman starts.

    Attributes:
        program: name of the OCI runtime that Podman is to use, or a path to it; without it ``crun``, as Debian's Podman
            has it, or ``runc`` where that does not run.
        network: as for our own container: ``bridge``, ``nat``, ``host`` or ``none``.
        seccomp: system calls are filtered, by Podman's own profile.
        user_namespace: root inside is an ordinary user outside.
        scratch: ``volume`` has Podman mount the scratch disk at ``/scratch``, as a volume; with ``layer`` that is a
            directory in the container's writable layer, in Podman's storage, and the scratch disk is not used.
    """

    program: str | None = Field(default=None, min_length=1)


class PodmanRuntime:
    """A container by Podman, without a daemon."""

    name: ClassVar[str] = "podman"
    options_model: ClassVar[type[Options]] = PodmanOptions

    def __init__(
        self,
        facilities: Facilities,
        options: PodmanOptions,
        home: PodmanHome,
        programs: tuple[Path, ...],
        facts: Mapping[str, str],
    ) -> None:
        """Of an arm whose home is open; the first of the programs is Podman's own."""
        self._facilities = facilities
        self._options = options
        self._home = home
        self._programs = programs
        self._podman = programs[0]
        self._facts = facts

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, PodmanOptions)
        require_root(cls.name)
        _require_programs(options)
        require_network(options.network, limits.net)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, PodmanOptions)
        check_image(facilities.root)
        podman, runtime, facts = _require_programs(options)
        if options.network == "nat":
            facilities.network.prepare_translation()
        with open_home(facilities, podman, runtime.path) as home:
            programs = podman, find_program("conmon", "conmon"), runtime.path
            yield cls(facilities, options, home, programs, facts)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities, home = self._facilities, self._home
        timeline = Timeline()
        with ExitStack() as stack:
            scratch = None
            if spec.scratch is not None and self._options.scratch == "volume":
                scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False))
                stack.enter_context(home.volume(spec.name, scratch))
            tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits))
            spec.prepared()
            timeline.stamp("requested")
            network = stack.enter_context(joined_network(facilities, self._options.network, spec.limits.net))
            timeline.stamp("network")
            written = stack.enter_context(self._written(spec.name))
            removal = stack.enter_context(_removed(home, spec.name, tree))
            wanted = self._wanted(spec, tree, network.path, scratch)
            argv = (str(self._podman), *run_arguments(wanted))
            request = self._request(tree, facilities.instance_cpus(spec.limits), argv)
            agent, launched, ready_at = stack.enter_context(
                connected_agent(facilities.launcher, request, spec.directory / LOG_NAME, spec.start_timeout)
            )
            stamp_files(timeline, {"podman": written.conmon_pid, "conmon": written.pid}, ready_at)
            stamp_agent(timeline, agent, ready_at)
            save_command(spec.directory, argv)
            if not wait_for_end(launched.pidfd, _RETURN_TIMEOUT):
                raise InstanceError("podman run --detach does not return although the container runs")
            conmon = stack.enter_context(_opened(written.conmon_pid))
            container = stack.enter_context(contained(tree, _CGROUP, _read_number(written.pid)))
            identity = written.id.read_text().strip()
            stack.enter_context(_ended(removal, container.pidfd, conmon, identity))
            yield EngineInstance(
                agent=agent,
                timeline=timeline,
                address=network.address,
                facts={**host_facts(scratch), **self._facts},
                container=container,
                helper="conmon",
                stop_timeout=spec.stop_timeout,
                end=functools.partial(removal.wait, conmon, identity, spec.stop_timeout),
            )

    def _wanted(self, spec: InstanceSpec, tree: CgroupTree, network: str | None, scratch: Path | None) -> Wanted:
        facilities, options = self._facilities, self._options
        return Wanted(
            name=spec.name,
            image=self._home.image,
            limits=spec.limits,
            cpus=facilities.instance_cpus(spec.limits),
            # With version 1 it is below the cgroup that conmon is in.
            cgroup_parent=tree.oci_path_of("."),
            version=facilities.cgroups.version,
            swap=facilities.cgroups.accounts_for_swap,
            network=network,
            volume=spec.name if scratch else None,
            limited_disk=layer_disk(self._home.disk, spec.limits) if options.scratch == "layer" else scratch,
            seccomp=options.seccomp,
            owners=_OWNERS if options.user_namespace else None,
            files=WrittenFiles.below(Path(STATE), spec.name),
        )

    def _request(self, tree: CgroupTree, cpus: Sequence[int], argv: Sequence[str]) -> LaunchRequest:
        steps = (
            entry.enter(tree.helpers, cpus),
            entry.join_mounts(),
            entry.run(argv, self._home.environment),
        )
        return LaunchRequest(steps, tree.helpers, descriptors=(self._home.mounts.fd,))

    @contextmanager
    def _written(self, name: str) -> Iterator[WrittenFiles]:
        files = WrittenFiles.below(self._home.state, name)
        try:
            yield files
        finally:
            for file in (files.conmon_pid, files.pid, files.id):
                file.unlink(missing_ok=True)

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": (self._home.layer,), "engine": self._programs}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}


class _Removal:
    """How a container is cleared away, and its volume: by the Podman that conmon becomes when the container has ended.

    Attributes:
        done: whether nothing is left of it.
    """

    def __init__(self, home: PodmanHome, name: str) -> None:
        self._home = home
        self._name = name
        self.done = False

    def wait(self, conmon: int, identity: str, timeout: float) -> None:
        """Wait for that; where it fails another Podman is called.

        Args:
            conmon: a pidfd of it.
            identity: the container's full id.
            timeout: seconds.

        Raises:
            InstanceError: neither could do it.
        """
        if not wait_for_end(conmon, timeout) or self._home.holds(identity):
            self.by_force()
        self._home.unmount_volume(self._name)
        self.done = True

    def by_force(self) -> None:
        """Have another Podman do it, with all processes of the container dead.

        Raises:
            InstanceError: it could not.
        """
        # The first call may find a container that was being stopped, note that it has ended, and fail.
        for check in (False, True):
            self._home.call("rm", "--force", "--ignore", "--time=0", self._name, check=check)
        self.done = True


@contextmanager
def _removed(home: PodmanHome, name: str, tree: CgroupTree) -> Iterator[_Removal]:
    """At the end the container is gone, by force if it is still there."""
    removal = _Removal(home, name)
    try:
        yield removal
    finally:
        if not removal.done:
            tree.whole.kill()
            removal.by_force()


@contextmanager
def _ended(removal: _Removal, container: int, conmon: int, identity: str) -> Iterator[None]:
    """At the end a container that still runs, whose pidfd is given, is killed, and what then happens waited for."""
    try:
        yield
    finally:
        if not removal.done:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(container, signal.SIGKILL)
            removal.wait(conmon, identity, _REMOVAL_TIMEOUT)


def _require_programs(options: PodmanOptions) -> tuple[Path, OciProgram, Mapping[str, str]]:
    """Podman, the OCI runtime for it, and what is recorded of them.

    Raises:
        UnavailableError: something is not there, or does not run on this host.
    """
    podman, conmon = find_program("podman", "podman"), find_program("conmon", "conmon")
    runtime = _choose_runtime(options.program)
    return (
        podman,
        runtime,
        {
            "engine": first_line([podman, "--version"]),
            "conmon": first_line([conmon, "--version"]),
            "oci_runtime": runtime.version,
            "storage_driver": "overlay",
            "cgroup_manager": "cgroupfs",
        },
    )


def _choose_runtime(name: str | None) -> OciProgram:
    if name is not None:
        return require_oci_program(name)
    refusals = []
    for each in _PREFERRED:
        try:
            return require_oci_program(each)
        except UnavailableError as error:
            refusals.append(str(error))
    raise UnavailableError(f"no OCI runtime for Podman: {'; '.join(refusals)}")


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    """A pidfd of the process whose number a file has."""
    pid = _read_number(file)
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise InstanceError(f"conmon, {pid}, has ended") from error
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _read_number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError) as error:
        raise InstanceError(f"Podman has not told a process in {file}: {error}") from error
