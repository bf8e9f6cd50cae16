"""The guest kernel: from Debian's kernel package to an uncompressed ELF that a hypervisor enters through PVH.

A Debian ``vmlinuz`` is a bzImage: a real-mode setup part, a decompressor, and the true kernel as a compressed payload.
Decompressing in the guest costs time at every start, so that it is done once, here. Offsets are those of the Linux/x86
boot protocol (kernel documentation, x86/boot, "The Real-Mode Kernel Header"); the PVH entry is an ELF note (Xen's
``public/elfnote.h``).
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
import subprocess
from collections.abc import Iterator

from workloads.image.errors import ImageError

_BOOT_FLAG_OFFSET = 0x1FE
_MAGIC_OFFSET = 0x202
_SETUP_SECTORS_OFFSET = 0x1F1
_VERSION_OFFSET = 0x20E
_PAYLOAD_OFFSET = 0x248
_SECTOR = 512
_ELF_MAGIC = b"\x7fELF"
_BANNER = re.compile(rb"Linux version (\S+) ")
"""How the text begins that a kernel prints first, and that is in it as it prints it (``linux_banner``)."""

_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_NOTE_HEADER = struct.Struct("<III")
_PT_NOTE = 4
_XEN_ELFNOTE_PHYS32_ENTRY = 18


def unpack_kernel(image: bytes) -> bytes:
    """The uncompressed ELF inside a bzImage, checked to have a PVH entry.

    Raises:
        ImageError: it is no bzImage, its compression is unknown, or the kernel has no PVH entry.
    """
    kernel = _decompress(_payload(image))
    if pvh_entry(kernel) is None:
        raise ImageError(
            "the guest kernel has no PVH entry (CONFIG_PVH): expected Debian's cloud kernel or one like it"
        )
    return kernel


class UnknownCompressionError(ImageError):
    """A kernel that is packed in a way that is not known here; it still unpacks itself."""


def unpack_if_pvh(image: bytes) -> bytes | None:
    """The uncompressed ELF inside a bzImage, or the file itself if it is one already; None without a PVH entry.

    Raises:
        ImageError: it is neither, or damaged.
    """
    try:
        kernel = image if is_elf(image) else _decompress(_payload(image))
    except UnknownCompressionError:
        return None
    return kernel if pvh_entry(kernel) is not None else None


def is_elf(image: bytes) -> bool:
    """Whether a kernel is there unpacked, as the kernel's build has it in ``vmlinux``."""
    return image.startswith(_ELF_MAGIC)


def kernel_release(image: bytes) -> str:
    """What ``uname -r`` will say under a kernel: a bzImage (its header tells), or an ELF file (by its banner).

    Raises:
        ImageError: it does not tell.
    """
    if is_elf(image):
        found = _BANNER.search(image)
        if found is None:
            raise ImageError("the kernel is an ELF file without the text 'Linux version': expected a Linux kernel")
        return found[1].decode(errors="replace")
    _require_bzimage(image)
    pointer = int.from_bytes(image[_VERSION_OFFSET : _VERSION_OFFSET + 2], "little")
    text = image[pointer + _SECTOR :].split(b"\0", 1)[0].split() if pointer else []
    if not text:
        raise ImageError("the kernel does not tell its release: its header has no kernel_version")
    return text[0].decode(errors="replace")


def pvh_entry(kernel: bytes) -> int | None:
    """The physical address of an ELF kernel's PVH entry, or None if it has none.

    Raises:
        ImageError: it is no 64-bit little-endian ELF file, or its headers lead outside it.
    """
    if not kernel.startswith(b"\x7fELF\x02\x01"):
        raise ImageError(f"the guest kernel is not a 64-bit ELF file: it starts with {kernel[:6].hex()}")
    try:
        for owner, kind, description in _notes(kernel):
            if owner == b"Xen" and kind == _XEN_ELFNOTE_PHYS32_ENTRY:
                return int.from_bytes(description, "little")
    except struct.error as error:
        raise ImageError("the guest kernel is cut short: its ELF headers lead outside the file") from error
    return None


def _payload(image: bytes) -> bytes:
    """The compressed kernel inside a bzImage."""
    _require_bzimage(image)
    # The boot protocol reads a setup size of 0 as 4 sectors; the boot sector itself comes on top.
    setup = ((image[_SETUP_SECTORS_OFFSET] or 4) + 1) * _SECTOR
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_OFFSET)
    payload = image[setup + offset : setup + offset + length]
    if not length or len(payload) != length:
        raise ImageError("the guest kernel is cut short: its payload leads outside the file")
    return payload


def _require_bzimage(image: bytes) -> None:
    if len(image) < _PAYLOAD_OFFSET + 8 or image[_MAGIC_OFFSET : _MAGIC_OFFSET + 4] != b"HdrS":
        raise ImageError("the guest kernel is not a bzImage: no boot-protocol header")
    if image[_BOOT_FLAG_OFFSET : _BOOT_FLAG_OFFSET + 2] != b"\x55\xaa":
        raise ImageError("the guest kernel is not a bzImage: no boot flag")


def _decompress(payload: bytes) -> bytes:
    """Unpack the payload by its magic number.

    Except with gzip, which has it already, the kernel's build appends four bytes with the uncompressed size.
    """
    try:
        if is_elf(payload):
            return payload
        if payload.startswith(b"\x1f\x8b"):
            return gzip.decompress(payload)
        if payload.startswith(b"\xfd7zXZ\x00"):
            return lzma.decompress(payload[:-4])
        if payload.startswith(b"\x02\x21\x4c\x18"):  # the legacy frame, which the kernel's build uses
            return _filter("lz4", payload[:-4])
        if payload.startswith(b"\x28\xb5\x2f\xfd"):
            return _filter("zstd", payload[:-4])
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ImageError(f"the guest kernel could not be decompressed: {error}") from error
    raise UnknownCompressionError(
        f"the guest kernel's compression is unknown (it starts with {payload[:6].hex()}): "
        "expected lz4, zstd, xz or gzip"
    )


def _filter(tool: str, data: bytes) -> bytes:
    """Decompress with a tool of the same name as its Debian package."""
    try:
        done = subprocess.run([tool, "-d", "-c", "-q"], input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ImageError(f"{tool} is missing, and the guest kernel needs it: install the package {tool}") from error
    if done.returncode != 0:
        raise ImageError(
            f"{tool} could not decompress the guest kernel: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


def _notes(kernel: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """All ELF notes of a kernel: owner, type, description."""
    header = _ELF_HEADER.unpack_from(kernel)
    table, entry_size, entries = header[5], header[9], header[10]
    for index in range(entries):
        kind, _, offset, _, _, size, _, _ = _PROGRAM_HEADER.unpack_from(kernel, table + index * entry_size)
        if kind == _PT_NOTE:
            yield from _notes_in(kernel[offset : offset + size])


def _notes_in(segment: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    position = 0
    while position + _NOTE_HEADER.size <= len(segment):
        name_size, description_size, kind = _NOTE_HEADER.unpack_from(segment, position)
        name = position + _NOTE_HEADER.size
        description = name + _aligned(name_size)
        yield (
            segment[name : name + name_size].rstrip(b"\0"),
            kind,
            segment[description : description + description_size],
        )
        position = description + _aligned(description_size)


def _aligned(size: int) -> int:
    """Notes are padded to four bytes."""
    return (size + 3) & ~3
