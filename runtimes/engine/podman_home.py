"""Podman in private: its configuration, its storage with the image in it, and the mount namespace that it runs in.

In that namespace all places that Podman writes to, or reads its configuration from, are directories of the run's. So
Podman has its storage, its database, its locks and the OCI runtime its state where a stock installation has them, and
none of it is the host's.
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
_CACHE = "/var/cache"
_CONFIGURATION = "/etc/containers"

_STORAGE = "containers/storage"
"""Podman's own place for it below ``/var/lib``."""

_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
"""Of signatures: the image is ours."""

_ENGINE = """\
[containers]
apparmor_profile = "unconfined"
default_sysctls = []
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
"""
"""``containers.conf``. A profile of AppArmor would stay loaded in the host's kernel. No container has a network of
Podman's own; of the two backends this is the one that Podman starts without a program for. Debian would have it make a
setting of the network, which could not be made with a user namespace, as the network is not that namespace's.
"""

_STORAGE_CONFIGURATION = f"""\
[storage]
driver = "overlay"
graphroot = "{_LIBRARY}/{_STORAGE}"
runroot = "{STATE}/containers/storage"
"""
"""``storage.conf``."""

_ENVIRONMENT: Mapping[str, str] = {**ENVIRONMENT, "HOME": STATE, "TMPDIR": f"{_LIBRARY}/tmp"}


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
        self.environment = _ENVIRONMENT
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
        places = {_LIBRARY: library, _CACHE: library / "cache", _CONFIGURATION: state / "configuration", STATE: state}
        for directory in (library / "tmp", places[_CACHE], places[_CONFIGURATION]):
            directory.mkdir()
        _configure(places[_CONFIGURATION], runtime)
        mounts = stack.enter_context(private_mounts(facilities.launcher, places))
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


def _configure(directory: Path, runtime: Path) -> None:
    """Write what Podman reads (containers.conf(5), containers-storage.conf(5), containers-policy.json(5))."""
    (directory / "containers.conf").write_text(_ENGINE.format(runtime=runtime.name, path=runtime))
    (directory / "storage.conf").write_text(_STORAGE_CONFIGURATION)
    (directory / "policy.json").write_text(json.dumps(_POLICY))
