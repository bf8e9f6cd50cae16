"""Podman in private: its configuration, its storage with the image in it, and the mount namespace that it runs in.

In that namespace ``/run`` and ``/var/lib`` are directories of the run's, so that Podman has its storage, its database,
its locks and the OCI runtime its state where a stock installation has them, and none of it is the host's.
"""

from __future__ import annotations

import errno
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtimes import syscalls
from runtimes.base import HostError, InstanceError
from runtimes.cgroup.disks import disk_that_holds
from runtimes.engine.private_mounts import PrivateMounts, private_mounts
from runtimes.engine.programs import ENVIRONMENT, run_program
from runtimes.facilities import Facilities
from runtimes.root_archive import write_root_archive

STATE = "/run"
"""Where Podman sees :attr:`PodmanHome.state`."""

_LIBRARY = "/var/lib"
_CONFIGURATION = "bench"
"""Directory in ``/run`` with what Podman reads."""

_STORAGE = "containers/storage"
"""Podman's own place for it below ``/var/lib``."""

_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
"""Of signatures: the image is ours."""

_ENGINE = """\
[containers]
apparmor_profile = "unconfined"
default_ulimits = []
seccomp_profile = "/usr/share/containers/seccomp.json"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
hooks_dir = []
runtime = "{runtime}"
[engine.runtimes]
{runtime} = ["{path}"]
[network]
network_backend = "cni"
network_config_dir = "{networks}"
"""
"""``containers.conf``. A profile of AppArmor would stay loaded in the host's kernel. No container has a network of
Podman's own; of the two backends this is the one that Podman starts without a program for.
"""

_STORAGE_CONFIGURATION = """\
[storage]
driver = "overlay"
graphroot = "{storage}"
runroot = "/run/containers/storage"
"""


class PodmanHome:
    """One arm's Podman.

    Attributes:
        state: what is ``/run`` in its namespace.
        mounts: the namespace.
        environment: of every call.
        image: the image's id.
        layer: the directory with the files of the image.
        disk: the one that the storage lies on; None where the file system does not tell one.
    """

    def __init__(self, podman: Path, state: Path, library: Path, mounts: PrivateMounts) -> None:
        """One that is configured, with its mounts in place."""
        self._podman = podman
        self.state = state
        self._library = library
        self.mounts = mounts
        self.environment = _environment()
        self.image = ""
        self.layer = library
        self.disk = disk_that_holds(library)

    def call(self, *arguments: str, check: bool = True) -> str:
        """Run a command of Podman's to its end, outside of what is measured; what it said.

        Raises:
            InstanceError: it failed.
        """
        run = functools.partial(run_program, [self._podman, *arguments], check=check, environment=self.environment)
        return self.mounts.call(run)

    def import_image(self, root: Path) -> None:
        """Have it keep an image with the files below ``root``.

        Raises:
            HostError: it could not.
        """
        archive = self._library / "root.tar"
        try:
            write_root_archive(root, archive)
            self.image = self.call("import", "--quiet", f"{_LIBRARY}/{archive.name}").strip()
            layer = self.call("image", "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", self.image).strip()
        except (OSError, InstanceError) as error:
            raise HostError(f"cannot import the image into Podman: {error}") from error
        finally:
            archive.unlink(missing_ok=True)
        self.layer = self._library / Path(layer).relative_to(_LIBRARY)

    @contextmanager
    def volume(self, name: str, device: Path) -> Iterator[None]:
        """A volume that Podman mounts a device with an ext4 file system for, whenever a container with it is started.

        Raises:
            InstanceError: it could not be made or removed.
        """
        self.call("volume", "create", "--opt=type=ext4", f"--opt=device={device}", name)
        try:
            yield
        finally:
            self.unmount_volume(name)
            self.call("volume", "rm", name)

    def unmount_volume(self, name: str) -> None:
        """Unmount the device of a volume that no container has any more, if Podman has not.

        With a user namespace it starts conmon in a mount namespace of its own, and what conmon becomes at the end
        unmounts there what is mounted here as well (``createRootlessContainer`` in libpod/oci_conmon_linux.go).
        """
        self.mounts.call(functools.partial(_unmount, f"{_LIBRARY}/{_STORAGE}/volumes/{name}/_data"))

    def holds(self, container: str) -> bool:
        """Whether anything of a container, by its full id, is kept."""
        return (self._library / _STORAGE / "overlay-containers" / container).exists()


@contextmanager
def open_home(facilities: Facilities, podman: Path, runtime: Path) -> Iterator[PodmanHome]:
    """Make it, with the image of the run; at the end nothing is left.

    Args:
        facilities: of the run.
        podman: the program.
        runtime: the OCI runtime that it is to use.

    Raises:
        HostError: it cannot be had.
    """
    with ExitStack() as stack:
        state, library = (
            stack.enter_context(_directory(parent)) for parent in (facilities.directory, facilities.scratch_directory)
        )
        _configure(state / _CONFIGURATION, runtime)
        (library / "tmp").mkdir()
        mounts = stack.enter_context(private_mounts(facilities.launcher, {_LIBRARY: library, STATE: state}))
        home = PodmanHome(podman, state, library, mounts)
        home.import_image(facilities.root)
        yield home


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="podman-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _unmount(path: str) -> None:
    try:
        syscalls.umount(path, syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # not mounted, or never made
            raise


def _environment() -> Mapping[str, str]:
    directory = f"{STATE}/{_CONFIGURATION}"
    return {
        **ENVIRONMENT,
        "HOME": directory,
        "TMPDIR": f"{_LIBRARY}/tmp",
        "CONTAINERS_CONF": f"{directory}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{directory}/storage.conf",
        "CONTAINERS_REGISTRIES_CONF": f"{directory}/registries.conf",
    }


def _configure(directory: Path, runtime: Path) -> None:
    """Write what Podman reads, in place of the host's files (containers.conf(5), containers-storage.conf(5),
    containers-policy.json(5)).
    """
    policy = directory / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text(json.dumps(_POLICY))
    networks = f"{STATE}/{_CONFIGURATION}/networks"
    engine = _ENGINE.format(runtime=runtime.name, path=runtime, networks=networks)
    (directory / "containers.conf").write_text(engine)
    storage = _STORAGE_CONFIGURATION.format(storage=f"{_LIBRARY}/{_STORAGE}")
    (directory / "storage.conf").write_text(storage)
    (directory / "registries.conf").write_text("")
