"""A root file system in memory, put together from the layers of an image, and written as one archive.

Only names, owners, rights and links are in memory; contents stay in the archives that they come from until they are
written. Every name is looked up in this tree and nowhere else: links are followed inside of it, so that nothing that an
archive has in it, names with ``..`` and links to anywhere among it, ever reaches a file of the host. What comes out has
only sorted names without links on their way, which any tar unpacks safely.

Layers are those of OCI images (OCI image specification, "Image Layer Filesystem Changeset"): a file ``.wh.NAME``
removes what lower layers have as ``NAME``, and ``.wh..wh..opq`` all that they have in its directory.
"""

from __future__ import annotations

import copy
import io
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from workloads.errors import InvalidInput
from workloads.image.packed import DAMAGES
from workloads.image.recipe import EPOCH

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KEPT_HEADERS = ("SCHILY.xattr.", "mtime")
_OF_THE_HOST = ("SCHILY.xattr.security.selinux", "SCHILY.xattr.trusted.")
"""Attributes that the host on which an archive was made had for itself: its policy's, and those that only root sees."""

_MAX_LINKS = 40
"""As many symbolic links the kernel follows in one path (MAXSYMLINKS in linux/namei.h)."""

_PATH_MAX = 4096
"""Bytes of the longest path with the zero at its end (PATH_MAX in linux/limits.h)."""

_MAX_READ = 16 << 20
"""Bytes of the largest list of packages that is read; that of a desktop with 3,000 has 4 MiB."""

_SHOWN_NAMES = 3
_SHOWN_LETTERS = 60

BLOCK = 4096
_NAME_SIZE = 12
"""Bytes of an entry in a directory of ext4 besides the name, with what it is filled up with."""

_IN_THE_INODE = 59
"""Bytes of a symbolic link that takes no block (kernel documentation, ext4, "Symbolic Links")."""


@dataclass(slots=True)
class Node:
    """One name and what it stands for.

    Attributes:
        member: owner, rights, times, kind and target; its name is not used.
        content: of a regular file: the archive that it is in, or the bytes.
        children: of a directory, by name; None for everything else.
        layer: the last one that had it, or something in it.
        inode: the same for all names of one file.
    """

    member: tarfile.TarInfo
    content: tarfile.TarFile | bytes | None = None
    children: dict[str, Node] | None = None
    layer: int = 0
    inode: object = field(default_factory=object)

    def open(self) -> BinaryIO:
        """What a regular file holds."""
        if isinstance(self.content, tarfile.TarFile):
            file = self.content.extractfile(self.member)
            assert file is not None, "the member is a regular file"
            return cast("BinaryIO", file)
        return io.BytesIO(self.content or b"")


@dataclass(slots=True)
class RootTree:
    """A root file system.

    Attributes:
        root: its top.
        notes: what was left out of it, for people.
        source: where it is from, in messages.
    """

    root: Node = field(default_factory=lambda: _directory(0))
    notes: list[str] = field(default_factory=list)
    source: str = "the root file system"
    _layer: int = 0

    def apply(self, archive: tarfile.TarFile, source: str, *, whiteouts: bool) -> None:
        """Put a layer on top.

        Args:
            archive: uncompressed, and open until the tree is written.
            source: what it is called in messages.
            whiteouts: whether names that begin with ``.wh.`` remove what lower layers have.

        Raises:
            InvalidInput: it is damaged, or has in it what no root file system has.
        """
        self._layer += 1
        left_out: list[str] = []
        try:
            for member in archive:
                names = _names(member.name, source)
                if member.size < 0:  # the next would be looked for before it, again and again
                    raise InvalidInput(f"{source}: damaged: {'/'.join(names)!r} has {member.size} bytes")
                if whiteouts and names and names[-1].startswith(_WHITEOUT):
                    self._remove(names, source)
                elif not self._add(names, member, archive, source):
                    left_out.append("/".join(names))
            _require_end(archive, source, whole=whiteouts)
        except DAMAGES as error:
            raise InvalidInput(f"{source}: damaged, or no tar archive: {error}") from error
        if left_out:
            shown = ", ".join(map(printable, left_out[:_SHOWN_NAMES])) + (", …" if len(left_out) > _SHOWN_NAMES else "")
            self.notes.append(f"{source}: left out {len(left_out)} that are neither files, links nor pipes: {shown}")

    def find(self, path: str) -> Node | None:
        """What is at a path, links followed; None if nothing is."""
        found = self._walk(path)
        return None if found is None else found[1]

    def real_path(self, path: str) -> str | None:
        """The path of the same without links; None if nothing is there."""
        found = self._walk(path)
        return None if found is None else "/" + "/".join(found[0])

    def read(self, path: str) -> bytes | None:
        """What the file at a path holds; None if there is none.

        Raises:
            InvalidInput: it is too large for what is read so, lists and descriptions of a system.
        """
        node = self.find(path)
        if node is not None and node.member.isreg() and node.member.size > _MAX_READ:
            raise InvalidInput(
                f"{self.source}: its {path} has {node.member.size:,} bytes; expected {_MAX_READ:,} at most"
            )
        return self.start(path, _MAX_READ)

    def start(self, path: str, length: int) -> bytes | None:
        """The first bytes of the file at a path; None if there is none.

        Raises:
            InvalidInput: the archive that it is in is damaged.
        """
        node = self.find(path)
        if node is None or not node.member.isreg():
            return None
        try:
            with node.open() as file:
                return file.read(min(length, node.member.size))
        except tarfile.TarError as error:
            raise InvalidInput(f"{self.source}: {path} cannot be read: {error}") from error

    def sizes(self) -> Iterator[tuple[str, int]]:
        """The first name of each inode, and the bytes that its content takes, in whole blocks.

        Raises:
            InvalidInput: a path is longer than the kernel takes.
        """
        seen: set[int] = set()
        for name, node in self._walked():
            if id(node.inode) not in seen:
                seen.add(id(node.inode))
                yield name, _size(node)

    def add_mount_point(self, name: str, mode: int = 0o755) -> None:
        """See to it that there is a directory at the top, to mount something on: what else is there gives way.

        Whoever mounts on a link would mount where it leads, and that may be outside of the root.
        """
        self._layer += 1
        assert self.root.children is not None
        there = self.root.children.get(name)
        if there is not None and there.children is not None:
            return
        if there is not None:
            self.notes.append(f"/{name} is a directory now, to mount on: it was a link or a file")
        self.root.children[name] = _directory(self._layer, mode)

    def add_file(self, path: str, content: bytes, mode: int) -> None:
        """Put a file of root's at a path, in place of what is there, with directories where there are none."""
        member = tarfile.TarInfo()
        member.mode, member.size, member.mtime = mode, len(content), EPOCH
        self._put(path, Node(member, content))

    def add_link(self, path: str, target: str) -> None:
        """Put a symbolic link of root's at a path, in place of what is there."""
        member = tarfile.TarInfo()
        member.type, member.linkname, member.mode, member.mtime = tarfile.SYMTYPE, target, 0o777, EPOCH
        self._put(path, Node(member))

    def children(self, path: str) -> dict[str, Node]:
        """What is in the directory at a path, by name; nothing where there is none."""
        node = self.find(path)
        return {} if node is None or node.children is None else dict(node.children)

    def write(self, file: BinaryIO) -> tuple[int, int]:
        """Write everything as one archive, names sorted; return how many inodes it has, and bytes in whole blocks.

        Raises:
            InvalidInput: an archive that something comes from is damaged, or a path is longer than the kernel takes.
        """
        first_names: dict[int, str] = {}
        size = 0
        try:
            with tarfile.open(
                fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
            ) as archive:
                for name, node in self._walked():
                    first = first_names.setdefault(id(node.inode), name)
                    if first != name:
                        link = tarfile.TarInfo(name)
                        link.type, link.linkname = tarfile.LNKTYPE, first
                        archive.addfile(link)
                        continue
                    size += _size(node)
                    _write(archive, name, node)
        except tarfile.TarError as error:
            raise InvalidInput(f"{self.source}: the archive cannot be read: {error}") from error
        return len(first_names), size

    def _walked(self) -> Iterator[tuple[str, Node]]:
        """Everything from the top down, each directory before what is in it, names sorted.

        Raises:
            InvalidInput: a path is longer than the kernel takes; links in archives can make such.
        """
        pending = [(".", self.root)]
        while pending:
            name, node = pending.pop()
            if len(_encoded(name)) >= _PATH_MAX:
                raise InvalidInput(f"{self.source}: {_too_long(name)}")
            yield name, node
            below = sorted((node.children or {}).items(), key=lambda item: _encoded(item[0]), reverse=True)
            pending += [(own if name == "." else f"{name}/{own}", child) for own, child in below]

    def _add(self, names: list[str], member: tarfile.TarInfo, archive: tarfile.TarFile, source: str) -> bool:
        """Take in one member; return whether it is of a kind that is taken in."""
        if member.isdir():
            self._add_directory(names, member, source)
            return True
        if not names:
            raise InvalidInput(f"{source}: its top is not a directory")
        parent = self._directory_at(names[:-1], source)
        assert parent.children is not None
        if member.islnk():
            target = self._link_target(member.linkname, source)
            parent.children[names[-1]] = Node(target.member, target.content, None, self._layer, target.inode)
        elif member.isreg():
            parent.children[names[-1]] = Node(member, archive, None, self._layer)
        elif member.issym() or member.isfifo():
            if len(_encoded(member.linkname)) >= _PATH_MAX:
                raise InvalidInput(f"{source}: {'/'.join(names)!r}: {_too_long(member.linkname)}")
            parent.children[names[-1]] = Node(member, None, None, self._layer)
        else:
            parent.children.pop(names[-1], None)
            return False
        return True

    def _add_directory(self, names: list[str], member: tarfile.TarInfo, source: str) -> None:
        if not names:
            self.root.member, self.root.layer = member, self._layer
            return
        parent = self._directory_at(names[:-1], source)
        assert parent.children is not None
        there = parent.children.get(names[-1])
        children = {} if there is None or there.children is None else there.children
        parent.children[names[-1]] = Node(member, None, children, self._layer)

    def _remove(self, names: list[str], source: str) -> None:
        """Do what a whiteout says. What this layer itself has, it leaves."""
        found = self._walk("/".join(names[:-1]))
        if found is None or found[1].children is None:
            return
        directory = found[1]
        assert directory.children is not None
        if names[-1] == _OPAQUE:
            self._purge(directory)
            return
        name = names[-1].removeprefix(_WHITEOUT)
        if name in {"", ".", ".."}:
            raise InvalidInput(f"{source}: the whiteout {'/'.join(names)!r} names nothing")
        there = directory.children.get(name)
        if there is None:
            return
        if there.layer < self._layer:
            del directory.children[name]
        elif there.children is not None:
            self._purge(there)

    def _purge(self, directory: Node) -> None:
        """Remove what lower layers have in a directory."""
        pending = [directory]
        while pending:
            children = pending.pop().children
            assert children is not None
            for name, child in list(children.items()):
                if child.layer < self._layer:
                    del children[name]
                elif child.children is not None:
                    pending.append(child)

    def _link_target(self, name: str, source: str) -> Node:
        names = _names(name, source)
        found = self._walk("/".join(names[:-1])) if names else None
        node = None if found is None or found[1].children is None else found[1].children.get(names[-1])
        if node is None or node.children is not None:
            raise InvalidInput(f"{source}: a hard link to {name!r}, which is no file in the archive before it")
        return node

    def _directory_at(self, names: list[str], source: str, mode: int = 0o755) -> Node:
        """The directory with this name, made if need be, and marked as one in which this layer has something.

        Raises:
            InvalidInput: something on the way is no directory.
        """
        way: list[Node] = [self.root]
        pending = list(reversed(names))
        links = 0
        while pending:
            name = pending.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                way = way[:-1] or way
                continue
            children = way[-1].children
            assert children is not None
            node = children.setdefault(name, _directory(self._layer, mode))
            if node.member.issym():
                links += 1
                if links > _MAX_LINKS:
                    raise InvalidInput(f"{source}: {'/'.join(names)!r}: too many symbolic links on the way")
                if node.member.linkname.startswith("/"):
                    way = way[:1]
                pending += reversed(node.member.linkname.split("/"))
                continue
            if node.children is None:
                raise InvalidInput(f"{source}: {'/'.join(names)!r}: {name!r} is no directory")
            way.append(node)
        for node in way:
            node.layer = self._layer
        return way[-1]

    def _walk(self, path: str) -> tuple[list[str], Node] | None:
        """Names without links down to what is at a path, and it itself; None if nothing is."""
        way: list[tuple[str, Node]] = []
        pending = list(reversed(path.split("/")))
        links = 0
        while pending:
            name = pending.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                way = way[:-1]
                continue
            children = (way[-1][1] if way else self.root).children
            node = None if children is None else children.get(name)
            if node is None:
                return None
            if node.member.issym():
                links += 1
                if links > _MAX_LINKS:
                    return None
                if node.member.linkname.startswith("/"):
                    way = []
                pending += reversed(node.member.linkname.split("/"))
                continue
            way.append((name, node))
        return [name for name, _ in way], way[-1][1] if way else self.root

    def _put(self, path: str, node: Node) -> None:
        self._layer += 1
        names = path.strip("/").split("/")
        parent = self._directory_at(names[:-1], self.source)
        assert parent.children is not None
        parent.children[names[-1]] = node


def _directory(layer: int, mode: int = 0o755) -> Node:
    """A directory of root's that nobody has described."""
    member = tarfile.TarInfo()
    member.type, member.mode, member.mtime = tarfile.DIRTYPE, mode, EPOCH
    return Node(member, None, {}, layer)


def _names(name: str, source: str) -> list[str]:
    """The names from the top down to a member, which may not climb."""
    names = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in names or "\0" in name:
        raise InvalidInput(f"{source}: refused: it has the name {name!r}, which leads out of the root")
    if len(_encoded(name)) >= _PATH_MAX:
        raise InvalidInput(f"{source}: {_too_long(name)}")
    return names


def _require_end(archive: tarfile.TarFile, source: str, *, whole: bool) -> None:
    """Check that an archive was read to the mark of its end: :mod:`tarfile` also ends where a header is damaged.

    A layer is known by its digest to be ``whole``, and some tools (umoci) leave the mark out.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if whole and not block:
        return
    if block.strip(b"\0") or len(block) < tarfile.BLOCKSIZE:
        raise InvalidInput(f"{source}: damaged or cut short: no end of the archive at byte {archive.offset}")


def _size(node: Node) -> int:
    """Bytes that the content of an inode takes on ext4, in whole blocks."""
    if node.children is not None:
        size = max(1, sum(_NAME_SIZE + len(_encoded(name)) for name in node.children))
    elif node.member.issym():
        size = len(node.member.linkname) if len(node.member.linkname) > _IN_THE_INODE else 0
    else:
        size = node.member.size if node.member.isreg() else 0
    return -(-size // BLOCK) * BLOCK


def _too_long(name: str) -> str:
    return (
        f"the path {printable(name[:_SHOWN_LETTERS])}… has {len(_encoded(name))} bytes, "
        f"and Linux takes no more than {_PATH_MAX - 1}"
    )


def printable(name: str) -> str:
    """A name, with what is no UTF-8 in it replaced."""
    return _encoded(name).decode("utf-8", "replace")


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _write(archive: tarfile.TarFile, name: str, node: Node) -> None:
    member = copy.copy(node.member)
    member.name, member.uname, member.gname = name, "", ""
    member.mode = stat.S_IMODE(member.mode)
    member.pax_headers = _kept_headers(node.member.pax_headers)
    if isinstance(member.mtime, float):
        member.mtime = int(member.mtime)
    if not member.isreg():
        member.size = 0
        archive.addfile(member)
        return
    member.type = tarfile.REGTYPE
    with node.open() as content:
        archive.addfile(member, content)


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Extended attributes and exact times; everything else is in the member's own fields."""
    return {
        key: value
        for key, value in sorted(headers.items())
        if key.startswith(_KEPT_HEADERS) and not key.startswith(_OF_THE_HOST)
    }
