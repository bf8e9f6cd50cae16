"""The image's root file system as a directory, for where no loop device can be had.

It lies beside the image's file, one for every way in which user ids are mapped, since the files in it belong to the ids
that the image's have on the host; so it goes when the image does. It is unpacked in a directory of another name and
renamed when it is whole and on the disk. ``debugfs`` unpacks, and what it does not keep (owners of links, set-user-id
bits, hard links, extended attributes, times of links) is set afterwards from the file system's own list, against which
everything is checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import HostError

_TREE = "root"
_ROOT_INODE = 2
_SKIPPED = {".", "..", "lost+found"}
_LINE = re.compile(r"/(\d+)/(\d+)/(\d+)/(\d+)/([^/]+)/(\d*)/")
"""Inode, mode, user, group, name and size of an entry, as ``ls -p`` of debugfs(8) prints them."""


_ATTRIBUTE = re.compile(r"^  (\S+) \(\d+\)", re.MULTILINE)
"""Name and size of an attribute, as ``ea_list`` prints them."""

_STATUS = re.compile(
    r"^Inode: (\d+) .*Mode: +(\d+) (?:.*\n)+? mtime: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))? ", re.MULTILINE
)
"""Inode, rights, and seconds with what stands beside them of the time of change, as ``stat`` prints them."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One name in the image."""

    path: str
    inode: int
    mode: int
    user: int
    group: int
    size: int


def unpacked_root(rootfs: Path) -> Path:
    """The directory with the contents of an ext4 file, unpacked now if it is not there. To be called as user 0.

    Ids that this user namespace does not have become 0.

    Raises:
        HostError: there is no debugfs, no room, the directory of ``rootfs`` cannot be written, or what is there is
            not this user's.
    """
    maps = "".join(Path(f"/proc/self/{name}_map").read_text() for name in ("uid", "gid"))
    place = rootfs.with_name(f"root-{hashlib.sha256(' '.join(maps.split()).encode()).hexdigest()[:8]}")
    if _is_there(place):
        return place / _TREE
    try:
        with _locked(rootfs.with_name("root.lock")):
            for left in place.parent.glob(f".{place.name}-*"):
                shutil.rmtree(left)
            if not _is_there(place):
                _unpack(rootfs, place)
    except OSError as error:
        raise HostError(
            f"cannot unpack {rootfs} beside it: {error}; free some space, or set BENCH_CACHE to a directory of your own"
        ) from error
    return place / _TREE


def _is_there(place: Path) -> bool:
    """Whether the image was unpacked there by this user: what others put there is not run.

    Raises:
        HostError: it is a link, or another user's.
    """
    try:
        status = place.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HostError(
            f"{place} is not a directory of this user's own; remove it, or set BENCH_CACHE to a directory of your own"
        )
    return True


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(rootfs: Path, place: Path) -> None:
    program = shutil.which("debugfs", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise HostError("debugfs is neither in PATH nor in /usr/sbin or /sbin; apt-get install e2fsprogs")
    unpacking = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    unpacking.mkdir(mode=0o700)
    tree = unpacking / _TREE
    try:
        tree.mkdir()
        complaints = _debugfs(program, rootfs, [f'rdump / "{tree}"'])[1]
        entries = list(_entries(program, rootfs))
        _complete(tree, entries, complaints)
        _set_attributes(program, rootfs, tree, entries)
        _set_times(program, rootfs, tree, entries)
        subprocess.run(["sync", "--file-system", unpacking], check=True)
        unpacking.rename(place)
    except BaseException:
        shutil.rmtree(unpacking)
        raise


def _debugfs(program: str, rootfs: Path, commands: Iterable[str]) -> tuple[str, str]:
    """Standard output and error of debugfs, which ends with 0 whatever it could not do."""
    done = subprocess.run(
        [program, "-f", "-", str(rootfs)],
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HostError(f"cannot read {rootfs}: debugfs said {done.stderr.strip()!r}")
    return done.stdout, done.stderr


def _entries(program: str, rootfs: Path) -> Iterator[_Entry]:
    """Every name in the file system, directories before what is in them."""
    level = {_ROOT_INODE: ""}
    while level:
        listing, _ = _debugfs(program, rootfs, (f"ls -p <{inode}>" for inode in level))
        below: dict[int, str] = {}
        for part in listing.split("debugfs: ls -p <")[1:]:
            directory = level[int(part.partition(">")[0])]
            for inode, mode, user, group, name, size in _LINE.findall(part):
                if name in _SKIPPED or inode == "0":
                    continue
                path = f"{directory}/{name}"
                yield _Entry(path, int(inode), int(mode, 8), int(user), int(group), int(size or 0))
                if stat.S_ISDIR(int(mode, 8)):
                    below[int(inode)] = path
        level = below


def _set_attributes(program: str, rootfs: Path, tree: Path, entries: Iterable[_Entry]) -> None:
    """Give files and directories their extended attributes, such as capabilities, as far as this user may."""
    paths = {entry.inode: entry.path for entry in entries if not stat.S_ISLNK(entry.mode)}
    listed, _ = _debugfs(program, rootfs, (f"ea_list <{inode}>" for inode in paths))
    found = [
        (int(part.partition(">")[0]), name)
        for part in listed.split("debugfs: ea_list <")[1:]
        for name in _ATTRIBUTE.findall(part)
    ]
    told, _ = _debugfs(program, rootfs, (f"ea_get -x <{inode}> {name}" for inode, name in found))
    values = re.findall(r"^debugfs: ea_get .*\n.* \(\d+\) = ([0-9a-f ]*)$", told, re.MULTILINE)
    for (inode, name), value in zip(found, values, strict=True):
        with contextlib.suppress(OSError):  # not in this namespace, or not on this file system
            os.setxattr(tree / paths[inode].lstrip("/"), name, bytes.fromhex(value))


def _set_times(program: str, rootfs: Path, tree: Path, entries: Iterable[_Entry]) -> None:
    """Give everything its time of change: directories after what is in them, and the top, whose rights it gets too."""
    paths = {_ROOT_INODE: "", **{entry.inode: entry.path for entry in entries if _is_unpacked(entry.mode)}}
    told, _ = _debugfs(program, rootfs, (f"stat <{inode}>" for inode in paths))
    found = {int(inode): (mode, seconds, extra) for inode, mode, seconds, extra in _STATUS.findall(told)}
    for inode, path in reversed(paths.items()):
        mode, seconds, extra = found[inode]
        if inode == _ROOT_INODE:
            tree.chmod(int(mode, 8))
        # The lowest two bits belong to the seconds (kernel documentation, ext4, "Inode Timestamps").
        (signed,) = struct.unpack("<i", struct.pack("<I", int(seconds, 16)))
        whole = signed + ((int(extra or "0", 16) & 3) << 32)
        moment = whole * 10**9 + (int(extra or "0", 16) >> 2)
        os.utime(tree / path.lstrip("/"), ns=(moment, moment), follow_symlinks=False)


def _is_unpacked(mode: int) -> bool:
    """Whether it is of a kind that is unpacked: every root gets devices and pipes of its own."""
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _complete(tree: Path, entries: list[_Entry], complaints: str) -> None:
    """Check that everything is in the tree, and give it what debugfs did not.

    Raises:
        HostError: something is missing.
    """
    if not entries:
        raise HostError(_incomplete("/", complaints))
    first: dict[int, Path] = {}
    for entry in entries:
        path = tree / entry.path.lstrip("/")
        if not _is_unpacked(entry.mode):
            continue
        if stat.S_ISREG(entry.mode) and entry.inode in first:
            path.unlink(missing_ok=True)
            path.hardlink_to(first[entry.inode])
            continue
        first[entry.inode] = path
        try:
            status = path.lstat()
        except FileNotFoundError:
            raise HostError(_incomplete(entry.path, complaints)) from None
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(entry.mode) or (
            stat.S_ISREG(entry.mode) and status.st_size != entry.size
        ):
            raise HostError(_incomplete(entry.path, complaints))
        if (status.st_uid, status.st_gid) != (entry.user, entry.group):
            for user, group in ((entry.user, -1), (-1, entry.group)):
                with contextlib.suppress(OSError):  # there is no such id here
                    os.chown(path, user, group, follow_symlinks=False)
        if not stat.S_ISLNK(entry.mode):
            # After the owner: a change of it clears the set-user-id bit.
            path.chmod(stat.S_IMODE(entry.mode))


def _incomplete(path: str, complaints: str) -> str:
    said = [line for line in complaints.splitlines() if not line.startswith("debugfs ")]
    return f"the image cannot be unpacked: {path} is missing or incomplete" + (f"; {said[-1]}" if said else "")
