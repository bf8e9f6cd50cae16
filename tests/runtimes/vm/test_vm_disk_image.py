"""The bootable disk as other programs read it; that it boots is shown in test_vm_boots.py."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from runtimes.base import GuestKernel, HostError
from runtimes.vm.boot_loader import configuration, make_boot_loader
from runtimes.vm.disk_image import DiskParts, write_disk
from runtimes.vm.options import VmOptions
from runtimes.vm.root_disk import open_root_disk

NEEDED = ("grub-mkimage", "sfdisk", "mkfs.fat", "mcopy")
pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool, path="/usr/bin:/usr/sbin") for tool in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    directory = tmp_path_factory.mktemp("parts")
    for name, size in (("vmlinuz", 900_001), ("initramfs", 500_000), ("rootfs", 3 << 20)):
        (directory / name).write_bytes(name.encode() * (size // len(name)))
    return DiskParts(
        make_boot_loader(), directory / "vmlinuz", directory / "initramfs", "quiet x=1", directory / "rootfs", "id"
    )


@pytest.fixture(scope="module")
def disk(parts, tmp_path_factory):
    target = tmp_path_factory.mktemp("disk") / "disk.img"
    write_disk(parts, target)
    return target


def run(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def partitions(disk):
    table = json.loads(run("/usr/sbin/sfdisk", "--json", disk))["partitiontable"]
    return table["label"], {one["name"]: (one["start"] * 512, one["size"] * 512) for one in table["partitions"]}


def extracted(disk, name, directory):
    start, size = partitions(disk)[1][name]
    path = directory / name
    with disk.open("rb") as file:
        file.seek(start)
        path.write_bytes(file.read(size))
    return path


def test_the_root_is_the_last_partition_and_has_the_images_bytes(disk, parts, tmp_path):
    label, found = partitions(disk)
    assert label == "gpt"
    assert list(found) == ["core", "efi", "boot", "root"]
    assert extracted(disk, "root", tmp_path).read_bytes().startswith(parts.rootfs.read_bytes())


def test_kernel_initramfs_and_command_line_are_in_the_boot_file_system(disk, parts, tmp_path):
    boot = extracted(disk, "boot", tmp_path)
    run("/usr/sbin/e2fsck", "-f", "-n", boot)
    assert run("/usr/sbin/debugfs", "-R", "cat vmlinuz", boot) == parts.bzimage.read_bytes()
    assert run("/usr/sbin/debugfs", "-R", "cat initramfs", boot) == parts.initramfs.read_bytes()
    assert run("/usr/sbin/debugfs", "-R", "cat grub/grub.cfg", boot).decode() == configuration("quiet x=1")


def test_uefi_finds_grub_where_it_looks(disk, parts, tmp_path):
    volume = extracted(disk, "efi", tmp_path)
    assert run("mcopy", "-i", volume, "::EFI/BOOT/BOOTX64.EFI", "-") == parts.loader.efi
    assert parts.loader.efi.startswith(b"MZ")


def test_a_bios_reads_on_from_one_sector_to_the_next(disk, parts):
    start, _ = partitions(disk)[1]["core"]
    content = disk.read_bytes()
    assert int.from_bytes(content[0x5C:0x64], "little") * 512 == start
    assert content[510:512] == b"\x55\xaa"
    first = content[start : start + 512]
    following = int.from_bytes(first[0x1F4:0x1FC], "little") * 512
    sectors = int.from_bytes(first[0x1FC:0x1FE], "little")
    assert following == start + 512
    assert content[following : following + sectors * 512].startswith(parts.loader.core[512:])


def test_nothing_else_is_left_and_ids_are_the_same_every_time(disk, parts, tmp_path):
    again = tmp_path / "again.img"
    write_disk(parts, again)
    assert list(tmp_path.iterdir()) == [again]
    assert run("/usr/sbin/sfdisk", "--dump", again).replace(bytes(again), b"") == run(
        "/usr/sbin/sfdisk", "--dump", disk
    ).replace(bytes(disk), b"")


def test_a_missing_tool_names_its_package(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("runtimes.vm.boot_loader.shutil.which", lambda *_, **__: None)
    with pytest.raises(HostError, match=r"boot: disk needs mkfs\.fat: apt-get install dosfstools"):
        write_disk(parts, tmp_path / "disk.img")


def test_a_kernel_that_grub_cannot_start_is_refused(parts, tmp_path):
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"\x7fELF")
    guest = GuestKernel("6", kernel, kernel, parts.initramfs)
    facilities = type("Held", (), {"image": type("Made", (), {"rootfs": parts.rootfs})})
    with (
        pytest.raises(HostError, match="is an unpacked kernel, and GRUB starts a bzImage"),
        open_root_disk(facilities, VmOptions(boot="disk"), guest),
    ):
        pass
