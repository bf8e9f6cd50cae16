"""The root disk of an arm's guests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtimes import storage
from runtimes.base import GuestKernel, HostError
from runtimes.facilities import Facilities
from runtimes.vm.options import VmOptions


@contextmanager
def open_root_disk(facilities: Facilities, options: VmOptions, kernel: GuestKernel) -> Iterator[Path | None]:
    """The file that an arm's guests have as their root disk; None where it is the image itself.

    Emulated disks cannot be read-only: they get a copy of the image, which lasts as long as the arm is open.

    Raises:
        HostError: there is no room for the copy.
    """
    if options.boot == "disk":
        raise HostError(f"boot: disk cannot be had yet with kernel {kernel.release}")
    if options.devices == "virtio":
        yield None
        return
    copy = facilities.scratch_directory / f"root-{kernel.release}.ext4"
    try:
        shutil.copyfile(facilities.image.rootfs, copy)
        storage.read_file_through(copy)
        yield copy
    except OSError as error:
        raise HostError(f"cannot copy the image to {copy}: {error.strerror}") from error
    finally:
        copy.unlink(missing_ok=True)
