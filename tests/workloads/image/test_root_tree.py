"""Layers become one tree as others make it of them, and nothing in an archive reaches out of it."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from layers import archive, capable, directory, hard_link, link, make_layout, member, sparse, tool, tree_of, written

from workloads.errors import InvalidInput


def test_upper_layers_replace_and_remove_what_lower_ones_have():
    lower = archive(
        directory("etc"),
        member("etc/kept", b"1"),
        member("etc/gone", b"1"),
        member("etc/replaced", b"1"),
        directory("opaque"),
        member("opaque/below", b"1"),
        directory("opaque/deep"),
        member("opaque/deep/below", b"1"),
        directory("tree"),
        member("tree/file", b"1"),
    )
    upper = archive(
        member("etc/.wh.gone"),
        member("etc/replaced", b"22", mode=0o600, uid=7),
        # What this layer itself has stays, whichever comes first.
        member("opaque/deep/own", b"2"),
        member("opaque/.wh..wh..opq"),
        member(".wh.tree"),
        member(".wh.never-there"),
    )
    tree = tree_of(lower, upper)
    found = written(tree)
    assert list(found) == [".", "etc", "etc/kept", "etc/replaced", "opaque", "opaque/deep", "opaque/deep/own"]
    assert (found["etc/replaced"].size, found["etc/replaced"].mode, found["etc/replaced"].uid) == (2, 0o600, 7)
    assert tree.read("/etc/replaced") == b"22"


def test_in_an_archive_without_layers_such_names_are_files():
    assert list(written(tree_of(archive(member(".wh.file")), whiteouts=False))) == [".", ".wh.file"]


def test_a_hard_link_is_to_the_file_that_was_there_then():
    lower = archive(member("first", b"old"), hard_link("second", "first"))
    upper = archive(member("first", b"new"), hard_link("third", "second"), member(".wh.second"))
    tree = tree_of(lower, upper)
    found = written(tree)
    assert list(found) == [".", "first", "third"]
    assert tree.read("/third") == b"old"
    again = written(tree_of(archive(member("b", b"x"), hard_link("a", "b"))))
    assert again["a"].size == 1
    assert (again["b"].type, again["b"].linkname) == (tarfile.LNKTYPE, "a")


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/../outside", "..", "a/.."], ids=lambda name: name)
@pytest.mark.parametrize("kind", [member, directory])
def test_a_name_that_climbs_is_refused(name, kind):
    with pytest.raises(InvalidInput, match=r"layer 1: refused: it has the name .* leads out of the root"):
        tree_of(archive(kind(name)))


@pytest.mark.parametrize("target", ["../../etc/shadow", "/etc/shadow"])
def test_a_hard_link_to_what_is_not_in_the_archive_is_refused(target):
    with pytest.raises(InvalidInput, match="layer 1: "):
        tree_of(archive(hard_link("file", target)))


@pytest.mark.parametrize("target", ["/elsewhere", "../../../elsewhere", "elsewhere"])
def test_a_file_through_a_link_lands_in_the_root(target):
    found = written(tree_of(archive(link("door", target), member("door/file", b"x"))))
    assert list(found) == [".", "door", "elsewhere", "elsewhere/file"]
    assert found["door"].issym()


def test_links_in_a_circle_and_files_in_the_way_are_refused():
    with pytest.raises(InvalidInput, match="too many symbolic links"):
        tree_of(archive(link("a", "b"), link("b", "a"), member("a/file")))
    with pytest.raises(InvalidInput, match="'a' is no directory"):
        tree_of(archive(member("a"), member("a/file")))
    with pytest.raises(InvalidInput, match="its top is not a directory"):
        tree_of(archive(member(".")))


def test_directories_may_be_as_deep_as_a_path_can_tell():
    deep = "/".join("d" * 2000)
    lower = archive(member(f"{deep}/old"))
    upper = archive(directory(f"{deep}/new"), member("d/.wh..wh..opq"))
    found = list(written(tree_of(lower, upper)))
    assert found[-1] == f"{deep}/new"
    assert len(found) == 2002


@pytest.mark.parametrize(
    "members",
    [
        [member("d/" * 2047 + "ff")],
        [link("link", "x" * 4096)],
        # Each name is short, and what it stands for is not.
        [member("/".join("d" * 1500) + "/file"), link("link", "/".join("d" * 1500)), member("link/" + "e/" * 1500)],
    ],
    ids=["name", "target", "through a link"],
)
def test_paths_longer_than_the_kernel_takes_are_refused(members):
    with pytest.raises(InvalidInput, match=r"the path \S+… has \d+ bytes, and Linux takes no more than 4095"):
        written(tree_of(archive(*members)))


def test_of_a_huge_file_the_start_is_read_alone():
    tree = tree_of(archive(sparse("bin/sh", b"start", 1 << 40)))
    assert tree.start("/bin/sh", 8) == b"start\0\0\0"
    assert dict(tree.sizes()) == {".": 4096, "bin": 4096, "bin/sh": 1 << 40}


def test_devices_are_left_out_with_a_note():
    device = member("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    tree = tree_of(archive(directory("dev"), device, member("dev/file")))
    assert list(written(tree)) == [".", "dev", "dev/file"]
    assert tree.notes == ["layer 1: left out 1 that are neither files, links nor pipes: dev/null"]


def test_an_archive_that_ends_early_is_refused():
    whole = archive(member("a", b"x" * 2000), member("b", b"y" * 2000))
    for length in (700, 2560, 3000, 3072, 4000):
        with pytest.raises(InvalidInput, match="layer 1: damaged"):
            tree_of(whole[:length], whiteouts=False)
    for length in (700, 3000, 3072, 4000):
        with pytest.raises(InvalidInput, match="layer 1: damaged"):
            tree_of(whole[:length])
    # Of a layer, whose digest is known, all is there although the mark of its end is not: umoci leaves it out.
    assert list(written(tree_of(whole[:2560]))) == [".", "a"]
    damaged = bytearray(whole)
    damaged[2560 + 100] ^= 0xFF  # in the second header
    with pytest.raises(InvalidInput, match="layer 1: damaged"):
        tree_of(bytes(damaged))


def test_what_is_looked_up_is_looked_up_in_the_root():
    tree = tree_of(
        archive(
            link("bin", "usr/bin"),
            member("usr/bin/busybox", b"b"),
            link("usr/bin/sh", "/bin/busybox"),
            link("out", "/"),
        )
    )
    assert tree.real_path("/bin/sh") == "/usr/bin/busybox"
    assert tree.read("/out/../../out/bin/sh") == b"b"
    assert tree.find("/bin/missing") is None
    assert tree.read("/bin") is None
    assert set(tree.children("/bin")) == {"busybox", "sh"}


def test_mount_points_are_directories_whatever_was_there():
    tree = tree_of(archive(link("tmp", "/etc"), directory("run", 0o700), member("proc")))
    for name in ("tmp", "run", "proc", "scratch"):
        tree.add_mount_point(name, 0o1777)
    found = written(tree)
    assert all(found[name].isdir() for name in ("tmp", "run", "proc", "scratch"))
    assert (found["run"].mode, found["tmp"].mode) == (0o700, 0o1777)
    assert len(tree.notes) == 2


def test_what_is_added_goes_through_links_of_the_root():
    tree = tree_of(archive(link("lib", "usr/lib"), directory("usr/lib")))
    tree.add_file("/lib/bench/agent", b"agent", 0o755)
    assert list(written(tree)) == [".", "lib", "usr", "usr/lib", "usr/lib/bench", "usr/lib/bench/agent"]


def described(top: Path):
    """Everything below a directory: kind, rights, owner, content, and the names of the same file."""
    found = {}
    names: dict[tuple[int, int], list[str]] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        names.setdefault((status.st_dev, status.st_ino), []).append(str(path.relative_to(top)))
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""  # noqa: PTH115
        attributes = {key: os.getxattr(path, key) for key in os.listxattr(path, follow_symlinks=False)}
        found[str(path.relative_to(top))] = (status.st_mode, status.st_uid, status.st_gid, what, attributes)
    return found, sorted(sorted(group) for group in names.values() if len(group) > 1)


@pytest.mark.host  # files of other owners
def test_umoci_makes_the_same_of_the_same_layers(tmp_path):
    layers = (
        archive(
            directory("./"),
            directory("./usr/", 0o755),
            directory("./usr/bin/"),
            link("./bin", "usr/bin"),
            capable("./usr/bin/server", b"s" * 5000, mode=0o4755, uid=3),
            hard_link("./usr/bin/also", "./usr/bin/server"),
            directory("./var/data/", 0o2770, gid=42),
            member("./var/data/old"),
            member("./var/data/kept", b"k"),
            directory("./etc/"),
            member("./etc/config", b"1"),
        ),
        archive(
            member("var/data/.wh.old"),
            directory("etc"),
            member("etc/.wh..wh..opq"),
            member("etc/new", b"2", mode=0o640, uid=1000, gid=1000),
            hard_link("usr/bin/third", "usr/bin/server"),
        ),
        archive(directory("var/data", 0o700), member("bin/tool", b"t", mode=0o755), member(".wh.nothing")),
    )  # fmt: skip
    make_layout(tmp_path / "layout", "one", *layers)
    tool("umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:one", tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    with (tmp_path / "ours.tar").open("wb") as file:
        tree_of(*layers).write(file)
    tar = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", tmp_path / "ours"]
    subprocess.run([*tar, "-f", tmp_path / "ours.tar"], check=True)
    assert described(tmp_path / "ours") == described(tmp_path / "theirs")
    assert described(tmp_path / "ours")[1] == [["usr/bin/also", "usr/bin/server", "usr/bin/third"]]
