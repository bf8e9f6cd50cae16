"""The native arm: the image in a chroot on the bare host, with the same CPU set and memory limit as every arm.

Its root is mounted before the clock starts: installed software does not pay for its installation at every start.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from runtimes import storage
from runtimes.base import HostError, Image, Instance, InstanceSpec, Limits, NetLimits, Options, Runtime, Timeline
from runtimes.cgroup import Cgroup
from runtimes.chroot import chroot, run_in
from runtimes.facilities import Facilities
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.instance import (
    AGENT_ARGV,
    LOG_NAME,
    LaunchedInstance,
    check_image,
    host_facts,
    launched_agent,
    userland_size,
)
from runtimes.launcher.rootfs import unmount_scratch


class NativeOptions(Options):
    """There are none."""


class NativeRuntime:
    """The image in a chroot on the bare host: no isolation, the same CPU set and memory limit."""

    name: ClassVar[str] = "native"
    options_model: ClassVar[type[Options]] = NativeOptions

    def __init__(self, facilities: Facilities) -> None:
        self._facilities = facilities

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        if limits.net != NetLimits():
            raise HostError(
                f"limits: net cannot be enforced by the runtime {cls.name}, whose instances share the run's network; "
                "leave it out, or give this arm `limits: {net: ~}`"
            )

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        check_image(facilities.root)
        yield cls(facilities)

    @contextmanager
    def _place(self, spec: InstanceSpec) -> Iterator[tuple[Path | None, Path, Cgroup]]:
        """All that is there before an instance is asked for: its scratch disk's device, its root and its cgroup."""
        with ExitStack() as stack:
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            root = stack.enter_context(chroot(self._facilities, spec.name, scratch))
            cgroup = stack.enter_context(self._facilities.new_cgroup(spec.name, spec.limits))
            if scratch is not None:
                cgroup.limit_io(scratch, spec.limits.io)
            yield scratch, root, cgroup

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            scratch, root, cgroup = stack.enter_context(self._place(spec))
            steps = run_in(root, cgroup, facilities.instance_cpus(spec.limits), AGENT_ARGV)
            request = LaunchRequest(steps, cgroup)
            spec.prepared()
            timeline.stamp("requested")
            agent, pidfd = stack.enter_context(
                launched_agent(facilities.launcher, request, timeline, spec.directory / LOG_NAME, spec.start_timeout)
            )
            # A container takes its mounts along, and a guest syncs: the end of each includes writing to its disk.
            release = functools.partial(unmount_scratch, str(root)) if scratch else None
            address, facts = facilities.network.gateway, host_facts(scratch)
            yield LaunchedInstance(agent, timeline, address, facts, cgroup, pidfd, spec.stop_timeout, release)

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": self._facilities.cached}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}
