"""Small root file systems, and images of them made by hand and by others' tools, for tests of the import."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from workloads.image.root_tree import RootTree


def member(name, content=b"", **fields):
    """A member of an archive, and its content."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def directory(name, mode=0o755, **fields):
    return member(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def link(name, target, **fields):
    return member(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def hard_link(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


CAPABILITY = "\x01\x00\x00\x02\x00\x04" + "\x00" * 14
"""cap_net_bind_service+ep (capabilities(7), "File capability extended attribute versioning")."""


def capable(name, content, **fields):
    """A program with a capability."""
    return member(name, content, pax_headers={"SCHILY.xattr.security.capability": CAPABILITY}, **fields)


def sparse(name, content, size, **fields):
    """A file that has ``size`` bytes, of which those of ``content`` are in the archive and the rest are zeros."""
    headers = {"GNU.sparse.size": str(size), "GNU.sparse.map": f"0,{len(content)}"}
    return member(name, content, pax_headers=headers, **fields)


def archive(*members):
    """The bytes of an archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for info, content in members:
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()


def tree_of(*layers, whiteouts=True):
    """The tree of layers, each the bytes of an archive."""
    tree = RootTree()
    for number, layer in enumerate(layers, start=1):
        opened = tarfile.open(fileobj=io.BytesIO(layer), mode="r:")  # noqa: SIM115  # the tree reads it later
        tree.apply(opened, f"layer {number}", whiteouts=whiteouts)
    return tree


def written(tree):
    """What a tree is written as: name → member."""
    file = io.BytesIO()
    tree.write(file)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as opened:
        return {info.name: info for info in opened}


def tool(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, **options)


def make_layout(place: Path, tag: str, *layers):
    """An OCI image layout with an image of these layers, by umoci."""
    if not place.exists():
        tool("umoci", "init", "--layout", place)
    tool("umoci", "new", "--image", f"{place}:{tag}")
    for number, layer in enumerate(layers):
        file = place.with_name(f"{place.name}-{number}.tar")
        file.write_bytes(layer)
        tool("umoci", "raw", "add-layer", "--image", f"{place}:{tag}", file)
        file.unlink()
