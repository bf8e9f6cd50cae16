"""Archives as they are, or packed by gzip, bzip2, xz or zstd."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self, cast

from workloads.errors import InvalidInput
from workloads.image.room import copy_within
from workloads.image.tools import run

_ZSTD = b"\x28\xb5\x2f\xfd"
_OPENERS: dict[bytes, Callable[[BinaryIO], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_COPY = 1 << 20

_MAX_HEADER = 1 << 20
"""Bytes of the longest name, or of all attributes of a file, in an archive; Linux has them of 4 and 64 KiB."""

DAMAGES = (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError, IndexError)
"""What :mod:`tarfile` ends with in an archive that is damaged, or made to do harm, apart from errors of reading."""

_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Member(tarfile.TarInfo):
    """A member of an archive from elsewhere, for :func:`tarfile.open`, which reads headers whole into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """A member by its header.

        Raises:
            tarfile.ReadError: it tells of a size that cannot be.
        """
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _HEADERS and member.size > _MAX_HEADER):
            raise tarfile.ReadError(f"a header that tells of {member.size} bytes")
        return member


def is_packed(file: BinaryIO) -> bool:
    """Whether a file is packed in one of these ways; it is then where it was, at its start."""
    return _magic(file) is not None


def plain(file: BinaryIO, target: Path, what: str) -> BinaryIO:
    """A file as it is, or what it holds if it is packed, which is written to ``target``.

    Args:
        file: can be read anywhere.
        target: a new file.
        what: the file's name in messages.

    Raises:
        InvalidInput: it is damaged.
        ImageError: what it holds would fill the disk, or it is packed by zstd, which is not installed.
    """
    magic = _magic(file)
    if magic is None:
        return file
    try:
        if magic == _ZSTD:
            _unpack_zstd(file, target, what)
        else:
            with _OPENERS[magic](file) as unpacked:
                copy_within(cast("BinaryIO", unpacked), target, what)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, ValueError) as error:
        raise InvalidInput(f"{what}: damaged or cut short: it cannot be decompressed: {error}") from error
    except OSError as error:
        if error.errno is None:  # bz2's word for what is damaged
            raise InvalidInput(f"{what}: damaged: it cannot be decompressed: {error}") from error
        raise
    return target.open("rb")


def digest_of(file: BinaryIO, algorithm: str = "sha256") -> str:
    """The digest of a whole file, hexadecimal; it is at its start then."""
    file.seek(0)
    digest = hashlib.new(algorithm)
    while block := file.read(_COPY):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def _magic(file: BinaryIO) -> bytes | None:
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    return next((magic for magic in (*_OPENERS, _ZSTD) if start.startswith(magic)), None)


def _unpack_zstd(file: BinaryIO, target: Path, what: str) -> None:
    copy = target.with_name(f"{target.name}.zst")
    try:
        copy_within(file, copy, what)
        run(["zstd", "--version"], doing="decompressing the archive")
        # It ends with us: whoever writes into a pipe that nobody reads is killed.
        with subprocess.Popen(["zstd", "-d", "-q", "-c", copy], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as zstd:
            assert zstd.stdout is not None
            assert zstd.stderr is not None
            try:
                copy_within(cast("BinaryIO", zstd.stdout), target, what)
            except BaseException:
                zstd.kill()
                raise
            said = zstd.stderr.read().decode(errors="replace").strip()
        if zstd.returncode != 0:
            target.unlink()
            raise ValueError(said)
    finally:
        copy.unlink(missing_ok=True)
