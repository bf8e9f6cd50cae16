"""LXC, by its own tools: ``lxc-start`` in the foreground with a configuration file of ours for each container.

What is timed is all that ``lxc-start`` does, the file being written before: reading its configuration, its cgroups, the
namespaces, its own veth pair on the run's bridge, its own overlay over the image, and its own device nodes. It stays as
the container's monitor until that has ended, and waits; the agent's stream does not go through it.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runtimes import storage, syscalls
from runtimes.base import (
    HostError,
    Image,
    Instance,
    InstanceSpec,
    Limits,
    Options,
    Runtime,
    Timeline,
    UnavailableError,
)
from runtimes.cgroup import CgroupTree
from runtimes.engine.foreground import explained, only_child, wait_until_gone
from runtimes.engine.instance import EngineInstance, contained, stamp_agent
from runtimes.engine.lxc_config import Groups, Wanted, make_config
from runtimes.engine.network import require_network
from runtimes.engine.options import EngineOptions
from runtimes.engine.programs import ENVIRONMENT, find_program, first_line, require_root, save_command
from runtimes.engine.surroundings import OWN_RUN, own_surroundings
from runtimes.launcher import entry
from runtimes.launcher.client import FURTHER, LaunchRequest
from runtimes.launcher.instance import LOG_NAME, check_image, connected_agent, host_facts, userland_size
from runtimes.launcher.rootfs import FIRST_OWNER, OWNER_COUNT, Owners, mount_bare_root, root_below
from runtimes.launcher.steps import Descriptor, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.facilities import Facilities
    from runtimes.network import Place

CONFIG = "lxc.conf"
"""The file in an instance's directory that LXC was configured with."""

_PACKAGE = "lxc"
_CONTAINER, _MONITOR, _PIVOT = "container", "monitor", "pivot"
"""Names of the cgroups that LXC makes in the instance's tree: the container's, the monitor's, and the one that this is
in when it removes both."""

_STAGING = OWN_RUN / "staging"
"""Where what the root is made of lies, in a ``/run`` that only this instance has."""

_DISK = OWN_RUN / "disk"
"""Where a scratch disk is mounted whose owners are to be mapped."""

_GRANTED = (Path("/etc/subuid"), Path("/etc/subgid"))
"""Whose users and groups may be whose in user namespaces (subuid(5)); LXC has ``newuidmap`` keep root to it as well."""

_COMPLAINT = re.compile(r"^lxc-start: \S+: \S+: \w+: \d+ (?P<what>.*)$", re.MULTILINE)
"""A line of what ``lxc-start`` says: its name, the container's, where in its source, and what."""


class LxcOptions(EngineOptions):
    """Options of an arm that LXC starts.

    Attributes:
        network: as for our own container: ``bridge``, ``nat``, ``host`` or ``none``.
        seccomp: system calls are filtered, by LXC's own profile for all containers.
        user_namespace: root inside is an ordinary user outside. LXC is then given a root that is mounted already, as it
            cannot mount an overlay for others.
        scratch: ``volume`` mounts the scratch disk at ``/scratch``; ``layer`` has all that is written, ``/scratch``
            among it, in the overlay's upper layer on that disk.
    """


class LxcRuntime:
    """A container by LXC, with its own network, overlay and monitor."""

    name: ClassVar[str] = "lxc"
    options_model: ClassVar[type[Options]] = LxcOptions

    def __init__(self, facilities: Facilities, options: LxcOptions, program: Path, version: str) -> None:
        self._facilities = facilities
        self._options = options
        self._program = program
        self._version = version
        self._grant = facilities.directory / "subordinate"
        self._owners = Owners(FIRST_OWNER, OWNER_COUNT, Descriptor(FURTHER)) if options.user_namespace else None

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, LxcOptions)
        require_root(cls.name)
        _require_usable()
        require_network(options.network, limits.net)
        if options.user_namespace and options.network == "host":
            raise HostError(
                "user_namespace: LXC cannot mount /sys for a network that is not the user namespace's; "
                "say network: bridge, or leave it out"
            )
        if options.user_namespace and not all(file.exists() for file in _GRANTED):
            raise UnavailableError("user_namespace: LXC needs newuidmap and /etc/subuid", fix="apt-get install uidmap")

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, LxcOptions)
        check_image(facilities.root)
        program, version = _require_usable()
        if options.network == "nat":
            facilities.network.prepare_translation()
        runtime = cls(facilities, options, program, version)
        if options.user_namespace:
            runtime._grant.write_text(f"root:{FIRST_OWNER}:{OWNER_COUNT}\n")
        yield runtime

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities, options = self._facilities, self._options
        timeline = Timeline()
        with ExitStack() as stack:
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits))
            translated = options.network == "nat"
            joins = facilities.network.place(translated=translated) if options.linked else nullcontext()
            place = stack.enter_context(joins)
            # A container that is started has been configured.
            config = facilities.directory / f"{spec.name}.conf"
            stack.callback(config.unlink, missing_ok=True)
            config.write_text(make_config(self._wanted(spec, scratch, tree, place)))
            argv = self._command(spec.name, config)
            log, request = spec.directory / LOG_NAME, self._request(spec, scratch, tree, argv)
            spec.prepared()
            timeline.stamp("requested")
            with explained(log, _COMPLAINT):
                agent, launched, ready_at = stack.enter_context(
                    connected_agent(facilities.launcher, request, log, spec.start_timeout)
                )
            timeline.stamp("client", launched.stamps["exec"])
            stamp_agent(timeline, agent, ready_at)
            save_command(spec.directory, argv)
            shutil.copy(config, spec.directory / CONFIG)
            container = stack.enter_context(contained(tree, _CONTAINER, only_child(launched)))
            if place is not None:
                stack.enter_context(facilities.network.limited(place.pair, spec.limits.net))
            shared = facilities.network.gateway if options.network == "host" else None
            yield EngineInstance(
                agent=agent,
                timeline=timeline,
                address=place.address if place else shared,
                facts={**host_facts(scratch), "engine": self._version, **self._drivers},
                container=container,
                helper="monitor",
                stop_timeout=spec.stop_timeout,
                end=functools.partial(wait_until_gone, launched, self._program.name),
            )

    @property
    def _drivers(self) -> Mapping[str, str]:
        """What LXC uses, in its own words."""
        network = {"host": "none", "none": "empty"}.get(self._options.network, "veth")
        return {"storage_driver": "dir" if self._owners else "overlayfs", "network_driver": network}

    def _wanted(self, spec: InstanceSpec, scratch: Path | None, tree: CgroupTree, place: Place | None) -> Wanted:
        facilities, options = self._facilities, self._options
        # Its own overlay, whose working directory LXC makes beside the upper one.
        root, mounted = f"overlayfs:{facilities.root}:{_STAGING}/upper", f"{scratch} scratch ext4 rw 0 0"
        if self._owners:
            root, mounted = f"dir:{root_below(str(_STAGING))}", f"{_DISK} scratch none bind,idmap=container 0 0"
        return Wanted(
            hostname=spec.name,
            root=root,
            groups=_groups(tree, self._facilities.cgroups.version),
            limits=spec.limits,
            cpus=facilities.instance_cpus(spec.limits),
            swap=facilities.cgroups.accounts_for_swap,
            network=options.network,
            place=place,
            scratch=mounted if scratch and options.scratch == "volume" else None,
            limited_disk=scratch,
            seccomp=options.seccomp,
            owners=(self._owners.first, self._owners.count) if self._owners else None,
        )

    def _command(self, name: str, config: Path) -> Sequence[str]:
        where = (f"--lxcpath={OWN_RUN}", f"--rcfile={config}", f"--name={name}")
        return (str(self._program), *where, "--foreground", "--logfile=none")

    def _request(
        self, spec: InstanceSpec, scratch: Path | None, tree: CgroupTree, argv: Sequence[str]
    ) -> LaunchRequest:
        facilities = self._facilities
        steps = (
            entry.enter(tree.helpers, facilities.instance_cpus(spec.limits)),
            own_surroundings(facilities.directory),
            *self._storage(scratch),
            entry.run_on_stream(argv, ENVIRONMENT),
        )
        owners = self._owners.mapping if self._owners else None
        return LaunchRequest(steps, tree.helpers, syscalls.CLONE_NEWNS, owners=owners)

    def _storage(self, scratch: Path | None) -> Iterator[Steps]:
        """What LXC does not mount itself."""
        layered = str(scratch) if scratch and self._options.scratch == "layer" else None
        steps = Steps("mount what LXC is given")
        steps.make_directory(str(_STAGING))
        if self._owners:
            yield steps
            yield mount_bare_root(str(self._facilities.root), str(_STAGING), disk=layered, owners=self._owners)
            steps = Steps("grant the users and mount the scratch disk")
            for file in _GRANTED:
                steps.mount(str(self._grant), str(file), "", syscalls.MS_BIND)
            if scratch and layered is None:
                steps.make_directory(str(_DISK))
                steps.mount(str(scratch), str(_DISK), "ext4")
        elif layered is not None:
            steps.mount(layered, str(_STAGING), "ext4")
        yield steps

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": self._facilities.cached, "engine": (self._program,)}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}


def _require_usable() -> tuple[Path, str]:
    """The program ``lxc-start``, and LXC's version.

    Raises:
        UnavailableError: it is not there, or does not run on this host.
    """
    program = find_program("lxc-start", _PACKAGE)
    return program, f"LXC {first_line([program, '--version'])}"


def _groups(tree: CgroupTree, version: int) -> Groups:
    """On version 1 below what ``lxc-start`` is in, in each hierarchy; on version 2, where nothing can be made below a
    cgroup with processes, from the top.
    """
    container, monitor, pivot = (tree.path_of(name).lstrip("/") for name in (_CONTAINER, _MONITOR, _PIVOT))
    return Groups(version, tree.directory is None, container, monitor, pivot)
