"""Room on the disk for what an import unpacks, so that no archive fills it, whatever it says that it holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from workloads.image.errors import ImageError

_COPY = 1 << 20


def require_room(what: str, size: int, directory: Path) -> None:
    """Check that a directory has room.

    Args:
        what: what needs it, the beginning of a sentence: ``image: directory /root: an archive of it``.
        size: bytes that it needs.
        directory: where they are to go.

    Raises:
        ImageError: there is none.
    """
    free = shutil.disk_usage(directory).free
    if size > _most(free):
        raise ImageError(f"{what} needs {_shown(size)}, and {_too_full(directory, free, _shown(size * 10 // 9))}")


def copy_within(source: BinaryIO, target: Path, what: str) -> None:
    """Write all that a file has to a new one, if it does not fill the disk; else nothing is left of it.

    Raises:
        ImageError: it would fill the disk.
    """
    try:
        with target.open("wb") as file:
            _copy(source, file, target.parent, what)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(source: BinaryIO, target: BinaryIO, directory: Path, what: str) -> None:
    free = shutil.disk_usage(directory).free
    written = 0
    while block := source.read(_COPY):
        written += len(block)
        if written > _most(free):
            more = f"more than {_shown(_most(free))}"
            raise ImageError(f"{what}: holds {more}, and {_too_full(directory, free, more)}")
        target.write(block)


def _most(free: int) -> int:
    """Bytes that may be written where so many are free: the rest is left to all others who write on that disk."""
    return free * 9 // 10


def _too_full(directory: Path, free: int, needed: str) -> str:
    return (
        f"{directory} has {_shown(free)} free, of which an import takes nine tenths at most; free some space, "
        f"or set BENCH_CACHE to a directory with {needed} free"
    )


def _shown(size: int) -> str:
    return f"{size / 10**9:,.1f} GB"
