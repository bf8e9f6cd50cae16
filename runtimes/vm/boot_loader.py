"""GRUB, for firmware of both kinds, made from the files of Debian's packages.

The image for a BIOS is in two parts (GRUB manual, "Images"): ``boot.img`` is the disk's first sector and reads the
first sector of ``core.img``, which reads the rest of it. Where to read is written into both here, at the offsets of
GRUB's ``grub/i386/pc/boot.h`` and ``grub/offsets.h``, as its ``grub-bios-setup`` would do on a disk that is attached.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import HostError

BOOT_LABEL = "bench-boot"
"""Label of the file system with the kernel, by which GRUB finds it among all disks."""

CONFIGURATION_NAME = "grub/grub.cfg"
KERNEL_NAME = "vmlinuz"
INITRAMFS_NAME = "initramfs"
"""Files in it."""

SECTOR = 512
_GRUB = Path("/usr/lib/grub")
_MODULES = ("part_gpt", "ext2", "search_label", "normal", "configfile", "linux", "echo", "halt")
_FIND = f"search.fs_label {BOOT_LABEL} root\nconfigfile ($root)/{CONFIGURATION_NAME}\n"
_PLATFORMS = {
    "i386-pc": (
        "grub-pc-bin",
        (*_MODULES, "biosdisk", "serial", "terminal"),
        # There is no screen, and SeaBIOS has no other console; OVMF has the serial port.
        "serial --unit=0 --speed=115200\nterminal_output serial\n" + _FIND,
    ),
    "x86_64-efi": ("grub-efi-amd64-bin", _MODULES, _FIND),
}
"""By GRUB's name of a platform: Debian's package for it, modules, and what GRUB does first."""

_BOOT_CODE = 440
"""Bytes of the first sector before the partition table's own."""

_CORE_SECTOR_OFFSET = 0x5C
_DRIVE_CHECK_OFFSET = 0x66
_NO_OPERATIONS = b"\x90\x90"
_BLOCK_LIST_OFFSET = SECTOR - 12


@dataclass(frozen=True, slots=True)
class BootLoader:
    """GRUB.

    Attributes:
        boot: code for the disk's first sector.
        core: for a BIOS, what goes into a partition of its own.
        efi: for UEFI, the file ``EFI/BOOT/BOOTX64.EFI``.
    """

    boot: bytes
    core: bytes
    efi: bytes

    def boot_code(self, core_sector: int) -> bytes:
        """The first bytes of a disk that has the core at a sector."""
        code = bytearray(self.boot[:_BOOT_CODE])
        struct.pack_into("<Q", code, _CORE_SECTOR_OFFSET, core_sector)
        # GRUB else mistrusts the number by which the BIOS calls a disk.
        code[_DRIVE_CHECK_OFFSET : _DRIVE_CHECK_OFFSET + 2] = _NO_OPERATIONS
        return bytes(code)

    def core_at(self, sector: int) -> bytes:
        """The core as it lies on a disk from a sector on; its first sector says where the others are."""
        core = bytearray(self.core)
        struct.pack_into("<Q", core, _BLOCK_LIST_OFFSET, sector + 1)
        return bytes(core)


def make_boot_loader() -> BootLoader:
    """Put GRUB together for both firmwares.

    Raises:
        HostError: GRUB's packages are not installed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-grub-") as directory:
        made = {platform: _make_core(platform, Path(directory)) for platform in _PLATFORMS}
    return BootLoader((_GRUB / "i386-pc" / "boot.img").read_bytes(), made["i386-pc"], made["x86_64-efi"])


def configuration(arguments: str) -> str:
    """``grub.cfg`` for the one kernel, which is started at once; where that fails, the guest says so and ends.

    Args:
        arguments: the kernel's command line.
    """
    return (
        f"if linux /{KERNEL_NAME} {arguments}; then if initrd /{INITRAMFS_NAME}; then boot; fi; fi\n"
        'echo "bench-init: GRUB could not start the kernel; has the guest enough memory?"\n'
        "halt\n"
    )


def run_tool(
    argv: Sequence[str | os.PathLike[str]], package: str, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> None:
    """Run a program that makes a part of a disk.

    Args:
        argv: program and arguments; system directories are searched for it.
        package: the Debian package that has it.
        environment: variables on top of this process's.
        stdin: what it reads.

    Raises:
        HostError: it is not installed, or failed.
    """
    program = shutil.which(argv[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise HostError(f"boot: disk needs {argv[0]}: apt-get install {package}")
    done = subprocess.run(
        [program, *argv[1:]],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        raise HostError(f"boot: disk: {argv[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def _make_core(platform: str, work: Path) -> bytes:
    package, modules, first = _PLATFORMS[platform]
    directory = _GRUB / platform
    if not directory.is_dir():
        raise HostError(f"boot: disk needs GRUB in {directory}: apt-get install {package}")
    early, core = work / f"{platform}.cfg", work / platform
    early.write_text(first)
    run_tool(
        ["grub-mkimage", "-O", platform, "-d", directory, "-c", early, "-p", "/grub", "-o", core, *modules],
        "grub-common",
    )
    return core.read_bytes()
