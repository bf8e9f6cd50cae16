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
    """

    whole: Cgroup
    helpers: Cgroup
    directory: str | None

    def path_of(self, name: str) -> str:
        """What an OCI runtime that is started in ``helpers`` is told to make a cgroup ``name`` in the tree
        (``cgroupsPath`` of the OCI runtime specification, config-linux).
        """
        return name if self.directory is None else f"{self.directory}/{name}"


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
