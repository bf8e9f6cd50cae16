"""Reading a bundle that anybody may have made.

Nothing is extracted by ``tarfile``: it tells of members, and the files are made here, each new, plain, and below one
directory. So a path that leads out, a link or a device never reaches the file system, whatever Python's version does
about them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeVar, cast

from results.bundle.form import (
    ACKNOWLEDGEMENTS,
    BASELINES,
    BUNDLE,
    CHECKSUMS,
    FILES,
    NOISE,
    RUN,
    TRIALS,
    parse_acknowledgements,
    parse_baselines,
    parse_checksums,
    parse_contents,
    parse_noise,
    parse_run,
    parse_trial,
)
from results.errors import StoreError
from results.records import Acknowledgement, Baseline, RunRecord
from results.whole_run import WholeRun

MOST_BYTES = 64 << 30
"""So much a bundle holds at the most, unpacked."""

MOST_MEMBERS = 2_000_000

MOST_AT_ONCE = 64 << 20
"""So much is read into memory at a time: a line of JSON, or a header."""

MOST_OF_CHECKSUMS = 1 << 30
"""Bytes of the one file that has a line for each of the others."""

SPARE = 64 << 20
"""Bytes that unpacking leaves free on the disk."""

_MAGIC: dict[bytes, Callable[[IO[bytes], Literal["rb"]], object]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
}

_DAMAGES = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An unpacked bundle, a :class:`results.whole_run.RunSource`.

    Attributes:
        name: of the file that it was, for messages.
        directory: where it is unpacked.
        ids: of its runs.
    """

    name: str
    directory: Path
    ids: tuple[str, ...]

    def runs(self) -> list[RunRecord]:
        """All runs, in the order of the bundle."""
        return [self._run(run_id) for run_id in self.ids]

    def whole_run(self, run_id: str) -> WholeRun:
        """The rows of a run, checked."""
        trials = tuple(self._lines(f"runs/{run_id}/{TRIALS}", parse_trial))
        if any(each.trial.run != run_id for each in trials):
            raise StoreError(f"{self.name}: a trial of another run is among those of {run_id}; export the bundle again")
        return WholeRun(self._run(run_id), trials, tuple(self._lines(f"runs/{run_id}/{NOISE}", parse_noise)))

    def run_directory(self, run_id: str) -> Path:
        """Where its files are."""
        return self.directory / "runs" / run_id / FILES

    def baselines(self) -> list[Baseline]:
        """The named runs."""
        return self._whole(BASELINES, parse_baselines)

    def acknowledgements(self) -> list[Acknowledgement]:
        """The known changes."""
        return self._whole(ACKNOWLEDGEMENTS, parse_acknowledgements)

    def _run(self, run_id: str) -> RunRecord:
        record = self._whole(f"runs/{run_id}/{RUN}", parse_run)
        if record.id != run_id or record.status == "running":
            raise StoreError(f"{self.name}: {RUN} of {run_id} is not that of a run that ended; export the bundle again")
        return record

    def _whole(self, member: str, parse: Callable[[bytes, str], Record]) -> Record:
        with self._opened(member) as file:
            return parse(file.read(MOST_AT_ONCE), f"{self.name}: {member}")

    def _lines(self, member: str, parse: Callable[[bytes, str], Record]) -> Iterator[Record]:
        with self._opened(member) as file:
            number = 0
            while line := file.readline(MOST_AT_ONCE):
                number += 1
                yield parse(line, f"{self.name}: {member}: line {number}")

    def _opened(self, member: str) -> IO[bytes]:
        try:
            return (self.directory / member).open("rb")
        except FileNotFoundError as error:
            raise StoreError(f"{self.name}: there is no {member} in it; export the bundle again") from error


@contextmanager
def opened_bundle(path: Path, directory: Path) -> Iterator[Bundle]:
    """Unpack a bundle.

    Args:
        path: the file.
        directory: an empty one to unpack to; removing it is the caller's.

    Raises:
        StoreError: it is no bundle, damaged, of a newer version, or holds what no bundle has: a path that leads out of
            it, a link, a device, a file twice, more than there is room for.
    """
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            checksums = _unpack(stack.enter_context(_decompressed(raw)), path, directory)
    except _DAMAGES as error:
        raise StoreError(f"{path} is damaged, or no bundle ({error}): export it again, or copy it again") from error
    except OSError as error:
        raise StoreError(f"cannot unpack {path}: {error.strerror or error}") from error
    contents = parse_contents(_text(path, directory, BUNDLE), f"{path}: {BUNDLE}")
    checksums.pop(CHECKSUMS, None)
    if parse_checksums(_text(path, directory, CHECKSUMS), f"{path}: {CHECKSUMS}") != checksums:
        raise StoreError(f"{path} is damaged (its checksums are not those of its files): copy or export it again")
    yield Bundle(path.name, directory, tuple(dict.fromkeys(contents.runs)))


def _text(path: Path, directory: Path, member: str) -> bytes:
    if not (directory / member).is_file():
        raise StoreError(f"{path} has no {member}, so it is no bundle: `bench export RUN --bundle -o FILE` makes one")
    with (directory / member).open("rb") as file:
        return file.read(MOST_OF_CHECKSUMS)


class _Bounded(io.RawIOBase):
    """A stream of which no more than there may be is read, and no more at a time than memory has room for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset if whence == 0 else 0)
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise tarfile.ReadError("a header of it is too long")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def _check(self, end: int) -> None:
        if end > MOST_BYTES:
            raise tarfile.ReadError(f"it is longer than {MOST_BYTES >> 30} GiB")


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    beginning = raw.read(8)
    raw.seek(0)
    opener = next((opener for magic, opener in _MAGIC.items() if beginning.startswith(magic)), None)
    return raw if opener is None else cast("IO[bytes]", opener(raw, "rb"))


def _unpack(stream: IO[bytes], path: Path, directory: Path) -> dict[str, str]:
    """Make the archive's files below the directory, and give the SHA-256 of each by name."""
    checksums: dict[str, str] = {}
    room = min(MOST_BYTES, shutil.disk_usage(directory).free - SPARE)
    count = 0
    with tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream)), mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # they are not needed again, and there may be many
            count, room = count + 1, room - max(member.size, 0)
            if count > MOST_MEMBERS:
                raise StoreError(f"{path} has more than {MOST_MEMBERS} files: no bundle has")
            target = directory / _checked(member, path)
            if room < 0:
                raise StoreError(f"no room to unpack {path} in {directory}: free some space on its disk")
            content = archive.extractfile(member)
            assert content is not None  # it is a plain file
            checksums[member.name] = _copy(content, target, member.size, path)
    return checksums


def _checked(member: tarfile.TarInfo, path: Path) -> PurePosixPath:
    """The member's path below the bundle's directory, if it is such a file as a bundle has."""
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise StoreError(f"{path}: {member.name!r} is no plain file: a bundle has nothing else, so this one is refused")
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name or not name.parts:
        raise StoreError(f"{path}: {member.name!r} leads out of the bundle, so it is refused")
    return name


def _copy(content: IO[bytes], target: Path, size: int, path: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with target.open("xb") as file:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
            if file.tell() != size:
                raise EOFError(f"it ends within {target.name}")
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise StoreError(f"{path}: {target.name!r} is in it twice, so it is refused") from error
    return digest.hexdigest()
