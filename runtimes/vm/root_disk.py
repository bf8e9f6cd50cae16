"""The root disk of an arm's guests: the image itself, or a whole bootable disk with it.

Bootable disks are kept in the cache, in ``disks``, each under a hash of all that is on it. They are made when an arm is
opened and never in a trial; whoever uses one shares a lock on it, which pruning respects.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtimes import storage
from runtimes.base import GuestKernel, HostError
from runtimes.cache import cache_directory
from runtimes.facilities import Facilities
from runtimes.vm.boot_loader import configuration, make_boot_loader
from runtimes.vm.disk_image import DiskParts, write_disk
from runtimes.vm.domain import fixed_arguments
from runtimes.vm.options import VmOptions

_SUFFIX = ".img"
_ELF_MAGIC = b"\x7fELF"
_LAYOUT = 1
"""Raised with every change of the disk's layout."""


@contextmanager
def open_root_disk(facilities: Facilities, options: VmOptions, kernel: GuestKernel) -> Iterator[Path | None]:
    """The file that an arm's guests have as their root disk; None where it is the image itself.

    Emulated disks cannot be read-only: they get a copy, which lasts as long as the arm is open.

    Raises:
        HostError: there is no room for it, or a tool that makes a disk is missing.
    """
    with ExitStack() as stack:
        disk = None
        if options.boot == "disk":
            disk = stack.enter_context(_bootable_disk(facilities.image.rootfs, kernel, quick=options.tuned))
        if options.devices == "emulated":
            disk = stack.enter_context(_copied(disk or facilities.image.rootfs, facilities.scratch_directory))
        if disk is not None:
            storage.read_file_through(disk)
        yield disk


def prune_disks(keep: int) -> list[str]:
    """Remove bootable disks that nobody uses, but for so many of the newest; return the ids removed."""
    removed = []
    directory = cache_directory("disks")
    for identity in {path.name.split("-")[0].removeprefix(".") for path in directory.glob(".*")}:
        with contextlib.suppress(BlockingIOError), _locked(identity, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _remove_leftovers(directory, identity)
    disks = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for disk in disks[keep:]:
        with contextlib.suppress(BlockingIOError), _locked(disk.stem, fcntl.LOCK_EX | fcntl.LOCK_NB):
            disk.unlink(missing_ok=True)
            removed.append(disk.stem)
    return removed


@contextmanager
def _copied(source: Path, directory: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix="root-", dir=directory)
    os.close(handle)
    copy = Path(name)
    try:
        try:
            shutil.copyfile(source, copy)
        except OSError as error:
            raise HostError(f"cannot copy the image to {copy}: {error.strerror}") from error
        yield copy
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def _bootable_disk(rootfs: Path, kernel: GuestKernel, *, quick: bool) -> Iterator[Path]:
    """The disk with a root file system and a kernel, from the cache or made now, kept from being pruned."""
    with kernel.bzimage.open("rb") as file:
        if file.read(len(_ELF_MAGIC)) == _ELF_MAGIC:
            raise HostError(f"boot: disk: {kernel.bzimage} is an unpacked kernel, and GRUB starts a bzImage")
    loader = make_boot_loader()
    arguments = fixed_arguments(quick=quick)
    digest = hashlib.sha256(f"{_LAYOUT}\0{configuration(arguments)}\0".encode())
    for content in (loader.boot, loader.core, loader.efi, *map(_file_digest, _files(rootfs, kernel))):
        digest.update(hashlib.sha256(content).digest())
    identity = digest.hexdigest()[:16]
    place = cache_directory("disks") / f"{identity}{_SUFFIX}"
    parts = DiskParts(loader, kernel.bzimage, kernel.initramfs, arguments, rootfs, identity)
    while True:
        # Shared as soon as it is there: another arm of this run, or another run, may use it for hours.
        with _locked(identity, fcntl.LOCK_SH):
            if place.exists():
                yield place
                return
        # Whoever else makes it is waited for above: who waits for the lock alone would wait for those who use it then.
        with contextlib.suppress(BlockingIOError), _locked(identity, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if not place.exists():
                _make_disk(parts, place)


def _make_disk(parts: DiskParts, place: Path) -> None:
    """Make a disk, whole or not at all; its lock is held alone."""
    _remove_leftovers(place.parent, parts.identity)
    building = place.with_name(f".{parts.identity}-{os.getpid()}")
    try:
        write_disk(parts, building)
        _sync(building)
        building.rename(place)
    finally:
        building.unlink(missing_ok=True)


def _remove_leftovers(directory: Path, identity: str) -> None:
    """Remove what dead builds of a disk left. Who holds its lock alone knows that none is alive."""
    for path in directory.glob(f".{identity}-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _files(rootfs: Path, kernel: GuestKernel) -> tuple[Path, ...]:
    return rootfs, kernel.bzimage, kernel.initramfs


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def _locked(identity: str, kind: int) -> Iterator[None]:
    """Hold the lock on a disk (flock(2)); its file is never removed, so that all lock the same."""
    path = cache_directory("locks") / f"disk-{identity}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
