"""Files that a workload brings along: programs and scripts beside its YAML, which the image carries."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from workloads.json_types import TEXT

FILES_PATH = "/usr/lib/bench/files"
"""Where the image holds the files of all workloads, in a directory for each."""

MAX_FILES = 100

MAX_FILE_BYTES = 64 * 2**20
"""The most that one file may have: what is larger is data, which a workload makes or fetches into its scratch disk."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """One file as it was when the workload was read.

    Attributes:
        name: its path from the directory of the workload's YAML, and from the workload's directory in the image.
        sha256: of its content, hexadecimal.
        executable: whether its owner may execute it.
        size: bytes.
        source: where it lies.
    """

    name: str
    sha256: str
    executable: bool
    size: int
    source: Path = field(compare=False)

    @classmethod
    def read(cls, name: str, directory: Path) -> CarriedFile:
        """The file ``name`` below ``directory``; ValueError, saying what is wrong with it, if it cannot be carried."""
        source = (directory / name).absolute()
        try:
            status = source.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{directory / name}: expected a file; of a directory, name each file")
            if status.st_size > MAX_FILE_BYTES:
                raise ValueError(
                    f"{directory / name}: {status.st_size} bytes; at most {MAX_FILE_BYTES // 2**20} MiB are possible"
                )
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ValueError(f"{directory / name}: cannot be read: {error.strerror}") from None
        return cls(name, digest, bool(status.st_mode & stat.S_IXUSR), status.st_size, source)


def _carried(value: object, info: ValidationInfo) -> CarriedFile:
    """The file of that name beside the document that is validated (:func:`workloads.document.check`)."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            "expected the path of a file beside this one, of letters, digits and . _ + - with / between directories; "
            "it neither starts with / nor has .. in it"
        )
    return CarriedFile.read(value, info.context["directory"] if info.context else Path())


def _what_counts(file: CarriedFile) -> dict[str, Any]:
    return {"name": file.name, "sha256": file.sha256, "executable": file.executable}


CarriedFileField = Annotated[
    CarriedFile,
    PlainValidator(_carried),
    PlainSerializer(_what_counts),
    WithJsonSchema(TEXT | {"pattern": f"^{_NAME.pattern}$"}),
]
"""A field that names a file beside the document. It is written as what counts of it: not where it lies."""
