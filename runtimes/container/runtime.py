"""The container arm: namespaces, a cgroup and an overlay root, made by our own launcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

from runtimes import storage
from runtimes.address_translation import find_nft
from runtimes.base import HostError, Image, Instance, InstanceSpec, Limits, NetLimits, Options, Runtime, Timeline
from runtimes.cgroup.devices import DeviceFilter
from runtimes.container.container import Container
from runtimes.container.options import ContainerOptions
from runtimes.facilities import Facilities
from runtimes.launcher.instance import (
    LOG_NAME,
    LaunchedInstance,
    check_image,
    host_facts,
    launched_agent,
    userland_size,
)
from runtimes.network import check_bandwidth
from runtimes.rootless import is_unprivileged


class ContainerRuntime:
    """Our own container: namespaces, a cgroup and an overlay over the image."""

    name: ClassVar[str] = "container"
    options_model: ClassVar[type[Options]] = ContainerOptions

    def __init__(
        self, facilities: Facilities, options: ContainerOptions, container: Container, devices: DeviceFilter | None
    ) -> None:
        self._facilities = facilities
        self._options = options
        self._container = container
        self._devices = devices

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, ContainerOptions)
        if options.network in ("none", "host") and limits.net != NetLimits():
            raise HostError(
                f"limits.net: a container with network: {options.network} has no link to limit; say network: bridge"
            )
        if options.network == "nat":
            find_nft()
        if options.user_namespace and is_unprivileged():
            raise HostError(
                "user_namespace: without root, all containers are in one user namespace of the run's; leave it out"
            )
        check_bandwidth(limits.net)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, ContainerOptions)
        check_image(facilities.root)
        if options.network == "nat":
            facilities.network.prepare_translation()
        # Each container mounts on it in a mount namespace of its own, so one serves all.
        staging = facilities.directory / "staging"
        staging.mkdir(exist_ok=True)
        container = Container(options, facilities.root, staging, rootless=facilities.rootless)
        # In a user namespace no device node can be made, and the kernel lets nobody filter.
        filtered = options.device_filter and not facilities.rootless
        with facilities.cgroups.device_filter() if filtered else nullcontext() as devices:
            yield cls(facilities, options, container, devices)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            # The disk is there before the container is, as a guest's file is.
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            spec.prepared()
            timeline.stamp("requested")
            cgroup = stack.enter_context(facilities.new_cgroup(spec.name, spec.limits))
            if scratch is not None:
                cgroup.limit_io(scratch, spec.limits.io)
            device_file = self._devices.apply(cgroup.clone_into, scratch) if self._devices else None
            timeline.stamp("cgroup")
            namespace = None
            if self._options.network in ("bridge", "nat"):
                translated = self._options.network == "nat"
                made = facilities.network.make_namespace(spec.limits.net, translated=translated)
                namespace = stack.enter_context(made)
                timeline.stamp("network")
            request = self._container.request(
                name=spec.name,
                cgroup=cgroup,
                cpus=facilities.instance_cpus(spec.limits),
                network=namespace.fd if namespace else None,
                scratch=scratch,
                device_file=device_file,
            )
            agent, pidfd = stack.enter_context(
                launched_agent(facilities.launcher, request, timeline, spec.directory / LOG_NAME, spec.start_timeout)
            )
            address = namespace.address if namespace else self._shared_address
            yield LaunchedInstance(agent, timeline, address, host_facts(scratch), cgroup, pidfd, spec.stop_timeout)

    @property
    def _shared_address(self) -> str | None:
        """Where an instance without an interface of its own is reached."""
        return self._facilities.network.gateway if self._options.network == "host" else None

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": self._facilities.cached}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}
