"""A whole bootable disk: GRUB for a BIOS and for UEFI, the kernel, and last the image's root file system.

It has what the disk of a Debian installation has: a GUID partition table, GRUB's own partition for a BIOS, an EFI
system partition, a file system with the kernel, and the root.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import HostError
from runtimes.vm.boot_loader import (
    BOOT_LABEL,
    CONFIGURATION_NAME,
    INITRAMFS_NAME,
    KERNEL_NAME,
    SECTOR,
    BootLoader,
    configuration,
    run_tool,
)

_MIB = 1 << 20
_CORE_SIZE = _MIB
_EFI_SIZE = 8 * _MIB
_BOOT_SPARE = 4 * _MIB
_TAIL = _MIB
"""For the second copy of the partition table, at the end of the disk."""

_TYPES = {
    "core": "21686148-6449-6E6F-744E-656564454649",
    "efi": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "boot": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
}
"""Partitions in their order: GRUB's, the EFI system partition, a Linux file system, a root for x86-64 (UEFI
specification, 5.3.3; UAPI Discoverable Partitions). The last is :data:`runtimes.vm.domain.boot.ROOT_PARTITION`."""

_EPOCH = "1700000000"
_FIXED_TIME = {"E2FSPROGS_FAKE_TIME": _EPOCH, "SOURCE_DATE_EPOCH": _EPOCH}


@dataclass(frozen=True, slots=True)
class DiskParts:
    """What goes on a disk.

    Attributes:
        loader: GRUB.
        bzimage: the kernel.
        initramfs: handed to it.
        arguments: the kernel's command line.
        rootfs: an ext4 file.
        identity: what the ids on the disk follow from.
    """

    loader: BootLoader
    bzimage: Path
    initramfs: Path
    arguments: str
    rootfs: Path
    identity: str


def write_disk(parts: DiskParts, target: Path) -> None:
    """Make the disk in a file, which must not exist.

    Raises:
        HostError: a tool is missing or failed, or there is no room.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent) as directory:
            work = Path(directory)
            contents = {
                "efi": _make_efi(parts, work),
                "boot": _make_boot(parts, work),
                "root": parts.rootfs,
            }
            places = _places({name: path.stat().st_size for name, path in contents.items()})
            _partition(parts, places, target)
            with target.open("r+b") as disk:
                disk.write(parts.loader.boot_code(places["core"][0] // SECTOR))
                disk.seek(places["core"][0])
                disk.write(parts.loader.core_at(places["core"][0] // SECTOR))
                for name, path in contents.items():
                    disk.seek(places[name][0])
                    with path.open("rb") as source:
                        shutil.copyfileobj(source, disk, _MIB)
    except OSError as error:
        raise HostError(f"cannot make a disk at {target}: {error.strerror}") from error


def _places(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Where each partition starts and how long it is, bytes, in whole MiB."""
    places = {}
    start = _MIB
    for name in _TYPES:
        length = -(-sizes.get(name, _CORE_SIZE) // _MIB) * _MIB
        places[name] = (start, length)
        start += length
    return places


def _partition(parts: DiskParts, places: Mapping[str, tuple[int, int]], target: Path) -> None:
    """Write the partition table, by sfdisk(8)."""
    start, length = places["root"]
    with target.open("xb") as file:
        file.truncate(start + length + _TAIL)
    lines = ["label: gpt", f"label-id: {_unique(parts, 'disk')}", "first-lba: 34"]
    for name, (start, length) in places.items():
        extent = f"start={start // SECTOR}, size={length // SECTOR}"
        lines.append(f"{extent}, type={_TYPES[name]}, uuid={_unique(parts, name)}, name={name}")
    run_tool(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", target], "fdisk", stdin="\n".join(lines) + "\n")


def _make_efi(parts: DiskParts, work: Path) -> Path:
    """The EFI system partition: one file, where firmware looks when it knows of no other (UEFI specification, 3.5)."""
    program, volume = work / "BOOTX64.EFI", work / "efi"
    program.write_bytes(parts.loader.efi)
    with volume.open("wb") as file:
        file.truncate(_EFI_SIZE)
    run_tool(["mkfs.fat", "--invariant", "-n", "EFI", volume], "dosfstools")
    run_tool(["mmd", "-i", volume, "::EFI", "::EFI/BOOT"], "mtools", _FIXED_TIME)
    run_tool(["mcopy", "-i", volume, program, "::EFI/BOOT/"], "mtools", _FIXED_TIME)
    return volume


def _make_boot(parts: DiskParts, work: Path) -> Path:
    """The file system with kernel, initramfs and GRUB's configuration."""
    tree, volume = work / "tree", work / "boot"
    (tree / CONFIGURATION_NAME).parent.mkdir(parents=True)
    (tree / CONFIGURATION_NAME).write_text(configuration(parts.arguments))
    shutil.copyfile(parts.bzimage, tree / KERNEL_NAME)
    shutil.copyfile(parts.initramfs, tree / INITRAMFS_NAME)
    size = parts.bzimage.stat().st_size + parts.initramfs.stat().st_size + _BOOT_SPARE
    unique = _unique(parts, "boot")
    run_tool(
        [
            *("mke2fs", "-q", "-t", "ext2", "-m", "0", "-L", BOOT_LABEL, "-U", unique),
            *("-E", f"hash_seed={unique},root_owner=0:0", "-d", tree, volume, f"{size >> 10}k"),
        ],
        "e2fsprogs",
        _FIXED_TIME,
    )
    return volume


def _unique(parts: DiskParts, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{parts.identity} {name}"))
