"""The agent in a chroot of the image, on the bare host: the native arm, and the peer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtimes import storage
from runtimes.base import InstanceError
from runtimes.facilities import Facilities
from runtimes.launcher.rootfs import mount_root, unmount_root


@contextmanager
def chroot(facilities: Facilities, name: str, scratch: Path | None) -> Iterator[Path]:
    """Mount the image with a fresh overlay in the run's mount namespace, ready to be changed to.

    Args:
        facilities: the run's.
        name: unique in the run.
        scratch: a file with the ext4 file system for ``/scratch``, or None.

    Yields:
        The root.

    Raises:
        HostError: there is no loop device.
        InstanceError: something could not be mounted.
    """
    staging = facilities.directory / name
    with ExitStack() as stack:
        device = stack.enter_context(storage.attach_loop(scratch, read_only=False)) if scratch is not None else None
        staging.mkdir()
        stack.callback(staging.rmdir)
        # Once for the first mount; a failure after it leaves mounts that go with it.
        try:
            root = mount_root(str(facilities.root), str(staging), str(device) if device else None)
        except OSError as error:
            if staging.is_mount():
                unmount_root(str(staging))
            raise InstanceError(f"cannot mount the root of {name}: {error}") from error
        stack.callback(unmount_root, str(staging))
        yield Path(root)
