"""Unpacking a guest kernel: synthetic bzImages of every compression, and damaged ones."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image import ImageError
from workloads.image.kernel import pvh_entry, unpack_kernel


def elf(entry: int | None = 0x1000850) -> bytes:
    """A 64-bit ELF file with notes in one segment, of which the second is the PVH entry."""
    notes = struct.pack("<III", 4, 5, 1) + b"GNU\0" + b"abcde\0\0\0"
    if entry is not None:
        notes += struct.pack("<III", 4, 8, 18) + b"Xen\0" + struct.pack("<Q", entry)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(notes), len(notes), 4)
    return header + program + notes + bytes(5000)


def bzimage(payload: bytes, setup_sectors: int = 4) -> bytes:
    setup = bytearray((setup_sectors + 1 if setup_sectors else 5) * 512)
    setup[0x1F1] = setup_sectors
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    stub = b"decompressor"
    struct.pack_into("<II", setup, 0x248, len(stub), len(payload))
    return bytes(setup) + stub + payload + b"after"


def compress(kind: str, data: bytes) -> bytes:
    size = struct.pack("<I", len(data))
    match kind:
        case "none":
            return data
        case "gzip":
            return gzip.compress(data)
        case "xz":
            return lzma.compress(data) + size
        case "lz4":
            return subprocess.run(["lz4", "-l", "-c"], input=data, capture_output=True, check=True).stdout + size
        case _:
            return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout + size


@pytest.mark.parametrize("kind", ["none", "gzip", "xz", "lz4", "zstd"])
def test_every_compression_gives_the_kernel_back(kind):
    assert unpack_kernel(bzimage(compress(kind, elf()))) == elf()


def test_no_setup_sectors_means_four():
    assert unpack_kernel(bzimage(elf(), setup_sectors=0)) == elf()


def test_the_pvh_entry_is_read():
    assert pvh_entry(elf(0x1000850)) == 0x1000850
    assert pvh_entry(elf(None)) is None


def test_a_kernel_without_pvh_entry_is_refused():
    with pytest.raises(ImageError, match="no PVH entry"):
        unpack_kernel(bzimage(elf(None)))


def test_an_unknown_compression_is_named():
    with pytest.raises(ImageError, match=r"compression is unknown.*425a68"):
        unpack_kernel(bzimage(b"BZh91AY"))


@pytest.mark.parametrize("kind", ["gzip", "xz", "lz4", "zstd"])
def test_a_damaged_payload_is_an_error(kind):
    payload = bytearray(compress(kind, elf()))
    del payload[len(payload) // 2 :]
    with pytest.raises(ImageError, match="decompress"):
        unpack_kernel(bzimage(bytes(payload)))


def test_a_missing_tool_names_its_package(monkeypatch):
    image = bzimage(compress("lz4", elf()))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ImageError, match="install the package lz4"):
        unpack_kernel(image)


@given(st.integers(0, len(bzimage(elf()))))
def test_a_kernel_that_is_cut_short_is_an_error_or_whole(length):
    try:
        assert unpack_kernel(bzimage(elf())[:length]) == elf()
    except ImageError:
        assert length < len(bzimage(elf())) - len(b"after")


@given(st.binary(max_size=400))
def test_bytes_that_only_start_like_a_kernel_never_crash(tail):
    try:
        pvh_entry(b"\x7fELF\x02\x01" + tail)
    except ImageError as error:
        assert "cut short" in str(error)
