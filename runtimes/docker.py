"""Docker: a daemon of the run's own, asked by its API or by ``docker run``.

The daemon has the image, imported once, before an instance is asked for; each is a container that is made of the
image's digest, started, and removed. The agent's stream goes the way that any attached container's does: from the shim
by the daemon to us.
"""

from __future__ import annotations

import calendar
import functools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from runtimes import storage
from runtimes.accounting import parse_process_stat
from runtimes.agent.client import AgentClient, AgentError, AgentGone, AgentTimeoutError
from runtimes.base import HostError, Image, Instance, InstanceError, InstanceSpec, Limits, Options, Runtime, Timeline
from runtimes.cgroup import CgroupTree
from runtimes.engine.daemon_costs import DaemonCosts
from runtimes.engine.docker.api import Api, ApiError, is_unknown, time_left, wait_for_word
from runtimes.engine.docker.container import Wanted, create_body, run_arguments, volume_body
from runtimes.engine.docker.daemon import Daemon, find_programs, open_daemon
from runtimes.engine.instance import EngineInstance, contained, stamp_agent
from runtimes.engine.layer import layer_disk
from runtimes.engine.network import require_network
from runtimes.engine.options import EngineOptions
from runtimes.engine.phases import stamp_files, stamp_wall_clock
from runtimes.engine.programs import ENVIRONMENT, first_line, require_root, save_command
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.instance import (
    LOG_NAME,
    check_image,
    connected_agent,
    host_facts,
    last_line,
    userland_size,
    wait_for_end,
)

_PATIENCE = 30.0
"""Seconds for a shim, or a client, to end when the container is gone."""

_CONFLICT = 409
"""Status of the answer that a container is being removed already."""

_WORDS = "Error response from daemon"
"""What is in the line of the command line's message that says why."""


class DockerOptions(EngineOptions):
    """Options of a Docker arm.

    Attributes:
        client: who asks the daemon: ``api``, the harness itself, or ``cli``, ``docker run``.
        network: ``bridge`` is Docker's default network, on the run's bridge; ``nat`` likewise on a bridge behind
            address translation; ``host`` has the network of the bare host's arm; ``none`` has the loopback only.
        seccomp: system calls are filtered, by Docker's own profile.
        user_namespace: root inside is an ordinary user outside (``userns-remap`` of the daemon).
        scratch: ``volume`` mounts the scratch disk at ``/scratch``, as a volume; ``layer`` has it as a directory in the
            container's writable layer, on the disk that holds the daemon's data, to which ``limits.io`` is then.
    """

    client: Literal["api", "cli"] = "api"


@dataclass(frozen=True, slots=True)
class _Started:
    """A container whose agent is ready.

    Attributes:
        agent: connected.
        ready_at: when READY arrived.
        id: of the container.
        inspected: what the daemon tells of it.
        end: has it removed once its agent has ended, and waits for that.
    """

    agent: AgentClient
    ready_at: int
    id: str
    inspected: Mapping[str, Any]
    end: Callable[[], None]


class DockerRuntime:
    """A container by Docker, with a daemon of the run's own."""

    name: ClassVar[str] = "docker"
    options_model: ClassVar[type[Options]] = DockerOptions

    def __init__(self, facilities: Facilities, options: DockerOptions, daemon: Daemon) -> None:
        self._facilities = facilities
        self._options = options
        self._daemon = daemon
        self._client = find_programs().client
        self._costs = DaemonCosts(daemon.tree)
        self._keeping = threading.Lock()
        self._kept_to: tuple[int, ...] = ()

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, DockerOptions)
        require_root(cls.name)
        first_line([find_programs().daemon, "--version"])
        require_network(options.network, limits.net)
        if options.user_namespace and options.network == "host":
            raise HostError(
                "user_namespace: Docker does not let a container with a user namespace have the host's network; "
                "say network: bridge"
            )

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, DockerOptions)
        check_image(facilities.root)
        network, translated = facilities.network, options.network == "nat"
        bridge, addresses = "none", None
        if options.linked:
            if translated:
                network.prepare_translation()
            bridge = network.hidden_bridge if translated else network.bridge
            addresses = network.reserve(translated=translated)
        with open_daemon(facilities, bridge, addresses, user_namespace=options.user_namespace) as daemon:
            yield cls(facilities, options, daemon)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities, daemon = self._facilities, self._daemon
        timeline = Timeline()
        self._keep_daemon(spec.limits)
        with ExitStack() as stack:
            scratch = None
            if spec.scratch is not None and self._options.scratch == "volume":
                scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False))
                stack.enter_context(self._volume(spec.name, scratch))
            tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits, daemon.tree))
            wanted = self._wanted(spec, tree, scratch)
            share = stack.enter_context(self._costs.account())
            spec.prepared()
            deadline = timeline.stamp("requested") / 1e9 + spec.start_timeout
            share.begin()
            start = self._started_by_cli if self._options.client == "cli" else self._started_by_api
            started = stack.enter_context(start(spec, wanted, tree, timeline, deadline))
            self._stamp(timeline, started)
            container = stack.enter_context(contained(tree, started.id, started.inspected["State"]["Pid"]))
            shim, shim_ended = stack.enter_context(_shim_of(started.inspected["State"]["Pid"]))
            end = functools.partial(_end, started.end, shim_ended)
            stack.callback(_end, functools.partial(self._remove, started.id), shim_ended)
            link = _link_of(started.inspected["State"]["Pid"]) if self._options.linked else ""
            stack.enter_context(facilities.network.limited(link, spec.limits.net))
            yield EngineInstance(
                agent=started.agent,
                timeline=timeline,
                address=self._address(started.inspected),
                facts={**host_facts(scratch), **self._facts()},
                container=container,
                helper="client" if self._options.client == "cli" else None,
                stop_timeout=spec.stop_timeout,
                end=end,
                outside=functools.partial(share.outside, shim),
            )

    def _keep_daemon(self, limits: Limits) -> None:
        """Have the daemon, shims and runc on the CPUs of the arm's instances; they are known with the first of them."""
        cpus = self._facilities.instance_cpus(limits)
        with self._keeping:
            if cpus != self._kept_to:
                self._facilities.cgroups.keep_tree_to(self._daemon.tree, cpus)
                self._kept_to = cpus

    def _wanted(self, spec: InstanceSpec, tree: CgroupTree, scratch: Path | None) -> Wanted:
        assert tree.directory is not None
        return Wanted(
            name=spec.name,
            image=self._daemon.image,
            limits=spec.limits,
            cpus=self._facilities.instance_cpus(spec.limits),
            parent=tree.directory,
            version=self._facilities.cgroups.version,
            swap=self._facilities.cgroups.accounts_for_swap,
            network="default" if self._options.linked else self._options.network,
            volume=spec.name if scratch else None,
            disk=layer_disk(self._daemon.disk, spec.limits) if self._options.scratch == "layer" else scratch,
            seccomp=self._options.seccomp,
        )

    def _address(self, inspected: Mapping[str, Any]) -> str | None:
        if self._options.network == "host":
            return self._facilities.network.gateway
        if not self._options.linked:
            return None
        (joined,) = inspected["NetworkSettings"]["Networks"].values()
        address = str(joined["IPAddress"])
        return self._facilities.network.published(address) if self._options.network == "nat" else address

    def _facts(self) -> dict[str, str]:
        daemon = self._daemon
        return {
            "engine": daemon.versions,
            "engine_client": self._options.client,
            "engine_image": daemon.image,
            "storage_driver": str(daemon.described["Driver"]),
            "cgroup_driver": str(daemon.described["CgroupDriver"]),
            "oci_runtime": str(daemon.described["DefaultRuntime"]),
            "daemon_memory": str(self._costs.idle),
            "daemon_memory_of": "dockerd and containerd without an instance: anonymous and kernel memory",
        }

    @contextmanager
    def _volume(self, name: str, scratch: Path) -> Iterator[None]:
        """A volume of the scratch disk, which is mounted when the container starts."""
        api = self._daemon.api
        if self._daemon.shift:
            self._give_away(scratch)
        api.ask("POST", "/volumes/create", volume_body(name, scratch))
        try:
            yield
        finally:
            with _unless_unknown():
                api.ask("DELETE", f"/volumes/{name}", force="1")

    def _give_away(self, scratch: Path) -> None:
        """Have a disk belong to who is root in containers, as who prepares a volume for them has to.

        Raises:
            InstanceError: it cannot be mounted.
        """
        with tempfile.TemporaryDirectory(dir=self._daemon.directory) as place:
            try:
                with storage.mounted(scratch, Path(place), "ext4"):
                    os.chown(place, self._daemon.shift, self._daemon.shift)
            except HostError as error:
                raise InstanceError(str(error)) from error

    @contextmanager
    def _started_by_api(
        self, spec: InstanceSpec, wanted: Wanted, tree: CgroupTree, timeline: Timeline, deadline: float
    ) -> Iterator[_Started]:
        api = self._daemon.api
        log_path = spec.directory / LOG_NAME
        with ExitStack() as stack:
            # By its name: it may be made although the answer comes too late.
            stack.callback(self._remove, spec.name)
            body, left = create_body(wanted), time_left(deadline)
            container = str(api.ask("POST", "/containers/create", body, timeout=left, name=spec.name)["Id"])
            timeline.stamp("create")
            log = stack.enter_context(log_path.open("ab"))
            stream = stack.enter_context(api.attached(container, log, time_left(deadline)))
            agent = AgentClient(stream)
            stack.callback(agent.close)
            with api.asked("POST", f"/containers/{container}/start", timeout=time_left(deadline)) as answer:
                answered = wait_for_word(stream, answer, deadline)
                try:
                    ready_at = agent.wait_ready(time_left(deadline))
                except AgentTimeoutError as error:
                    raise InstanceError(
                        f"no READY from the agent within {spec.start_timeout:g} s{last_line(log_path)}"
                    ) from error
                except AgentError as error:
                    if not answered:
                        answer.wait(time_left(deadline))  # the daemon knows better why
                    raise InstanceError(f"the agent did not get ready: {error}{last_line(log_path)}") from error
                if not answered:
                    answer.wait(time_left(deadline))
            end = functools.partial(self._remove, container, wait=spec.stop_timeout)
            inspected = _inspect(api, container, log_path)
            try:
                yield _Started(agent, ready_at, container, inspected, end)
            except AgentGone as error:
                raise InstanceError(f"the agent has ended: {error}{last_line(log_path)}") from error

    @contextmanager
    def _started_by_cli(
        self, spec: InstanceSpec, wanted: Wanted, tree: CgroupTree, timeline: Timeline, deadline: float
    ) -> Iterator[_Started]:
        daemon = self._daemon
        log_path = spec.directory / LOG_NAME
        argv = (str(self._client), "--host", f"unix://{daemon.socket}", *run_arguments(wanted))
        environment = {**ENVIRONMENT, "HOME": str(daemon.directory), "DOCKER_CONFIG": str(daemon.directory / "client")}
        steps = (entry.enter(tree.helpers, wanted.cpus), entry.run_on_stream(argv, environment))
        request = LaunchRequest(steps, tree.helpers)
        with ExitStack() as stack:
            stack.callback(self._remove, spec.name)
            try:
                agent, client, ready_at = stack.enter_context(
                    connected_agent(self._facilities.launcher, request, log_path, time_left(deadline))
                )
            except InstanceError as error:
                raise InstanceError(_words(log_path) or str(error), details=error.details) from error
            save_command(spec.directory, argv)
            inspected = _inspect(daemon.api, spec.name, log_path)
            stamp_wall_clock(timeline, "client", _nanoseconds(inspected["Created"]), ready_at)
            yield _Started(agent, ready_at, inspected["Id"], inspected, functools.partial(_await_client, client.pidfd))

    def _stamp(self, timeline: Timeline, started: _Started) -> None:
        task = self._daemon.tasks / started.id
        # containerd has been given the container; the shim is there, and about to call the OCI runtime; that has made
        # the container.
        files = {"daemon": task / "config.json", "shim": task / "runtime", "container": task / "init.pid"}
        stamp_files(timeline, files, started.ready_at)
        stamp_agent(timeline, started.agent, started.ready_at)

    def _remove(self, container: str, wait: float | None = None) -> None:
        """Have the daemon remove a container with all that is its own; it may be gone.

        Args:
            container: its id or name.
            wait: seconds to wait until the daemon has seen its end; None to have it killed.
        """
        api, path = self._daemon.api, f"/containers/{container}"
        with _unless_unknown():
            if wait is not None:
                api.ask("POST", f"{path}/wait", timeout=wait)
            try:
                api.ask("DELETE", path, v="1", force="1")
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
                api.ask("POST", f"{path}/wait", condition="removed")

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        # The daemon runs, and its program is mapped.
        return {"image": (self._daemon.layer,), "engine": find_programs().started}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}


@contextmanager
def _unless_unknown() -> Iterator[None]:
    """It is no error if the daemon does not know of it any more."""
    try:
        yield
    except ApiError as error:
        if not is_unknown(error):
            raise


@contextmanager
def _shim_of(pid: int) -> Iterator[tuple[int, int]]:
    """The shim of a container, by the first process of that: its pid, and a pidfd.

    Raises:
        InstanceError: one of them has ended.
    """
    try:
        shim = parse_process_stat(Path(f"/proc/{pid}/stat").read_text()).parent
        pidfd = os.pidfd_open(shim)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise InstanceError(f"the container's first process, {pid}, or its shim has ended") from error
    try:
        yield shim, pidfd
    finally:
        os.close(pidfd)


def _end(remove: Callable[[], None], shim: int) -> None:
    """Remove a container, and wait for the shim, which ends after that."""
    remove()
    if not wait_for_end(shim, _PATIENCE):
        raise InstanceError(f"the container's shim has not ended within {_PATIENCE:g} s of its removal")


def _await_client(pidfd: int) -> None:
    """``docker run --rm`` ends when the container is removed."""
    if not wait_for_end(pidfd, _PATIENCE):
        raise InstanceError(f"docker run has not ended within {_PATIENCE:g} s of the container's end")


def _link_of(pid: int) -> str:
    """The host's end of the link of the container that a process is in."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return socket.if_indextoname(int(Path(f"/proc/{pid}/root/sys/class/net/eth0/iflink").read_text()))
    raise InstanceError(f"the container's first process, {pid}, has ended")


def _nanoseconds(when: str) -> int:
    """A time as Docker writes it, with nine digits of a second or fewer, in nanoseconds since 1970."""
    whole, _, fraction = when.removesuffix("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def _inspect(api: Api, container: str, log: Path) -> Mapping[str, Any]:
    """What the daemon tells of a container whose agent was ready.

    Raises:
        InstanceError: it does not run any more, with the last line of its log.
    """
    try:
        inspected: Mapping[str, Any] = api.ask("GET", f"/containers/{container}/json")
    except ApiError as error:
        # docker run has it removed at its end.
        if not is_unknown(error):
            raise
        inspected = {"State": {"Pid": 0}}
    if not inspected["State"]["Pid"]:
        raise InstanceError(f"the container has ended right after its agent was ready{last_line(log)}")
    return inspected


def _words(log: Path) -> str:
    """The line in which the command line says why; nothing without one."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if _WORDS in line]
    return lines[-1] if lines else ""
