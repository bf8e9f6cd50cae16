"""The initramfs: what is in it, in which order modules load, and that the script is one that busybox takes."""

from __future__ import annotations

import lzma
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image import ImageError
from workloads.image.initramfs import MODULES, Entry, build_initramfs, init_script, write_cpio

DEPENDENCIES = {
    "virtio_ring": "",
    "virtio": "virtio_ring",
    "virtio_pci_modern_dev": "",
    "virtio_pci": "virtio_ring,virtio_pci_modern_dev,virtio",
    "virtio_blk": "virtio,virtio_ring",
    "virtio_console": "virtio,virtio_ring",
    "failover": "",
    "net_failover": "failover",
    "virtio_net": "virtio_ring,virtio,net_failover",
    "overlay": "",
    "mbcache": "",
    "ext4": "mbcache",
    "libata": "",
    "ahci": "libata",
}


def module(depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


@pytest.fixture
def modules(tmp_path):
    """A directory of modules as a kernel package has it."""
    directory = tmp_path / "lib" / "modules" / "6.1.0-1-test"
    (directory / "kernel" / "drivers").mkdir(parents=True)
    for name, depends in DEPENDENCIES.items():
        (directory / "kernel" / "drivers" / f"{name}.ko").write_bytes(module(depends))
    (directory / "modules.builtin").write_text("kernel/drivers/scsi/scsi_mod.ko\n")
    return directory


def unpack(archive: bytes, directory):
    """Unpack with a cpio that is not ours."""
    directory.mkdir()
    subprocess.run(
        [
            "cpio",
            "--extract",
            "--quiet",
            "--make-directories",
            "--no-absolute-filenames",
            "--nonmatching",
            "dev/console",
        ],
        cwd=directory,
        input=archive,
        check=True,
        capture_output=True,
    )
    return directory


def table(archive: bytes) -> dict[str, str]:
    """The archive's members and their modes, as busybox's cpio lists them."""
    listed = subprocess.run(["busybox", "cpio", "-tv"], input=archive, check=True, capture_output=True).stdout.decode()
    return {line.split()[-1]: line.split()[0] for line in listed.splitlines() if not line.endswith("blocks")}


def test_it_holds_busybox_the_script_and_the_modules(modules, tmp_path):
    archive = build_initramfs(b"\x7fELF busybox", modules)
    root = unpack(archive, tmp_path / "root")
    assert (root / "bin/busybox").read_bytes() == b"\x7fELF busybox"
    assert (root / "init").read_bytes() == init_script()
    assert (root / "etc/modules").read_text().split() == list(MODULES)
    assert (root / "etc/modules.optional").read_text().split() == ["ahci"]
    unpacked = root / "lib/modules/6.1.0-1-test"
    assert {path.stem for path in unpacked.glob("*.ko")} == set(DEPENDENCIES)
    assert (unpacked / "virtio_net.ko").read_bytes() == module(DEPENDENCIES["virtio_net"])


def test_modes_are_right(modules):
    members = table(build_initramfs(b"", modules))
    assert members["init"].startswith("-rwxr-xr-x")
    assert members["bin/busybox"].startswith("-rwxr-xr-x")
    assert members["dev/console"].startswith("crw")
    assert all(members[name].startswith("d") for name in ("proc", "sys", "dev", "image", "newroot", "writes"))


def test_the_same_content_gives_the_same_bytes(modules):
    assert build_initramfs(b"busybox", modules) == build_initramfs(b"busybox", modules)


def test_every_module_is_listed_with_what_it_needs_the_first_to_load_last(modules, tmp_path):
    root = unpack(build_initramfs(b"", modules), tmp_path / "root")
    lines = (root / "lib/modules/6.1.0-1-test/modules.dep").read_text().splitlines()
    needs = {line.split(":")[0]: line.split(":")[1].split() for line in lines}
    assert set(needs) == {f"{name}.ko" for name in DEPENDENCIES}
    assert needs["virtio_net.ko"] == ["net_failover.ko", "failover.ko", "virtio.ko", "virtio_ring.ko"]
    loaded: set[str] = set()
    for name in reversed(needs["virtio_pci.ko"]):
        assert set(needs[name]) <= loaded
        loaded.add(name)


def test_compressed_modules_are_unpacked(modules, tmp_path):
    path = modules / "kernel/drivers/overlay.ko"
    (path.parent / "overlay.ko.xz").write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    root = unpack(build_initramfs(b"", modules), tmp_path / "root")
    assert (root / "lib/modules/6.1.0-1-test/overlay.ko").read_bytes() == module("")


def test_built_in_modules_are_left_out(modules, tmp_path):
    (modules / "kernel/drivers/virtio_blk.ko").unlink()
    (modules / "modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\n")
    root = unpack(build_initramfs(b"", modules), tmp_path / "root")
    assert "virtio_blk" not in (root / "etc/modules").read_text()


def test_a_missing_module_is_named(modules):
    (modules / "kernel/drivers/failover.ko").unlink()
    with pytest.raises(ImageError, match=r"6\.1\.0-1-test has no failover, neither built in nor as a module"):
        build_initramfs(b"", modules)


def test_the_script_is_one_that_busybox_takes():
    subprocess.run(["busybox", "sh", "-n"], input=init_script(), check=True)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,12}", fullmatch=True), st.binary(max_size=40), min_size=1, max_size=6))
def test_other_programs_read_our_archives(files):
    archive = write_cpio(Entry(name, stat.S_IFREG | 0o640, data) for name, data in files.items())
    for name, data in files.items():
        read = subprocess.run(
            ["cpio", "--extract", "--quiet", "--to-stdout", name], input=archive, check=True, capture_output=True
        )
        assert read.stdout == data
