"""The container arm: namespaces, a cgroup and an overlay root, made by our own launcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from runtimes import storage
from runtimes.base import Image, Instance, InstanceSpec, Limits, Options, Runtime, Timeline
from runtimes.facilities import Facilities
from runtimes.launcher.client import Isolation, LaunchRequest
from runtimes.launcher.instance import (
    AGENT_ARGV,
    LOG_NAME,
    LaunchedInstance,
    check_image,
    host_facts,
    launched_agent,
    userland_size,
)


class ContainerOptions(Options):
    """Options of a container arm.

    Attributes:
        network: ``bridge`` joins the run's bridge by a veth pair; ``none`` has the loopback only.
    """

    network: Literal["bridge", "none"] = "bridge"


class ContainerRuntime:
    """Our own container: namespaces, a cgroup and an overlay over the image."""

    name: ClassVar[str] = "container"
    options_model: ClassVar[type[Options]] = ContainerOptions

    def __init__(self, facilities: Facilities, options: ContainerOptions, staging: Path) -> None:
        self._facilities = facilities
        self._options = options
        self._staging = staging

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        pass

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, ContainerOptions)
        check_image(facilities.root)
        # Each container mounts on it in a mount namespace of its own, so one serves all.
        staging = facilities.directory / "staging"
        staging.mkdir(exist_ok=True)
        yield cls(facilities, options, staging)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            # The disk is there before the container is, as a guest's file is.
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            timeline.stamp("requested")
            network: int | str = "new"
            address = None
            if self._options.network == "bridge":
                namespace = stack.enter_context(facilities.network.make_namespace())
                network, address = namespace.fd, namespace.address
                timeline.stamp("network")
            cgroup = stack.enter_context(facilities.new_cgroup(spec.name, spec.limits))
            timeline.stamp("cgroup")
            request = LaunchRequest(
                argv=AGENT_ARGV,
                root=facilities.root,
                cgroup=cgroup,
                cpus=facilities.instance_cpus(spec.limits),
                network=network,
                isolation=Isolation(hostname=spec.name, staging=self._staging, scratch=scratch),
            )
            agent, pidfd = stack.enter_context(
                launched_agent(facilities.launcher, request, timeline, spec.directory / LOG_NAME, spec.start_timeout)
            )
            yield LaunchedInstance(agent, timeline, address, host_facts(), cgroup, pidfd)

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}
