"""What a container is made of: its namespaces, and the steps from the clone to the agent."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path

from runtimes import syscalls
from runtimes.cgroup import Cgroup
from runtimes.container import hardening
from runtimes.container.options import ContainerOptions
from runtimes.container.seccomp import compile_profile, load_profile
from runtimes.launcher import entry
from runtimes.launcher.client import FURTHER, LaunchRequest
from runtimes.launcher.instance import AGENT_ARGV
from runtimes.launcher.rootfs import FIRST_OWNER, OWNER_COUNT, Owners, mount_root, mount_scratch, root_below
from runtimes.launcher.steps import Descriptor, Steps
from runtimes.syscalls import MNT_DETACH, MS_NOSUID, MS_PRIVATE, MS_REC

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS


class Container:
    """The containers of one arm; all that they have in common is worked out once."""

    def __init__(self, options: ContainerOptions, image_root: Path, staging: Path, *, rootless: bool) -> None:
        """Work out the steps.

        Args:
            options: of the arm.
            image_root: where the image is mounted.
            staging: an empty directory; each container mounts its root on it, in a mount namespace of its own.
            rootless: whether the run is in a user namespace of its own.

        Raises:
            HostError: an option cannot be had on this host.
        """
        self._options = options
        self._staging = str(staging)
        self._detach = _detach_mounts()
        # After the network, where there is one to join.
        place = Descriptor(FURTHER + (options.network in ("bridge", "nat")))
        self._owners = Owners(FIRST_OWNER, OWNER_COUNT, place) if options.user_namespace else None
        self._mount_root = functools.partial(
            mount_root,
            str(image_root),
            self._staging,
            rootless=rootless,
            own_processes=True,
            flags=MS_NOSUID if options.no_new_privileges else 0,
            owners=self._owners,
        )
        self._root = self._mount_root()
        self._mask = hardening.mask_paths(root_below(self._staging)) if options.masked_paths else None
        self._enter_root = _enter_root(root_below(self._staging))
        self._harden = hardening.give_up_privileges(
            no_new_privileges=options.no_new_privileges,
            capabilities=options.capabilities,
            seccomp=compile_profile(load_profile()) if options.seccomp else None,
        )
        self._run = entry.run(AGENT_ARGV)

    def request(
        self,
        *,
        name: str,
        cgroup: Cgroup,
        cpus: Sequence[int],
        network: int | None = None,
        scratch: Path | None = None,
        device_file: Path | None = None,
    ) -> LaunchRequest:
        """What the launcher is asked for, for one container.

        Args:
            name: its host name.
            cgroup: what it joins.
            cpus: the CPUs that it may run on.
            network: descriptor of the network namespace to join, if it is to join one.
            scratch: block device for ``/scratch``, or None.
            device_file: what :meth:`runtimes.cgroup.devices.DeviceFilter.apply` gave for it.
        """
        steps = [entry.enter(cgroup, cpus)]
        if network is not None:
            steps.append(entry.join_network())
        elif self._options.network == "none":
            steps.append(_set_up_loopback())
        steps += [self._detach, _name_host(name)]
        if scratch is not None and self._options.scratch == "layer":
            steps.append(self._mount_root(disk=str(scratch)))
        else:
            steps.append(self._root)
            if scratch is not None:
                steps.append(mount_scratch(str(scratch), self._staging, self._owners))
        if self._mask is not None:
            steps.append(self._mask)
        if device_file is not None:
            steps.append(_join_device_filter(device_file))
        steps.append(self._enter_root)
        if self._owners is not None:
            steps.append(entry.become_root_of(self._owners.namespace))
        steps += [self._harden, self._run]
        flags = _NAMESPACES | (syscalls.CLONE_NEWNET if self._options.network == "none" else 0)
        return LaunchRequest(
            tuple(steps),
            cgroup,
            flags,
            descriptors=() if network is None else (network,),
            owners=self._owners.mapping if self._owners else None,
            clocks=_clocks_from_now() if self._options.time_namespace else None,
        )


def _set_up_loopback() -> Steps:
    steps = Steps("set up the loopback interface")
    steps.set_up_interface("lo")
    return steps


def _clocks_from_now() -> dict[str, int]:
    """The offsets with which clocks that count from the start of the machine count from now (time_namespaces(7))."""
    clocks = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}
    return {name: -int(time.clock_gettime(clock)) for name, clock in clocks.items()}


def _detach_mounts() -> Steps:
    steps = Steps("have mounts of its own")
    steps.mount("", "/", "", MS_REC | MS_PRIVATE)
    return steps


def _name_host(name: str) -> Steps:
    steps = Steps("set the host name")
    steps.call("sethostname", name, len(name.encode()))
    return steps


def _join_device_filter(file: Path) -> Steps:
    steps = Steps("have its devices filtered")
    steps.write_file(str(file), "0")
    return steps


def _enter_root(root: str) -> Steps:
    steps = Steps("make the cgroup namespace")
    # Only once all cgroups have been joined: the namespace shows the cgroup in which its maker is as its root.
    steps.call("unshare", syscalls.CLONE_NEWCGROUP)
    steps.stamp("mounts")
    steps.purpose("enter the root")
    # With the old root put on the new one there is no directory to make for it (pivot_root(2), NOTES).
    steps.call("chdir", root, about=root)
    steps.call("pivot_root", ".", ".", about=root)
    steps.unmount(".", MNT_DETACH)
    steps.call("chdir", "/")
    steps.stamp("pivot")
    return steps
