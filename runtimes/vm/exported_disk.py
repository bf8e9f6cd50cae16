"""A disk for anybody's QEMU: it boots by itself, from a BIOS and from UEFI, to a shell on its serial console."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import BinaryIO

from runtimes.vm.boot_loader import make_boot_loader
from runtimes.vm.disk_image import DiskParts, write_disk
from runtimes.vm.qcow2 import write_qcow2

_ARGUMENTS = "console=tty0 console=ttyS0 loglevel=4"
"""What its kernel is told: the last console is the one with the shell."""


def write_exported_disk(rootfs: Path, bzimage: Path, initramfs: bytes, work: Path, target: BinaryIO) -> None:
    """Write the disk to a file that begins empty, in the format qcow2. The same parts give the same bytes.

    Args:
        rootfs: the image's ext4 file.
        bzimage: a kernel with drivers for what disks the disk may be.
        initramfs: of this kernel, with :func:`runtimes.vm.standalone.build_standalone`'s program as its init.
        work: an existing directory, for a file of twice the size of all that.
        target: the file.

    Raises:
        HostError: a tool is missing or failed, or there is no room.
        OSError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="disk-", dir=work) as directory:
        early = Path(directory) / "initramfs"
        early.write_bytes(initramfs)
        digest = hashlib.sha256(_ARGUMENTS.encode())
        for path in (rootfs, bzimage, early):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        disk = Path(directory) / "disk"
        write_disk(DiskParts(make_boot_loader(), bzimage, early, _ARGUMENTS, rootfs, digest.hexdigest()[:16]), disk)
        write_qcow2(disk, target)
