"""A root file system as a tar archive, as container engines import it: the same bytes for the same tree.

The format is pax (POSIX.1-2001), with extended attributes as GNU tar and container engines have them,
``SCHILY.xattr.NAME``.
"""

from __future__ import annotations

import os
import secrets
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_OF_EXT4 = "lost+found"
"""The directory at the top of every ext4 file system that is no part of what was put into it."""

_OF_THE_HOST = "security.selinux"
"""An attribute that the host's policy gives to every file, whatever image it is of."""

_XATTR = "SCHILY.xattr."
_NANOSECONDS = 10**9


def write_root_archive(root: Path, destination: Path | BinaryIO) -> None:
    """Write everything below a directory to an uncompressed archive.

    Kept are owners as numbers, rights, times of change, links of both kinds, device nodes, pipes and extended
    attributes. Names are sorted, so that the order in which the file system has them does not matter. Sockets are left
    out, as no archive can hold them.

    Args:
        root: the top of a tree that does not change meanwhile, such as :attr:`runtimes.facilities.Facilities.root`.
        destination: a file that is written whole or not at all, in place of what is there; or where to write.

    Raises:
        OSError: the tree could not be read, or the archive not written.
    """
    if not isinstance(destination, Path):
        _write(root, destination)
        return
    part = destination.with_name(f".{destination.name}-{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            _write(root, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


def _write(root: Path, file: BinaryIO) -> None:
    first_names: dict[tuple[int, int], str] = {}
    with tarfile.open(
        fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for path, name in _below(root, "."):
            status = path.lstat()
            if stat.S_ISSOCK(status.st_mode):
                continue
            member = _member(path, name, status)
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                first = first_names.setdefault((status.st_dev, status.st_ino), name)
                if first != name:
                    member.type, member.linkname, member.size, member.pax_headers = tarfile.LNKTYPE, first, 0, {}
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)


def _below(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A directory and all that is in it with their names in the archive, directories before what they have."""
    yield path, name
    with os.scandir(path) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        if name == "." and entry.name == _OF_EXT4:
            continue
        own = _text(os.fsencode(entry.name))
        inner = own if name == "." else f"{name}/{own}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path / entry.name, inner)
        else:
            yield path / entry.name, inner


def _member(path: Path, name: str, status: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    member.uid, member.gid = status.st_uid, status.st_gid
    seconds, fraction = divmod(status.st_mtime_ns, _NANOSECONDS)
    member.mtime = seconds
    member.pax_headers = {f"{_XATTR}{key}": value for key, value in _attributes(path)}
    if fraction:
        member.pax_headers["mtime"] = f"{seconds}.{fraction:09d}"
    if stat.S_ISREG(status.st_mode):
        member.size = status.st_size
    elif stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        target = os.readlink(os.fsencode(path))  # noqa: PTH115  # a Path would lose a slash at the end
        member.type, member.linkname = tarfile.SYMTYPE, _text(target)
    elif stat.S_ISFIFO(status.st_mode):
        member.type = tarfile.FIFOTYPE
    else:
        member.type = tarfile.BLKTYPE if stat.S_ISBLK(status.st_mode) else tarfile.CHRTYPE
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return member


def _attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Extended attributes, sorted by name."""
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if key != _OF_THE_HOST:
            yield key, _text(os.getxattr(path, key, follow_symlinks=False))


def _text(content: bytes) -> str:
    """Bytes as a string that the archive, whose encoding this is, writes back as the same bytes."""
    return content.decode("utf-8", "surrogateescape")
