"""Disks in QEMU's own format hold what they are made of, and QEMU boots one that was exported."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from bench.images import our_programs
from runtimes.vm.exported_disk import write_exported_disk
from runtimes.vm.qcow2 import write_qcow2
from runtimes.vm.standalone import build_standalone
from workloads.image import make_kernel
from workloads.image.initramfs import with_init

CLUSTER = 65536


def read_back(file: bytes) -> bytes:
    """The disk in a qcow2 file, by its two levels of tables; checks that every cluster is counted once."""
    magic, version = struct.unpack_from(">4sI", file)
    bits, size = struct.unpack_from(">IQ", file, 20)
    length, first = struct.unpack_from(">IQ", file, 36)
    counts, counts_clusters = struct.unpack_from(">QI", file, 48)
    assert (magic, version, bits) == (b"QFI\xfb", 3, 16)
    used = {0, *range(counts // CLUSTER, counts // CLUSTER + counts_clusters)}
    used |= {first // CLUSTER + index for index in range(-(-length * 8 // CLUSTER))}
    blocks = [place for place in struct.unpack_from(f">{counts_clusters * 8192}Q", file, counts) if place]
    disk = bytearray(size)
    for table, entry in enumerate(struct.unpack_from(f">{length}Q", file, first)):
        if not entry:
            continue
        place = entry & ~(1 << 63)
        used.add(place // CLUSTER)
        for index, inner in enumerate(struct.unpack_from(">8192Q", file, place)):
            if inner:
                data = inner & ~(1 << 63)
                used.add(data // CLUSTER)
                start = (table * 8192 + index) * CLUSTER
                disk[start : start + CLUSTER] = file[data : data + CLUSTER]
    counted = {
        block * 32768 + index
        for block, place in enumerate(blocks)
        for index, count in enumerate(struct.unpack_from(">32768H", file, place))
        if count == 1
    }
    assert counted == used | {place // CLUSTER for place in blocks}
    assert len(file) == len(counted) * CLUSTER
    return bytes(disk[:size])


@pytest.mark.parametrize("size", [CLUSTER, (512 << 20) + 512])
def test_what_is_written_reads_back_and_what_is_empty_takes_no_room(tmp_path, size):
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(size)
        for place in (0, size // 2, size - 512):
            file.seek(place // 512 * 512)
            file.write(f"at {place}".ljust(512).encode())
    target = io.BytesIO()
    write_qcow2(disk, target)
    assert read_back(target.getvalue()) == disk.read_bytes()
    assert len(target.getvalue()) < 12 * CLUSTER


@pytest.mark.host
@pytest.mark.guest
@pytest.mark.slow
def test_an_exported_disk_boots_by_itself_to_a_shell(tiny_image, tmp_path):
    # The label by which the image is found is the one that images are made with.
    subprocess.run(["/usr/sbin/tune2fs", "-L", "bench", tiny_image.rootfs], check=True, capture_output=True)
    kernel = make_kernel("generic", our_programs(), lambda _: None)
    build_standalone(tmp_path / "init")
    initramfs = with_init(kernel.initramfs.read_bytes(), (tmp_path / "init").read_bytes())
    with (tmp_path / "disk.qcow2").open("w+b") as file:
        write_exported_disk(tiny_image.rootfs, kernel.bzimage, initramfs, tmp_path, file)
    said = boot(tmp_path / "disk.qcow2")
    assert "sum 42" in said
    assert "Power down" in said


def boot(disk: Path, drive: str) -> str:
    """Boot a disk, type at its prompt, and return what the serial console said."""
    command = [
        "qemu-system-x86_64",
        "-m",
        "512",
        "-accel",
        "tcg",
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        "stdio",
    ]
    command += ["-no-reboot", "-drive", f"file={disk},format=qcow2,if={drive}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
        try:
            said = b""
            while b"# " not in said.rpartition(b"powers off")[2]:
                read = guest.stdout.read1()
                assert read, said.decode(errors="replace")
                said += read
            guest.stdin.write(b"echo sum $((40 + 2)); exit\n")
            guest.stdin.flush()
            said += guest.communicate(timeout=120)[0]
        finally:
            guest.kill()
    return said.decode(errors="replace")
