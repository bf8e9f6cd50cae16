"""Any OCI runtime by its command line: runc, crun and the like, as containerd and Podman call them.

It is given a bundle of ours, whose root is the image under an overlay as in our own container, and a ``config.json``
that asks for the same namespaces, mounts, limits and filters. What is timed is the making of the network and the
bundle, which something has to do for every OCI runtime, and then ``RUNTIME run --detach`` up to READY. The runtime's
process has ended by the time that the workload begins: nothing of it is left beside the container.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from runtimes import storage
from runtimes.base import HostError, Image, Instance, InstanceError, InstanceSpec, Limits, Options, Runtime, Timeline
from runtimes.cgroup import CgroupTree
from runtimes.container.seccomp import load_profile
from runtimes.engine.instance import EngineInstance, contained, stamp_agent
from runtimes.engine.network import joined_network, require_network
from runtimes.engine.oci_config import Wanted, make_config
from runtimes.engine.oci_program import OciProgram, require_oci_program
from runtimes.engine.options import EngineOptions
from runtimes.engine.programs import ENVIRONMENT, require_root, run_program, save_command
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.instance import LOG_NAME, check_image, connected_agent, host_facts, userland_size, wait_for_end
from runtimes.launcher.rootfs import (
    FIRST_OWNER,
    OWNER_COUNT,
    Owners,
    mount_bare_root,
    mount_scratch,
    root_below,
    unmount_root,
)
from runtimes.launcher.steps import Descriptor, StepError

CONFIG = "config.json"
"""What a runtime reads of a bundle; a copy is kept with the trial."""

_CONTAINER = "container"
"""Name of the cgroup that the runtime makes in the instance's tree."""

_RETURN_TIMEOUT = 60.0
"""Seconds for the runtime to return once the container runs."""


class OciOptions(EngineOptions):
    """Options of an arm that an OCI runtime starts.

    Attributes:
        program: name of the runtime's program, or a path to it.
        network: as for our own container: ``bridge``, ``nat``, ``host`` or ``none``.
        seccomp: system calls are filtered, by the same profile as in our own container.
        user_namespace: root inside is an ordinary user outside.
        scratch: ``volume`` mounts the scratch disk at ``/scratch``; ``layer`` has all that is written, ``/scratch``
            among it, in the overlay's upper layer on that disk.
    """

    program: str = Field(default="runc", min_length=1)


class OciRuntime:
    """A container by any OCI runtime: runc, crun, youki or another."""

    name: ClassVar[str] = "oci"
    options_model: ClassVar[type[Options]] = OciOptions

    def __init__(self, facilities: Facilities, options: OciOptions, program: OciProgram) -> None:
        self._facilities = facilities
        self._options = options
        self._program = program
        self._states = facilities.directory / "oci"
        self._profile = load_profile() if options.seccomp else None
        self._owners: tuple[Owners, int] | None = None

    @classmethod
    def check(cls, options: Options, limits: Limits) -> None:
        assert isinstance(options, OciOptions)
        require_root(cls.name)
        require_oci_program(options.program)
        require_network(options.network, limits.net)

    @classmethod
    @contextmanager
    def open(cls, facilities: Facilities, options: Options) -> Iterator[Runtime]:
        assert isinstance(options, OciOptions)
        check_image(facilities.root)
        program = require_oci_program(options.program)
        if options.network == "nat":
            facilities.network.prepare_translation()
        runtime = cls(facilities, options, program)
        runtime._states.mkdir(exist_ok=True)
        if options.user_namespace:
            # Root of such a container has to reach its root file system; nobody else is in that group.
            os.chown(facilities.directory, -1, FIRST_OWNER)
            facilities.directory.chmod(0o710)
        with _owners(facilities, wanted=options.user_namespace) as runtime._owners:
            yield runtime

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            scratch = stack.enter_context(storage.attach_loop(spec.scratch, read_only=False)) if spec.scratch else None
            tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits))
            spec.prepared()
            timeline.stamp("requested")
            network = stack.enter_context(joined_network(facilities, self._options.network, spec.limits.net))
            timeline.stamp("network")
            bundle = stack.enter_context(self._bundle(spec, scratch, tree, network.path))
            timeline.stamp("bundle")
            pid_file = facilities.directory / f"{spec.name}.pid"
            stack.callback(pid_file.unlink, missing_ok=True)
            # Whatever there is of it by then; after an orderly stop nothing.
            stack.callback(self._delete, spec.name, check=False)
            command = ("run", "--detach", "--bundle", str(bundle), "--pid-file", str(pid_file), spec.name)
            argv = (str(self._program.path), "--root", str(self._states), *command)
            steps = (
                entry.enter(tree.helpers, facilities.instance_cpus(spec.limits)),
                entry.run_on_stream(argv, ENVIRONMENT),
            )
            request = LaunchRequest(steps, tree.helpers)
            agent, launched, ready_at = stack.enter_context(
                connected_agent(facilities.launcher, request, spec.directory / LOG_NAME, spec.start_timeout)
            )
            stamp_agent(timeline, agent, ready_at)
            save_command(spec.directory, argv)
            shutil.copy(bundle / CONFIG, spec.directory / CONFIG)
            if not wait_for_end(launched.pidfd, _RETURN_TIMEOUT):
                raise InstanceError(
                    f"{self._program.path.name} run --detach does not return although the container runs"
                )
            container = stack.enter_context(contained(tree, _CONTAINER, _read_pid(pid_file)))
            yield EngineInstance(
                agent=agent,
                timeline=timeline,
                address=network.address,
                facts={**host_facts(scratch), "engine": self._program.version},
                container=container,
                helper="runtime",
                stop_timeout=spec.stop_timeout,
                end=functools.partial(self._end, spec.name, bundle),
            )

    def _end(self, name: str, bundle: Path) -> None:
        self._delete(name)
        # Whatever disk is mounted there has been written to once it is not any more.
        unmount_root(str(bundle))

    def _delete(self, name: str, *, check: bool = True) -> None:
        run_program([self._program.path, "--root", self._states, "delete", "--force", name], check=check)

    @contextmanager
    def _bundle(
        self, spec: InstanceSpec, scratch: Path | None, tree: CgroupTree, network: str | None
    ) -> Iterator[Path]:
        """The root, mounted, with the ``config.json`` beside it.

        Raises:
            InstanceError: something could not be mounted.
        """
        facilities, layered = self._facilities, self._options.scratch == "layer"
        staging = facilities.directory / spec.name
        wanted = Wanted(
            root=Path(root_below(str(staging))),
            hostname=spec.name,
            limits=spec.limits,
            cpus=facilities.instance_cpus(spec.limits),
            cgroups_path=tree.oci_path_of(_CONTAINER),
            version=facilities.cgroups.version,
            swap=facilities.cgroups.accounts_for_swap,
            network=network,
            scratch=None if layered or self._owners is not None else scratch,
            limited_disk=scratch,
            seccomp=self._profile,
            owners=None if self._owners is None else self._owners[0],
        )
        staging.mkdir()
        try:
            try:
                self._mount(staging, scratch)
                (staging / CONFIG).write_text(json.dumps(make_config(wanted)))
                yield staging
            except StepError as error:
                raise InstanceError(f"{spec.name}: {error.strerror}") from error
            finally:
                if staging.is_mount():
                    unmount_root(str(staging))
        finally:
            staging.rmdir()

    def _mount(self, staging: Path, scratch: Path | None) -> None:
        """Mount the root, and the scratch disk where the runtime is not the one to do so."""
        facilities, disk = self._facilities, str(scratch) if scratch else None
        owners, descriptors = (None, ()) if self._owners is None else (self._owners[0], (self._owners[1],))
        layer = disk if self._options.scratch == "layer" else None
        facilities.launcher.take(
            mount_bare_root(str(facilities.root), str(staging), owners=owners, disk=layer), descriptors
        )
        if owners is not None and disk is not None and layer is None:
            # Who is root in a user namespace may not mount a disk.
            facilities.launcher.take(mount_scratch(disk, str(staging), owners), descriptors)

    def start_files(self, image: Image) -> Mapping[str, Sequence[Path]]:
        return {"image": self._facilities.cached, "engine": (self._program.path,)}

    def image_parts(self, image: Image) -> Mapping[str, int]:
        return {"userland": userland_size(image)}


@contextmanager
def _owners(facilities: Facilities, *, wanted: bool) -> Iterator[tuple[Owners, int] | None]:
    """Whom the files of containers belong to, and a descriptor of a user namespace that maps them; None if not wanted.

    Raises:
        HostError: the kernel lets nobody have user namespaces.
    """
    if not wanted:
        yield None
        return
    owners = Owners(FIRST_OWNER, OWNER_COUNT, Descriptor(0))
    try:
        descriptor = facilities.launcher.make_user_namespace(owners.mapping)
    except OSError as error:
        raise HostError(f"user_namespace: {error}") from error
    try:
        yield owners, descriptor
    finally:
        os.close(descriptor)


def _read_pid(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError) as error:
        raise InstanceError(f"the runtime has not told the container's process in {file}: {error}") from error
