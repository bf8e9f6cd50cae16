"""The native arm: the image in a chroot on the bare host, with the same CPU set and memory limit as every arm.

Its root is mounted before the clock starts: installed software does not pay for its installation at every start.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from runtimes.base import Image, Instance, InstanceSpec, Limits, Options, Runtime, Timeline
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
        pass

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        check_image(facilities.root)
        yield cls(facilities)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with (
            chroot(facilities, spec.name, spec.scratch) as root,
            facilities.new_cgroup(spec.name, spec.limits) as cgroup,
        ):
            timeline.stamp("requested")
            steps = run_in(root, cgroup, facilities.instance_cpus(spec.limits), AGENT_ARGV)
            request = LaunchRequest(steps, cgroup)
            with launched_agent(
                facilities.launcher, request, timeline, spec.directory / LOG_NAME, spec.start_timeout
            ) as (agent, pidfd):  # fmt: skip
                # A container takes its mounts along, and a guest syncs: the end of each includes writing to its disk.
                release = functools.partial(unmount_scratch, str(root)) if spec.scratch else None
                yield LaunchedInstance(
                    agent, timeline, facilities.network.gateway, host_facts(), cgroup, pidfd, release
                )

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}
