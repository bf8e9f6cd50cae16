"""What is imported is known by its content, gets what the harness needs, and is refused where something is missing."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import subprocess
import tarfile

import pytest
from layers import CAPABILITY, archive, capable, directory, hard_link, link, make_layout, member, sparse, tool

from workloads.errors import InvalidInput
from workloads.files import FILES_PATH, CarriedFile
from workloads.image import ImageError, Programs, Source, identify
from workloads.image.imported import build_imported, put_together
from workloads.image.recipe import make_import_recipe
from workloads.origin import Contents, Need, Origin

STATUS = (
    b"Package: fio\nStatus: install ok installed\nVersion: 3.33\n\nPackage: old\nStatus: deinstall ok config-files\n"
)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00%c\x00" + bytes(44)
ROOT = (
    directory("usr/bin"),
    link("bin", "usr/bin"),
    member("usr/bin/sh", ELF % 62, mode=0o755),
    member("usr/bin/data", b"", mode=0o644),
    member("etc/os-release", b'ID=tiny\nPRETTY_NAME="Tiny 1"\n'),
)

PACKERS = [gzip.compress, lzma.compress, lambda data: tool("zstd", "-c", input=data).stdout]


@pytest.fixture
def programs(tmp_path):
    (tmp_path / "agent").write_bytes(b"agent")
    return Programs(tmp_path / "agent", "agent", tmp_path / "agent", "init")


def tar_origin(tmp_path, *members, name="root.tar", pack=bytes):
    path = tmp_path / name
    path.write_bytes(pack(archive(*members)))
    return Origin("tar", path)


def put(origin, programs, tmp_path, needs=(), files=None):
    work = tmp_path / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return put_together(Source(origin, identify(origin), tuple(needs)), programs, files or {}, work)


def names(root):
    with tarfile.open(root.archive) as opened:
        return {info.name: info for info in opened}


def test_a_root_gets_the_agent_the_files_and_mount_points_and_nothing_else(tmp_path, programs):
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    files = {"mine/run.sh": CarriedFile.read("run.sh", tmp_path)}
    root = put(tar_origin(tmp_path, *ROOT), programs, tmp_path, files=files)
    added = {"dev", "proc", "run", "scratch", "sys", "tmp", "usr/lib", "usr/lib/bench", "usr/lib/bench/agent"}
    below = {FILES_PATH.lstrip("/"), f"{FILES_PATH}/mine".lstrip("/"), f"{FILES_PATH}/mine/run.sh".lstrip("/")}
    found = names(root)
    assert (
        set(found)
        == {".", "bin", "usr", "usr/bin", "usr/bin/sh", "usr/bin/data", "etc", "etc/os-release"} | added | below
    )
    assert found["usr/lib/bench/agent"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert root.inodes == len(found)
    assert root.contents == Contents(None, frozenset({"/usr/bin/sh", "/bin/sh"}), "")
    assert root.facts["system"] == "Tiny 1"


def test_with_systemd_its_unit_is_there_too(tmp_path, programs):
    systemd = (
        member("usr/lib/systemd/systemd", ELF % 62, mode=0o755),
        link("sbin/init", "/lib/systemd/systemd"),
        link("lib", "usr/lib"),
    )
    root = put(tar_origin(tmp_path, *ROOT, *systemd), programs, tmp_path, [Need("arm vm", systemd=True)])
    assert root.contents.init == "/usr/lib/systemd/systemd"
    with tarfile.open(root.archive) as opened:
        unit = opened.extractfile("etc/systemd/system/bench-agent.service").read().decode()
    assert "\nExecStart=/usr/lib/bench/agent --device ${BENCH_AGENT_DEVICE} --power-off\n" in unit
    wanted = names(root)["etc/systemd/system/multi-user.target.wants/bench-agent.service"]
    assert wanted.linkname == "../bench-agent.service"


@pytest.mark.parametrize("pack", PACKERS)
def test_an_archive_may_be_packed(tmp_path, programs, pack):
    packed = put(tar_origin(tmp_path, *ROOT, name="packed", pack=pack), programs, tmp_path).archive.read_bytes()
    assert packed == put(tar_origin(tmp_path, *ROOT), programs, tmp_path).archive.read_bytes()
    whole = (tmp_path / "packed").read_bytes()
    (tmp_path / "packed").write_bytes(whole[:-40])
    with pytest.raises(InvalidInput, match=r"damaged or cut short: it cannot be decompressed: \S"):
        put(Origin("tar", tmp_path / "packed"), programs, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_layers_are_the_same_as_their_sum(tmp_path, programs):
    make_layout(tmp_path / "layout", "one", archive(*ROOT, member("etc/gone")), archive(member("etc/.wh.gone")))
    origin = Origin("oci", tmp_path / "layout")
    layered = put(origin, programs, tmp_path)
    flat = put(tar_origin(tmp_path, *ROOT), programs, tmp_path)
    assert sorted(names(flat)) == sorted(names(put(origin, programs, tmp_path)))
    assert layered.facts["digest"] == identify(origin).digest
    tool(
        "skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/layout:one", f"docker-archive:{tmp_path}/saved.tar:a:b"
    )
    saved = put(Origin("oci", tmp_path / "saved.tar"), programs, tmp_path)
    with saved.archive.open("rb") as one:
        content = one.read()
    assert put(origin, programs, tmp_path).archive.read_bytes() == content


@pytest.mark.parametrize("kind", ["blob", "missing"])
def test_a_damaged_layer_is_told(tmp_path, programs, kind):
    make_layout(tmp_path / "layout", "one", archive(*ROOT))
    origin = Origin("oci", tmp_path / "layout")
    blobs = sorted((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda path: path.read_bytes()[:2] == b"\x1f\x8b")
    layer = blobs[-1]
    if kind == "missing":
        layer.unlink()
    else:
        content = bytearray(layer.read_bytes())
        content[-9] ^= 1
        layer.write_bytes(content)
    said = "is not there" if kind == "missing" else rf"{layer.name} has the digest \w+, expected sha256:{layer.name}"
    with pytest.raises(InvalidInput, match=said):
        put(origin, programs, tmp_path)


def test_another_content_is_another_image_and_the_same_is_the_same(tmp_path):
    first = identify(tar_origin(tmp_path, *ROOT))
    assert identify(Origin("tar", tmp_path / "root.tar")) == first
    assert identify(tar_origin(tmp_path, *ROOT, member("more"))) != first


def make_directory(place):
    (place / "bin").mkdir(parents=True)
    (place / "bin/sh").write_bytes(ELF % 62)
    (place / "bin/sh").chmod(0o755)
    (place / "bin/also").hardlink_to(place / "bin/sh")
    return place


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (lambda top: os.utime(top / "bin/sh", (1, 1)), False),
        (lambda top: (top / "bin/sh").write_bytes(ELF % 3), True),
        (lambda top: (top / "bin/sh").chmod(0o700), True),
        (lambda top: (top / "bin/sh").rename(top / "bin/bash"), True),
        (lambda top: (top / "link").symlink_to("bin"), True),
        (lambda top: os.setxattr(top / "bin/sh", "user.mark", b"1"), True),
    ],
    ids=["times", "content", "rights", "names", "links", "attributes"],
)
def test_a_directory_is_known_by_all_but_its_times(tmp_path, change, is_another):
    top = make_directory(tmp_path / "root")
    before = identify(Origin("directory", top))
    shutil.copytree(top, tmp_path / "copy", copy_function=shutil.copy2)
    change(top)
    assert (identify(Origin("directory", top)) != before) == is_another


@pytest.mark.host  # files of other owners
def test_owners_count(tmp_path):
    top = make_directory(tmp_path / "root")
    before = identify(Origin("directory", top))
    os.chown(top / "bin/sh", 5, 5)
    assert identify(Origin("directory", top)) != before


def test_a_directory_is_taken_as_it_lies_there(tmp_path, programs):
    top = make_directory(tmp_path / "root")
    found = names(put(Origin("directory", top), programs, tmp_path))
    assert {"bin", "bin/also", "bin/sh", "tmp"} <= found.keys()
    assert found["bin/sh"].linkname == "bin/also"


def test_what_changes_while_it_is_read_is_told(tmp_path, programs):
    origin = tar_origin(tmp_path, *ROOT)
    source = Source(origin, identify(origin))
    tar_origin(tmp_path, *ROOT, member("more"))
    with pytest.raises(InvalidInput, match="has changed while it was read"):
        put_together(source, programs, {}, tmp_path)


@pytest.fixture
def small_disk(monkeypatch):
    """A disk with a megabyte free."""
    usage = shutil.disk_usage("/")._replace(free=10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_written(tmp_path, programs):
    huge = sparse("bin/huge", b"x", 1 << 50)
    said = (
        r"image: tar .*root.tar: its files take 1,125,899,906,[\d,]+ bytes, the largest, usr/bin/huge, "
        r"1,125,899,906,842,624; .* needs 2,251,799.8 GB, and .*/work has [\d,.]+ GB free.*"
        r"set BENCH_CACHE to a directory with 2,501,999.8 GB"
    )
    with pytest.raises(ImageError, match=said):
        put(tar_origin(tmp_path, *ROOT, huge), programs, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("pack", PACKERS)
def test_no_more_is_decompressed_than_fits_on_the_disk(tmp_path, programs, small_disk, pack):
    origin = tar_origin(tmp_path, *ROOT, member("zeros", bytes(3_000_000)), pack=pack)
    with pytest.raises(ImageError, match=r"root.tar: holds more than 0.0 GB, and .*/work has 0.0 GB free.*BENCH_CACHE"):
        put(origin, programs, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_directory_that_does_not_fit_is_refused_before_it_is_packed(tmp_path, programs, small_disk):
    top = make_directory(tmp_path / "root")
    (top / "zeros").write_bytes(bytes(1_000_000))
    with pytest.raises(ImageError, match=r"image: directory .*/root: an archive of it needs 0.0 GB, and .*BENCH_CACHE"):
        put(Origin("directory", top), programs, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("path", ["etc/os-release", "var/lib/dpkg/status", "lib/apk/db/installed"])
def test_lists_that_are_too_large_are_not_read(tmp_path, programs, path):
    members = [each for each in ROOT if each[0].name != path]
    with pytest.raises(InvalidInput, match=rf"its /{path} has 16,777,217 bytes; expected 16,777,216 at most"):
        put(tar_origin(tmp_path, *members, sparse(path, b"x", (16 << 20) + 1)), programs, tmp_path)


@pytest.mark.parametrize("kind", ["tar", "oci"])
@pytest.mark.parametrize("header", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_tells_of_more_than_headers_have_is_not_read(tmp_path, programs, kind, header):
    info = tarfile.TarInfo("header")
    info.type, info.size = header, 1 << 40
    (tmp_path / "root.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(InvalidInput, match=r"root.tar: .*damaged: (.|\n)*a header that tells of 1099511627776 bytes"):
        identify_and_put(Origin(kind, tmp_path / "root.tar"), programs, tmp_path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["tar", "oci"])
@pytest.mark.parametrize("size", ["-1024", str(10**30)])
def test_a_file_of_a_size_that_cannot_be_is_damage(tmp_path, programs, kind, size):
    origin = tar_origin(tmp_path, *ROOT, member("file", pax_headers={"size": size}))
    with pytest.raises(InvalidInput, match=r"root.tar: .*damaged"):
        identify_and_put(Origin(kind, origin.path), programs, tmp_path)


def identify_and_put(origin, programs, tmp_path):
    identify(origin)
    put(origin, programs, tmp_path)


def test_nobody_else_gets_at_what_an_interrupted_import_leaves(tmp_path, programs):
    origin = tar_origin(tmp_path, *ROOT)
    source = Source(origin, identify(origin))
    tar_origin(tmp_path, *ROOT, member("more"))
    place = tmp_path / "building"
    place.mkdir()
    recipe = make_import_recipe(source.text, programs, {})
    umask = os.umask(0)
    try:
        with pytest.raises(InvalidInput, match="has changed"):
            build_imported(recipe, source, programs, {}, place, tmp_path / "packages", lambda _: None)
    finally:
        os.umask(umask)
    assert [(path.name, path.stat().st_mode & 0o777) for path in place.iterdir()] == [("work", 0o700)]


def test_a_layer_is_parsed_only_if_it_is_the_one_that_is_meant(tmp_path, programs):
    place = tmp_path / "image"
    place.mkdir()
    document = {"architecture": "amd64", "rootfs": {"diff_ids": [f"sha256:{'0' * 64}"]}}
    (place / "config.json").write_text(json.dumps(document))
    (place / "layer.tar.gz").write_bytes(gzip.compress(b"no archive at all"))
    (place / "manifest.json").write_text(json.dumps([{"Config": "config.json", "Layers": ["layer.tar.gz"]}]))
    with pytest.raises(InvalidInput, match=r"layer.tar.gz, unpacked, has the digest \w+, expected sha256:0000"):
        put(Origin("oci", place), programs, tmp_path)


@pytest.mark.parametrize("kind", ["oci", "tar", "directory"])
def test_a_pipe_is_no_origin(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match=rf"image: {kind}: .*/pipe is neither a file nor a directory"):
        identify(Origin(kind, tmp_path / "pipe"))


@pytest.mark.parametrize("kind", ["oci", "tar", "directory"])
def test_what_is_not_there_is_told(tmp_path, kind):
    with pytest.raises(InvalidInput, match=rf"image: {kind}: there is no .*/nothing"):
        identify(Origin(kind, tmp_path / "nothing"))


def test_a_file_is_no_directory_and_a_directory_no_archive(tmp_path):
    origin = tar_origin(tmp_path, *ROOT)
    with pytest.raises(InvalidInput, match=r"image: directory: .*root.tar: cannot be read"):
        identify(Origin("directory", origin.path))
    with pytest.raises(InvalidInput, match=r"image: tar: .*: cannot be read: Is a directory"):
        identify(Origin("tar", tmp_path))


@pytest.mark.parametrize("kind", ["tar", "directory"])
def test_an_image_of_layers_is_not_taken_for_a_root(tmp_path, programs, kind):
    place = tmp_path / "layout"
    make_layout(place, "one", archive(*ROOT))
    if kind == "tar":
        tool("tar", "--create", "--file", tmp_path / "layout.tar", "--directory", place, ".")
        place = tmp_path / "layout.tar"
    with pytest.raises(InvalidInput, match=r"has oci-layout and no programs: .*write image: \{oci: .*/layout"):
        put(Origin(kind, place), programs, tmp_path)


def test_a_root_may_have_any_file(tmp_path, programs):
    assert "oci-layout" in names(put(tar_origin(tmp_path, *ROOT, member("oci-layout")), programs, tmp_path))


def test_programs_for_another_machine_are_refused(tmp_path, programs):
    with pytest.raises(InvalidInput, match=r"its /bin/sh is for arm64, and this host is amd64"):
        put(tar_origin(tmp_path, member("bin/sh", ELF % 183, mode=0o755)), programs, tmp_path)


FIO = Need("workload fio", ("fio",), ("fio",))


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (FIO, "workload fio: the program fio is not in this image"),
        (Need("workload sh", ("dash",), ("sh", "/bin/sh")), None),
        (Need("workload x", (), ("/opt/x",)), None),
        (Need("workload x", (), ("/usr/bin/env", "/bin/sh"), all_known=False), "the program /usr/bin/env is not"),
        (Need("workload data", (), ("data",)), "workload data: the program data is not in this image"),
        (Need("arm vm", systemd=True), "arm vm: needs systemd as /sbin/init, which is not there in this image"),
    ],
)
def test_without_dpkg_programs_are_looked_for(tmp_path, programs, need, said):
    origin = tar_origin(tmp_path, *ROOT)
    if said is None:
        put(origin, programs, tmp_path, [need])
        return
    with pytest.raises(InvalidInput, match=rf"lacks what the suite needs; build it into the image(.|\n)*{said}"):
        put(origin, programs, tmp_path, [need])


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (FIO, None),
        (Need("workload old", ("old",), ("old",)), "the Debian package old is not installed in this image"),
        # Built by the user, and not packaged.
        (Need("workload built", ("missing",), ("sh",)), None),
        (Need("workload shell", ("missing",), ("/bin/sh",), all_known=False), "the Debian package missing is not"),
    ],
)
def test_with_dpkg_it_is_asked(tmp_path, programs, need, said):
    dpkg = (member("var/lib/dpkg/status", STATUS), member("usr/bin/fio", b"", mode=0o755))
    origin = tar_origin(tmp_path, *ROOT, *dpkg)
    if said is None:
        assert put(origin, programs, tmp_path, [need]).packages == {"fio": "3.33"}
        return
    with pytest.raises(InvalidInput, match=said):
        put(origin, programs, tmp_path, [need])


def test_packages_of_alpine_are_recorded(tmp_path, programs):
    installed = b"C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nP:busybox\nV:1.36.1-r2\n"
    root = put(tar_origin(tmp_path, *ROOT, member("lib/apk/db/installed", installed)), programs, tmp_path)
    assert root.packages == {"busybox": "1.36.1-r2", "musl": "1.2.4-r2"}
    assert root.facts["packages"] == "apk"
    assert root.contents.packages is None


@pytest.mark.host  # files of other owners
def test_all_of_it_is_in_the_file_system(tmp_path, programs):
    members = (
        capable("usr/bin/server", b"s" * 9000, mode=0o4755, uid=12, gid=34, mtime=1_600_000_000),
        hard_link("usr/bin/same", "usr/bin/server"),
        link("long", "x" * 80),
    )  # fmt: skip
    root = put(tar_origin(tmp_path, *ROOT, *members), programs, tmp_path)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    tar = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", root.archive, "-C", unpacked]
    subprocess.run(tar, check=True)
    status = (unpacked / "usr/bin/server").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_nlink) == (0o4755, 12, 34, 2)
    assert status.st_mtime == 1_600_000_000
    assert os.getxattr(unpacked / "usr/bin/server", "security.capability") == CAPABILITY.encode()
