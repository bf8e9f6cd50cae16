"""Archives as they are, or packed by gzip, bzip2, xz or zstd."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from workloads.errors import InvalidInput
from workloads.image.errors import ImageError
from workloads.image.tools import run

_ZSTD = b"\x28\xb5\x2f\xfd"
_OPENERS: dict[bytes, Callable[[BinaryIO], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_COPY = 1 << 20


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
        ImageError: it is packed by zstd, which is not installed.
    """
    magic = _magic(file)
    if magic is None:
        return file
    try:
        if magic == _ZSTD:
            _unpack_zstd(file, target)
        else:
            with _OPENERS[magic](file) as unpacked, target.open("wb") as plain_file:
                shutil.copyfileobj(unpacked, plain_file, _COPY)
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


def _unpack_zstd(file: BinaryIO, target: Path) -> None:
    copy = target.with_name(f"{target.name}.zst")
    with copy.open("wb") as packed:
        shutil.copyfileobj(file, packed, _COPY)
    doing = "decompressing the archive"
    try:
        run(["zstd", "--version"], doing=doing)
        try:
            run(["zstd", "-t", "-q", copy], doing=doing)
        except ImageError as error:
            raise ValueError(str(error)) from error
        run(["zstd", "-d", "-q", "-o", target, copy], doing=doing)
    finally:
        copy.unlink()
