"""Writing a bundle. The same runs give the same bytes: no time, owner or order of the file system is in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from results.bundle.form import (
    ACKNOWLEDGEMENTS,
    BASELINES,
    BUNDLE,
    CHECKSUMS,
    FILES,
    FORMAT,
    NOISE,
    RUN,
    TRIALS,
    VERSION,
    Contents,
    dump,
)
from results.errors import StoreError
from results.export import whole_file
from results.whole_run import files_of

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store

Compress = Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]]


def _gzip(stream: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)  # type: ignore[return-value]


def _xz(stream: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return lzma.LZMAFile(stream, "wb")


_COMPRESSIONS: dict[str, Compress] = {".tar": nullcontext, ".tar.gz": _gzip, ".tar.xz": _xz}


def write_bundle(store: Store, runs: Sequence[RunRecord], output: Path) -> None:
    """Write runs with their files, the baselines that name them, and the known changes that began with them.

    The file appears under its name only when it is whole.

    Args:
        store: open.
        runs: of the store; none of them twice.
        output: its extension says how it is compressed: ``.tar``, ``.tar.gz`` or ``.tar.xz``.

    Raises:
        StoreError: a run is being written, the extension is another, or the file cannot be written.
    """
    compress = next((made for end, made in _COMPRESSIONS.items() if output.name.endswith(end)), None)
    if compress is None:
        raise StoreError(f"{output}: a bundle's name ends in {', '.join(_COMPRESSIONS)}: give --output such a name")
    ids = [run.id for run in runs]
    named = [asdict(baseline) for baseline in store.baselines() if baseline.run in ids]
    known = [asdict(each) for each in store.acknowledgements() if each.run in ids]
    with (
        whole_file(output) as stream,
        compress(stream) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        bundle = _Writer(archive, {})
        bundle.add(BUNDLE, dump(Contents(FORMAT, VERSION, ids)))
        bundle.add(BASELINES, json.dumps(named, ensure_ascii=False))
        bundle.add(ACKNOWLEDGEMENTS, json.dumps(known, ensure_ascii=False))
        for run_id in ids:
            bundle.add_run(store, run_id)
        bundle.add(CHECKSUMS, json.dumps(bundle.checksums, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class _Writer:
    """An archive that is being written, and the SHA-256 of each file in it so far."""

    archive: tarfile.TarFile
    checksums: dict[str, str]

    def add_run(self, store: Store, run_id: str) -> None:
        whole = store.whole_run(run_id)
        beginning = f"runs/{run_id}"
        self.add(f"{beginning}/{RUN}", dump(whole.run))
        self.add(f"{beginning}/{TRIALS}", *map(dump, whole.trials))
        self.add(f"{beginning}/{NOISE}", *map(dump, whole.noise))
        directory = store.run_directory(run_id)
        for path in files_of(directory):
            with (directory / path).open("rb") as file:
                self._add_file(f"{beginning}/{FILES}/{path.as_posix()}", file)

    def add(self, name: str, *lines: str) -> None:
        self._add_file(name, BytesIO("".join(f"{line}\n" for line in lines).encode()))

    def _add_file(self, name: str, file: BufferedReader | BytesIO) -> None:
        member = tarfile.TarInfo(name)  # all that a file system would add is zero
        self.checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
        member.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.archive.addfile(member, file)
