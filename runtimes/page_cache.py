"""What of some files is in the host's page cache: to be known, dropped, and read anew, never for the whole host."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from runtimes.storage import read_file_through, read_whole

_PAGE = mmap.PAGESIZE
_IN_MEMORY = bytes(value & 1 for value in range(256))
"""The lowest bit tells it (mincore(2)), the others are reserved."""

_library = ctypes.CDLL(None, use_errno=True)
_library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_library.mmap.restype = ctypes.c_void_p
_library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_library.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_FAILED = ctypes.c_void_p(-1).value


def resident(path: Path) -> int:
    """Bytes, in whole pages, of a file, or of all files below a directory, that are in the page cache (mincore(2)).

    Of a file that neither belongs to us nor may be written by us the kernel says that all of it is there.

    Raises:
        OSError: a file cannot be asked about.
    """
    return sum(_resident(file) for file in _files(path))


def drop_from_cache(path: Path) -> None:
    """Have no page of a file, or of any file below a directory, in the page cache (posix_fadvise(2), DONTNEED).

    Names and inodes stay where they are. Pages that somebody has mapped, or not yet written, stay too.
    """
    for file in _files(path):
        with file.open("rb", buffering=0) as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_into_cache(path: Path) -> None:
    """Have a file, or all files below a directory, in the page cache, charged to who calls."""
    if path.is_dir():
        read_whole(path)
    else:
        read_file_through(path)


def _files(path: Path) -> Iterator[Path]:
    files = (Path(directory, name) for directory, _, names in os.walk(path) for name in names)
    for file in files if path.is_dir() else (path,):
        if file.is_file() and not file.is_symlink():
            yield file


def _resident(file: Path) -> int:
    with file.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size == 0:
            return 0
        # Python's own mmap gives no address of what may not be written.
        address = _library.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, opened.fileno(), 0)
        if address == _FAILED:
            raise _error("mmap", file)
    with contextlib.ExitStack() as stack:
        stack.callback(_library.munmap, address, size)
        pages = ctypes.create_string_buffer(-(-size // _PAGE))
        if _library.mincore(address, size, pages) != 0:
            raise _error("mincore", file)
        return pages.raw.translate(_IN_MEMORY).count(1) * _PAGE


def _error(call: str, file: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call} {file}: {os.strerror(number)}")
