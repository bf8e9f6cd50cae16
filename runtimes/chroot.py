"""The agent in a chroot of the image, on the bare host: the native arm, and the peer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtimes.base import InstanceError
from runtimes.cgroup import Cgroup
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.rootfs import mount_root, mount_scratch, root_below, unmount_root
from runtimes.launcher.steps import StepError, Steps


@contextmanager
def chroot(facilities: Facilities, name: str, scratch: Path | None) -> Iterator[Path]:
    """Mount the image with a fresh overlay in the run's mount namespace, ready to be changed to.

    Args:
        facilities: the run's.
        name: unique in the run.
        scratch: a block device with the ext4 file system for ``/scratch``, or None.

    Yields:
        The root.

    Raises:
        InstanceError: something could not be mounted.
    """
    staging = facilities.directory / name
    with ExitStack() as stack:
        staging.mkdir()
        stack.callback(staging.rmdir)
        # Once for the first mount; a failure after it leaves mounts that go with it.
        try:
            mount = mount_root(str(facilities.root), str(staging), rootless=facilities.rootless, own_processes=False)
            facilities.launcher.take(mount)
            if scratch is not None:
                facilities.launcher.take(mount_scratch(str(scratch), str(staging)))
        except StepError as error:
            if staging.is_mount():
                unmount_root(str(staging))
            raise InstanceError(f"{name}: {error.strerror}") from error
        stack.callback(unmount_root, str(staging))
        yield Path(root_below(str(staging)))


def run_in(root: Path, cgroup: Cgroup, cpus: Sequence[int], argv: Sequence[str]) -> tuple[Steps, ...]:
    """The steps of a process that runs a program in a root that is mounted.

    Args:
        root: where it is mounted.
        cgroup: what it joins.
        cpus: the CPUs that it may run on.
        argv: the program and its arguments.
    """
    return entry.enter(cgroup, cpus), _change_root(root), entry.run(argv)


def run_alone_in(root: Path, argv: Sequence[str]) -> tuple[Steps, ...]:
    """The same of a process that is in its cgroup and on its CPUs already; it only leaves its maker's session."""
    steps = Steps("leave the harness")
    steps.call("setsid")
    return steps, _change_root(root), entry.run(argv)


def _change_root(root: Path) -> Steps:
    change = Steps("change the root")
    change.call("chroot", str(root), about=str(root))
    change.call("chdir", "/")
    return change
