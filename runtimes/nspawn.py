"""systemd-nspawn, by its command line and without systemd: no unit, no registration with machined.

What is timed is all that ``systemd-nspawn`` does: the namespaces, its own overlay over the image, its own mounts and
device nodes, its filter. It stays as the container's supervisor until that has ended, and waits; the agent's stream
does not go through it. It is started in a network that we make, and in a cgroup on which limits are set, as those of a
unit would be: it has no options for either.
"""

from __future__ import annotations

import functools
import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from runtimes import storage, syscalls
from runtimes.base import (
    AGENT_PATH,
    Image,
    Instance,
    InstanceSpec,
    Limits,
    Options,
    Runtime,
    Timeline,
)
from runtimes.cgroup import CgroupTree
from runtimes.cgroup.devices import DeviceFilter
from runtimes.container import hardening
from runtimes.engine.foreground import explained, only_child, wait_until_gone
from runtimes.engine.instance import EngineInstance, contained, stamp_agent
from runtimes.engine.network import joined_network, require_network
from runtimes.engine.options import EngineOptions
from runtimes.engine.programs import ENVIRONMENT, find_program, first_line, require_root, save_command
from runtimes.engine.surroundings import OWN_RUN, own_surroundings
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.client import FURTHER, LaunchRequest
from runtimes.launcher.instance import LOG_NAME, check_image, connected_agent, host_facts, userland_size
from runtimes.launcher.limits import LIMITS, NAMES
from runtimes.launcher.rootfs import FIRST_OWNER, OWNER_COUNT, Owners, mount_bare_root, root_below
from runtimes.launcher.steps import Descriptor, Steps

_PACKAGE = "systemd-container"
_PAYLOAD = "payload"
"""What systemd-nspawn calls the container's cgroup, which it makes on version 2."""

_SUPERVISOR = "supervisor"

_IMAGE = OWN_RUN / "image"
"""Where it finds the image; it keeps a lock beside that."""

_STAGING = OWN_RUN / "staging"
"""Where we mount a root, if it is not to make the overlay itself."""

_DISK = OWN_RUN / "disk"
"""Where the scratch disk is mounted, from where it takes it: it mounts directories only."""

_GRANTED = (
    *("AUDIT_CONTROL", "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_OWNER"),
    *("KILL", "LEASE", "LINUX_IMMUTABLE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE"),
    *("SYS_RESOURCE", "SYS_TTY_CONFIG"),
)
"""Capabilities that a container has if nothing is said (systemd-nspawn(1), --capability=)."""

_COMPLAINT = re.compile(r"^(?P<what>Failed .*)$", re.MULTILINE)
"""A line of what it says when it cannot do something."""

WITHOUT_SYSTEMD = ("--register=no", "--keep-unit", "--link-journal=no", "--settings=no")
"""No unit is made, nobody is told, and no settings are looked for: it runs where there is no systemd."""

AS_IT_IS = ("--quiet", "--console=pipe", "--resolv-conf=off", "--timezone=off")
"""The program gets standard input and output themselves, and files of the image are left alone."""


class NspawnOptions(EngineOptions):
    """Options of an arm that systemd-nspawn starts.

    Attributes:
        network: as for our own container: ``bridge``, ``nat``, ``host`` or ``none``.
        seccomp: system calls are filtered, by systemd-nspawn's own list.
        user_namespace: root inside is an ordinary user outside. systemd-nspawn is then given a root that is mounted
            already, as it cannot have the owners of its own overlay mapped.
        scratch: ``volume`` mounts the scratch disk at ``/scratch``; ``layer`` has all that is written, ``/scratch``
            among it, in an overlay's upper layer on that disk, which systemd-nspawn finds mounted.
    """


class NspawnRuntime:
    """A container by systemd-nspawn, without systemd around it."""

    name: ClassVar[str] = "nspawn"
    options_model: ClassVar[type[Options]] = NspawnOptions

    def __init__(
        self, facilities: Facilities, options: NspawnOptions, program: Path, version: str, devices: DeviceFilter
    ) -> None:
        self._facilities = facilities
        self._options = options
        self._program = program
        self._version = version
        self._devices = devices
        # After the network, where there is one to join.
        place = Descriptor(FURTHER + options.linked)
        self._owners = Owners(FIRST_OWNER, OWNER_COUNT, place) if options.user_namespace else None

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, NspawnOptions)
        require_root(cls.name)
        _require_usable()
        require_network(options.network, limits.net)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, NspawnOptions)
        check_image(facilities.root)
        program, version = _require_usable()
        if options.network == "nat":
            facilities.network.prepare_translation()
        with facilities.cgroups.device_filter() as devices:
            yield cls(facilities, options, program, version, devices)

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            spec.prepared()
            timeline.stamp("requested")
            tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits))
            facilities.cgroups.limit_tree(tree, spec.limits, facilities.instance_cpus(spec.limits))
            if scratch is not None:
                tree.whole.limit_io(scratch, spec.limits.io)
            device_file = self._devices.apply(tree.whole.clone_into, scratch)
            timeline.stamp("cgroup")
            network = stack.enter_context(joined_network(facilities, self._options.network, spec.limits.net))
            timeline.stamp("network")
            argv = self._command(spec.name, volume=self._is_volume(scratch))
            request = self._request(spec, scratch, tree, argv, network.descriptor, device_file)
            log = spec.directory / LOG_NAME
            with explained(log, _COMPLAINT):
                agent, launched, ready_at = stack.enter_context(
                    connected_agent(facilities.launcher, request, log, spec.start_timeout)
                )
            timeline.stamp("client", launched.stamps["exec"])
            stamp_agent(timeline, agent, ready_at)
            save_command(spec.directory, argv)
            own = _PAYLOAD if facilities.cgroups.version == 2 else None
            container = stack.enter_context(contained(tree, own, only_child(launched), limited=tree.whole))
            yield EngineInstance(
                agent=agent,
                timeline=timeline,
                address=network.address,
                facts={**host_facts(scratch), "engine": self._version, **self._drivers},
                container=container,
                helper=_SUPERVISOR,
                stop_timeout=spec.stop_timeout,
                end=functools.partial(wait_until_gone, launched, self._program.name),
                # Those of version 1 have both in one.
                inside=() if own else (launched.pid,),
            )

    @property
    def _drivers(self) -> Mapping[str, str]:
        """What it is told, in the words of its options."""
        network = {"host": "none", "none": "private-network"}.get(self._options.network, "none, started in a namespace")
        return {
            "storage_driver": "volatile=overlay" if self._makes_overlay else "directory",
            "network_driver": network,
        }

    def _request(
        self,
        spec: InstanceSpec,
        scratch: Path | None,
        tree: CgroupTree,
        argv: Sequence[str],
        network: int | None,
        device_file: Path | None,
    ) -> LaunchRequest:
        facilities = self._facilities
        filtered = Steps("have its devices filtered")
        if device_file is not None:
            filtered.write_file(str(device_file), "0")
        # The test of the root's os-release is for whole systems.
        environment = {**ENVIRONMENT, "SYSTEMD_NSPAWN_CHECK_OS_RELEASE": "0"}
        if not self._options.seccomp:
            environment["SYSTEMD_SECCOMP"] = "0"
        steps = (
            entry.enter(tree.helpers, facilities.instance_cpus(spec.limits)),
            *([] if network is None else [entry.join_network()]),
            own_surroundings(facilities.directory),
            *self._storage(scratch),
            filtered,
            entry.run_on_stream(argv, environment),
        )
        return LaunchRequest(
            steps,
            tree.helpers,
            syscalls.CLONE_NEWNS,
            descriptors=() if network is None else (network,),
            owners=self._owners.mapping if self._owners else None,
        )

    def _is_volume(self, scratch: Path | None) -> bool:
        return scratch is not None and self._options.scratch == "volume"

    @property
    def _makes_overlay(self) -> bool:
        """Whether systemd-nspawn does, on the image."""
        return self._owners is None and self._options.scratch == "volume"

    def _storage(self, scratch: Path | None) -> Iterator[Steps]:
        """What it finds mounted."""
        image = str(self._facilities.root)
        steps = Steps("mount the image and the scratch disk")
        if self._makes_overlay:
            steps.make_directory(str(_IMAGE))
            steps.mount(image, str(_IMAGE), "", syscalls.MS_BIND)
            # Where it mounts the overlay's upper layer.
            steps.mount("tmpfs", "/tmp", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV)
        else:
            steps.make_directory(str(_STAGING))
            yield steps
            disk = None if scratch is None or self._is_volume(scratch) else str(scratch)
            yield mount_bare_root(image, str(_STAGING), disk=disk, owners=self._owners)
            steps = Steps("mount the scratch disk")
        if self._is_volume(scratch):
            steps.make_directory(str(_DISK))
            steps.mount(str(scratch), str(_DISK), "ext4")
        yield steps

    def _command(self, name: str, *, volume: bool) -> tuple[str, ...]:
        command = [str(self._program), *WITHOUT_SYSTEMD, *AS_IT_IS, f"--machine={name}"]
        if self._makes_overlay:
            command += ["--volatile=overlay", f"--directory={_IMAGE}"]
        else:
            command.append(f"--directory={root_below(str(_STAGING))}")
        if volume:
            command.append(f"--bind={_DISK}:/scratch{':idmap' if self._owners else ''}")
        if self._options.network == "none":
            command.append("--private-network")
        if self._owners:
            command += [
                f"--private-users={self._owners.first}:{self._owners.count}",
                "--private-users-ownership=off",
            ]
        dropped = [f"CAP_{each}" for each in _GRANTED if each not in hardening.KEPT_CAPABILITIES]
        command += [f"--drop-capability={','.join(dropped)}", "--no-new-privileges=yes"]
        command += [f"--rlimit={limit}" for limit in _resource_limits()]
        return (*command, AGENT_PATH, "--stdio")

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": self._facilities.cached, "engine": (self._program,)}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}


def _require_usable() -> tuple[Path, str]:
    """The program ``systemd-nspawn``, and what it says of its version.

    Raises:
        UnavailableError: it is not there, or does not run on this host.
    """
    program = find_program("systemd-nspawn", _PACKAGE)
    return program, first_line([program, "--version"])


def _resource_limits() -> Iterator[str]:
    """All limits of setrlimit(2): systemd-nspawn sets those that it is not told to what the kernel gave its init."""
    for kind, values in LIMITS.items():
        soft, hard = ("infinity" if value == resource.RLIM_INFINITY else str(value) for value in values)
        yield f"RLIMIT_{NAMES[kind]}={soft}:{hard}"
