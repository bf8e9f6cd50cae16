"""The initramfs: what is in it, and in which order modules load."""

from __future__ import annotations

import lzma
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image import ImageError
from workloads.image.initramfs import Entry, build_initramfs, write_cpio

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
    (directory / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
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


def order(archive: bytes, directory) -> dict[str, list[str]]:
    """The modules that are loaded, by when they are."""
    lines = (unpack(archive, directory) / "modules/order").read_text().splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_it_holds_init_and_the_modules(modules, tmp_path):
    root = unpack(build_initramfs(b"\x7fELF init", modules), tmp_path / "root")
    assert (root / "init").read_bytes() == b"\x7fELF init"
    assert {path.name for path in (root / "modules").iterdir()} == {"order", *DEPENDENCIES}
    assert (root / "modules/virtio_net").read_bytes() == module(DEPENDENCIES["virtio_net"])


def test_modes_are_right(modules):
    members = table(build_initramfs(b"", modules))
    assert members["init"].startswith("-rwxr-xr-x")
    assert members["dev/console"].startswith("crw")
    assert all(members[name].startswith("d") for name in ("proc", "sys", "dev", "image", "newroot", "writes"))


def test_the_same_content_gives_the_same_bytes(modules):
    assert build_initramfs(b"init", modules) == build_initramfs(b"init", modules)


def test_modules_are_loaded_after_what_they_need(modules, tmp_path):
    loaded = order(build_initramfs(b"", modules), tmp_path / "root")["always"]
    assert set(loaded) == set(DEPENDENCIES)
    for name, needs in DEPENDENCIES.items():
        assert set(filter(None, needs.split(","))) <= set(loaded[: loaded.index(name)])


def test_what_only_some_guests_need_is_loaded_by_those(modules, tmp_path):
    assert order(build_initramfs(b"", modules), tmp_path / "without")["emulated"] == []
    for name, depends in {"libata": "", "ahci": "libata", "e1000": "", "virtio_balloon": "virtio,virtio_ring"}.items():
        (modules / f"kernel/drivers/{name}.ko").write_bytes(module(depends))
    groups = order(build_initramfs(b"", modules), tmp_path / "with")
    assert groups["emulated"] == ["libata", "ahci", "e1000"]
    assert groups["virtio:d00000005v*"][-1] == "virtio_balloon"
    assert "virtio_balloon" not in groups["always"]


def test_compressed_modules_are_unpacked(modules, tmp_path):
    path = modules / "kernel/drivers/overlay.ko"
    (path.parent / "overlay.ko.xz").write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    root = unpack(build_initramfs(b"", modules), tmp_path / "root")
    assert (root / "modules/overlay").read_bytes() == module("")


def test_built_in_modules_are_left_out(modules, tmp_path):
    (modules / "kernel/drivers/virtio_blk.ko").unlink()
    (modules / "modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\nkernel/fs/ext4/ext4.ko\n")
    assert "virtio_blk" not in order(build_initramfs(b"", modules), tmp_path / "root")["always"]


@pytest.mark.parametrize("name", ["failover", "overlay"])
def test_a_missing_module_is_named(modules, name):
    (modules / f"kernel/drivers/{name}.ko").unlink()
    with pytest.raises(ImageError, match=rf"6\.1\.0-1-test has no module {name}"):
        build_initramfs(b"", modules)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,12}", fullmatch=True), st.binary(max_size=40), min_size=1, max_size=6))
def test_other_programs_read_our_archives(files):
    archive = write_cpio(Entry(name, stat.S_IFREG | 0o640, data) for name, data in files.items())
    for name, data in files.items():
        read = subprocess.run(
            ["cpio", "--extract", "--quiet", "--to-stdout", name], input=archive, check=True, capture_output=True
        )
        assert read.stdout == data
