"""A root file system as an archive: everything is in it, and the same tree gives the same bytes."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile

import pytest

from runtimes.root_archive import write_root_archive

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service+ep, revision 2 (capabilities(7), "File capability extended attribute versioning")."""


@pytest.fixture
def tree(tmp_path):
    """A small tree with all that a root file system has."""
    top = tmp_path / "tree"
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/tool").write_bytes(b"#!/bin/sh\n" * 1000)
    (top / "usr/bin/a").hardlink_to(top / "usr/bin/tool")
    (top / "bin").symlink_to("usr/bin")
    (top / os.fsdecode(b"n\xf6t utf-8")).write_bytes(b"x")
    (top / "schön").symlink_to("/" + "long/" * 40)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.mkfifo(top / "pipe")
    (top / "lost+found").mkdir()
    os.utime(top / "usr/bin/tool", ns=(0, 1_600_000_000_123_456_789))
    return top


def archived(tree):
    file = io.BytesIO()
    write_root_archive(tree, file)
    return file.getvalue()


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content), encoding="utf-8", errors="surrogateescape") as archive:
        return {member.name: member for member in archive}


def test_names_are_sorted_and_directories_come_before_what_they_have(tree):
    assert list(members(archived(tree))) == [
        ".", "bin", "n\udcf6t utf-8", "pipe", "schön", "sticky", "usr", "usr/bin", "usr/bin/a", "usr/bin/tool",
    ]  # fmt: skip


def test_kinds_rights_and_links_are_kept(tree):
    found = members(archived(tree))
    assert found["usr/bin/tool"].islnk()
    assert found["usr/bin/tool"].linkname == "usr/bin/a"
    assert found["usr/bin/a"].size == 10_000
    assert found["bin"].linkname == "usr/bin"
    assert found["schön"].linkname == "/" + "long/" * 40
    assert found["sticky"].mode == 0o1777
    assert found["pipe"].isfifo()
    assert found["usr/bin/a"].pax_headers["mtime"] == "1600000000.123456789"


def test_the_same_tree_copied_in_another_order_gives_the_same_bytes(tree, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(tree, again, symlinks=True, copy_function=shutil.copy2, ignore=lambda *_: ["bin", "pipe", "schön"])
    (again / "usr/bin").mkdir()
    shutil.copy2(tree / "usr/bin/tool", again / "usr/bin/tool")
    (again / "usr/bin/a").hardlink_to(again / "usr/bin/tool")
    os.mkfifo(again / "pipe")
    for name in ("schön", "bin"):
        os.symlink(os.readlink(tree / name), again / name)  # noqa: PTH115, PTH211  # a Path loses a slash at the end
    for path in (tree, *tree.rglob("*")):
        status = path.lstat()
        os.utime(again / path.relative_to(tree), ns=(0, status.st_mtime_ns), follow_symlinks=False)
    assert archived(again) == archived(tree)


def test_sockets_are_left_out(tree):
    before = archived(tree)
    modified = tree.stat().st_mtime_ns
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tree / "socket"))
    os.utime(tree, ns=(0, modified))
    assert archived(tree) == before


@pytest.mark.host  # files of other owners
def test_owners_devices_and_attributes_come_back_by_gnu_tar(tree, tmp_path):
    (tree / "usr/bin/server").write_bytes(b"x")
    os.chown(tree / "usr/bin/server", 3_000_000, 42)
    (tree / "usr/bin/server").chmod(0o4755)
    os.setxattr(tree / "usr/bin/server", "security.capability", CAPABILITY)
    os.setxattr(tree / "usr/bin/server", "user.mark", b"\xff\x00=\n")
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    target = tmp_path / "target"
    target.mkdir()
    archive = tmp_path / "root.tar"
    write_root_archive(tree, archive)
    tar = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive, "-C", target]
    subprocess.run(tar, check=True)
    server = target / "usr/bin/server"
    status = server.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (3_000_000, 42, 0o4755)
    assert os.getxattr(server, "security.capability") == CAPABILITY
    assert os.getxattr(server, "user.mark") == b"\xff\x00=\n"
    assert (target / "null").stat().st_rdev == os.makedev(1, 3)
    assert archived(target) == archived(tree)


def test_a_file_is_whole_or_not_there(tree, tmp_path):
    archive = tmp_path / "root.tar"
    archive.write_bytes(b"before")
    (tree / "usr/bin/tool").unlink()
    (tree / "usr/bin/a").unlink()
    write_root_archive(tree, archive)
    assert archive.read_bytes() == archived(tree)
    with pytest.raises(FileNotFoundError):
        write_root_archive(tmp_path / "nothing", archive)
    assert archive.read_bytes() == archived(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["tree", "root.tar"]
