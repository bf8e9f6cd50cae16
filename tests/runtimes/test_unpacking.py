"""An image unpacked is the image: owners, rights, links and all."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from runtimes import unpacking
from runtimes.base import HostError
from runtimes.unpacking import unpacked_root

pytestmark = pytest.mark.host  # files of other owners


CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service+ep (capabilities(7), "File capability extended attribute versioning")."""


@pytest.fixture
def tree(tmp_path):
    """A small tree with all that a Debian root has."""
    top = tmp_path / "tree"
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/tool").write_bytes(b"#!/bin/sh\n" * 1000)
    (top / "usr/bin/same").hardlink_to(top / "usr/bin/tool")
    (top / "usr/bin/raised").write_bytes(b"x")
    os.chown(top / "usr/bin/raised", 0, 42)
    (top / "usr/bin/raised").chmod(0o6755)
    (top / "bin").symlink_to("usr/bin")
    os.chown(top / "bin", 7, 7, follow_symlinks=False)
    (top / "a name").mkdir(mode=0o700)
    (top / "a name/ödd 'file'").touch(mode=0o400)
    os.chown(top / "a name", 1000, 1001)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.utime(top / "usr/bin/raised", (1_700_000_000, 1_700_000_000))
    os.setxattr(top / "usr/bin/raised", "security.capability", CAPABILITY)
    os.setxattr(top / "usr/bin/raised", "user.long", b"\xff" * 200)
    os.setxattr(top / "a name", "user.mark", b'a "word" = 5')
    return top


@pytest.fixture
def rootfs(tree, tmp_path):
    file = tmp_path / "image/rootfs.ext4"
    file.parent.mkdir()
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, file, "16M"], check=True, capture_output=True)
    return file


def contents(top):
    found = {}
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = Path(directory, name)
            status = path.lstat()
            what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            modified = int(status.st_mtime)  # mke2fs takes whole seconds
            links = status.st_nlink if stat.S_ISREG(status.st_mode) else None
            rights = (stat.S_IFMT(status.st_mode), status.st_mode & 0o7777, status.st_uid, status.st_gid)
            attributes = {key: os.getxattr(path, key) for key in os.listxattr(path, follow_symlinks=False)}
            found[str(path.relative_to(top))] = (*rights, what, modified, links, attributes)
    found.pop("lost+found", None)  # of every ext4
    return found


def test_everything_is_as_in_the_image(tree, rootfs):
    root = unpacked_root(rootfs)
    assert contents(root) == contents(tree)
    assert (root / "usr/bin/same").samefile(root / "usr/bin/tool")
    assert root.stat().st_mode == tree.stat().st_mode


def test_nobody_else_gets_at_programs_with_the_set_user_id_bit(rootfs):
    root = unpacked_root(rootfs)
    assert root.parent.parent == rootfs.parent
    assert root.parent.stat().st_mode & 0o777 == 0o700


def test_it_is_unpacked_once(rootfs, monkeypatch):
    root = unpacked_root(rootfs)
    monkeypatch.setattr(unpacking, "_unpack", None)
    assert unpacked_root(rootfs) == root


def test_what_another_user_put_there_is_refused(rootfs):
    place = unpacked_root(rootfs).parent
    os.chown(place, 1000, 1000)
    with pytest.raises(HostError, match="is not a directory of this user's own"):
        unpacked_root(rootfs)
    elsewhere = place.rename(place.with_name("elsewhere"))
    os.chown(elsewhere, 0, 0)
    place.symlink_to(elsewhere)
    with pytest.raises(HostError, match="is not a directory of this user's own"):
        unpacked_root(rootfs)


def test_what_a_killed_unpacking_left_is_removed(rootfs):
    place = unpacked_root(rootfs).parent
    left = place.with_name(f".{place.name}-dead")
    place.rename(left)
    assert unpacked_root(rootfs).parent == place
    assert not left.exists()


def shim(directory, monkeypatch, script):
    """Put a debugfs in the way of the real one."""
    program = directory / "shim/debugfs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_an_incomplete_unpacking_is_told_and_leaves_nothing(rootfs, tmp_path, monkeypatch):
    shim(tmp_path, monkeypatch, "exec /usr/sbin/debugfs \"$@\" | sed 's/raised/razed/'")
    with pytest.raises(HostError, match="/usr/bin/razed is missing or incomplete"):
        unpacked_root(rootfs)
    assert {path.name for path in rootfs.parent.iterdir()} == {"rootfs.ext4", "root.lock"}


def test_a_file_that_is_no_image_is_told(tmp_path):
    (tmp_path / "rootfs.ext4").write_bytes(bytes(4096))
    with pytest.raises(HostError, match="the image cannot be unpacked: / is missing or incomplete"):
        unpacked_root(tmp_path / "rootfs.ext4")
    assert {path.name for path in tmp_path.iterdir()} == {"rootfs.ext4", "root.lock"}


def test_a_place_that_cannot_be_written_is_told(rootfs, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(rootfs.parent))

    monkeypatch.setattr(unpacking, "_unpack", refuse)
    with pytest.raises(HostError, match=r"Permission denied.*set BENCH_CACHE"):
        unpacked_root(rootfs)
