"""What of the host an engine's program sees that is started by the launcher in a mount namespace of its own.

Such programs write to fixed places below ``/run``, and ask ``/sys`` about the network that the mount belongs to, which
is the host's. So they get a ``/run`` that is empty but for the run's own directory, and the ``/sys`` of the run's
network. Both are gone with the last process in the namespace, whatever it died of.
"""

from __future__ import annotations

import os
from pathlib import Path

from runtimes.launcher.steps import Steps
from runtimes.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC

OWN_RUN = Path("/run")
"""What is in memory, and nobody else's."""

_CGROUPS = "/sys/fs/cgroup"
_KEPT = 200
"""A descriptor that nobody uses: of a directory that is about to be hidden."""


def own_surroundings(directory: Path) -> Steps:
    """The steps that make them, in a mount namespace of its own (``CLONE_NEWNS``).

    Args:
        directory: the run's own, below ``/run``; it stays where it is.
    """
    steps = Steps("give the engine a /run and a /sys of its own")
    _keep(steps, str(directory))
    steps.mount("tmpfs", str(OWN_RUN), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    steps.make_directory(str(directory))
    _bring_back(steps, str(directory))
    _keep(steps, _CGROUPS)
    steps.mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _bring_back(steps, _CGROUPS)
    return steps


def _keep(steps: Steps, directory: str) -> None:
    steps.open_as(directory, os.O_PATH | os.O_DIRECTORY, _KEPT)


def _bring_back(steps: Steps, directory: str) -> None:
    """Mount it once more, at the same place in what hides it now."""
    steps.mount(f"/proc/self/fd/{_KEPT}", directory, "", MS_BIND | MS_REC)
