"""The cgroup of an instance that a container engine starts."""

from __future__ import annotations

from dataclasses import dataclass

from runtimes.cgroup.base import Cgroup


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """Two levels: ours, and below it that which the engine makes for the container and sets the limits on.

    Attributes:
        whole: all of it: the container, and those who look after it.
        helpers: where the programs of the engine are started.
        directory: on version 2 where the engine makes the container's, as a path from the mount point. On version 1 an
            engine's relative paths are below the cgroup that its own process is in, whichever that is in each
            hierarchy: from there, for the instance of a daemon, and None where the program of the engine is in it.
        beside: where version 2 is mounted beside version 1, the path of ``whole`` in it, without a slash at its start;
            else None.
    """

    whole: Cgroup
    helpers: Cgroup
    directory: str | None
    beside: str | None = None

    def path_of(self, name: str) -> str:
        """What an engine that is started in ``helpers`` is told to make a cgroup ``name`` in the tree."""
        return name if self.directory is None else f"{self.directory}/{name}"

    def oci_path_of(self, name: str) -> str:
        """The same for an OCI runtime (``cgroupsPath`` of the OCI runtime specification, config-linux).

        Beside version 1 runc takes a relative path from the top of version 2, wherever it is in there itself
        (``GetOwnCgroupPath`` in libcontainer/cgroups/utils.go). So the path is that from there, which leads into the
        tree from the top as from any other cgroup of the tree.
        """
        return self.path_of(name) if self.beside is None else f"{self.beside}/{name}"


@dataclass(frozen=True, slots=True)
class DaemonTree:
    """The cgroups of an engine's daemon, with those of all instances that it starts below.

    On version 1 they cannot be elsewhere, see :class:`CgroupTree`. What the daemon itself has used is what the whole
    has less the instances, those that have ended among them.

    Attributes:
        whole: the daemon and its instances.
        helpers: where the daemon is started; it is ``whole`` on version 1.
        instances: the trees of its instances.
        path: of ``instances``, as :attr:`CgroupTree.directory` has it.
    """

    whole: Cgroup
    helpers: Cgroup
    instances: Cgroup
    path: str
