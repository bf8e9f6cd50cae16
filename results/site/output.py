"""The directory of a site: which files in it are ours, what each was made from, and what we remember of runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from results.errors import StoreError
from results.files import replace_file

MANIFEST = ".bench-site.json"
"""Lists what we made. Nothing that is not in it is ever replaced or removed."""

_FORMAT = 1
_SAVE_EVERY = 10.0
"""Seconds of work that an update that dies may lose; the manifest of a long history takes a tenth of one to write."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Output:
    """A site's directory, open for an update; from :func:`open_output`.

    Attributes:
        written: how many files have been written anew.
        kept: how many were as they had to be.
        removed: how many were taken away.
    """

    def __init__(self, directory: Path, files: dict[str, str], remembered: dict[str, Any]) -> None:
        self.directory = directory
        self.written = self.kept = self.removed = 0
        self._files = files
        self._before = remembered
        self._remembered: dict[str, Any] = {}
        self._wanted: set[str] = set()
        self._saved = time.monotonic()

    def is_current(self, name: str, made_from: str) -> bool:
        """Whether the file is there and was made from ``made_from``."""
        return self._files.get(name) == made_from and (self.directory / name).is_file()

    def keep(self, name: str) -> None:
        """Leave a file of ours as it is."""
        self._wanted.add(name)
        self.kept += 1

    def claim(self, names: Iterable[str]) -> None:
        """Have files be ours that are to be written: also if we die before they are whole.

        Raises:
            StoreError: the directory has a file of one of these names that is not ours.
            OSError: the manifest cannot be written.
        """
        new = [name for name in names if name not in self._files]
        for name in new:
            if (self.directory / name).exists():
                place = self.directory / name
                raise StoreError(f"{place} is not of bench's making: name another directory with -o, or move it away")
        if new:
            self._files |= dict.fromkeys(new, "")
            self._save()

    def write(self, name: str, content: str, made_from: str | None = None) -> None:
        """Replace a file whole, unless it has this content.

        Args:
            name: relative to the site, with slashes.
            content: of the file.
            made_from: what :meth:`is_current` is to know it by later; without, the content itself decides.

        Raises:
            StoreError: the directory has a file of this name that is not ours.
            OSError: it cannot be written.
        """
        data = content.encode("utf-8", "replace")
        key = made_from if made_from is not None else digest(content)
        if made_from is None and self.is_current(name, key):
            self.keep(name)
            return
        path = self.directory / name
        self.claim([name])
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
        self._files[name] = key
        self._wanted.add(name)
        self.written += 1
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self._save()

    def recall(self, name: str, made_from: str) -> Any:  # noqa: ANN401 - data that was JSON
        """What was remembered under ``name``; None where nothing was, or not of ``made_from``."""
        found = self._remembered.get(name) or self._before.get(name)
        return found["data"] if found and found["from"] == made_from else None

    def remember(self, name: str, made_from: str, data: object) -> None:
        """Keep plain data for the next update; what is not remembered again is forgotten."""
        self._remembered[name] = {"from": made_from, "data": data}

    def finish(self) -> None:
        """Remove what was ours and is not wanted any more, and write the manifest.

        Raises:
            OSError: it cannot be written.
        """
        for name in sorted(self._files.keys() - self._wanted):
            path = self.directory / name
            path.unlink(missing_ok=True)
            with suppress(OSError):  # others' files may be in it
                if path.parent != self.directory:
                    path.parent.rmdir()
            del self._files[name]
            self.removed += 1
        self._before = {}
        self._save()

    def _save(self) -> None:
        content = {"format": _FORMAT, "files": self._files, "remembered": {**self._before, **self._remembered}}
        replace_file(self.directory / MANIFEST, json.dumps(content, indent=0, sort_keys=True).encode())
        self._saved = time.monotonic()


@contextmanager
def open_output(directory: Path) -> Iterator[Output]:
    """The site's directory, which is made if need be, for us alone.

    Raises:
        StoreError: it cannot be written, another update is at work, or its manifest is damaged.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError(f"another bench site is at work in {directory}: wait for it to end") from error
            yield Output(directory, *_read_manifest(directory / MANIFEST))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"cannot write {error.filename or directory}: {error.strerror or error}; name another place with -o"
        ) from error


def file_name(text: str) -> str:
    """``text`` as a file's name and part of a URL: as it is where it is plain, else made plain and told apart."""
    if _SAFE.fullmatch(text):
        return text
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60]
    return f"{plain or 'x'}-{digest(text)[:8]}"


def digest(text: str) -> str:
    """A text's SHA-256, shortened."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20]


def _read_manifest(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files, remembered = content["files"], content["remembered"]
        _check(content["format"], files)
    except FileNotFoundError:
        return {}, {}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): remove the whole site, or name another directory with -o"
        ) from error
    return files, remembered


def _check(of_format: object, files: Mapping[str, str]) -> None:
    if of_format != _FORMAT:
        raise ValueError(f"format {of_format}, expected {_FORMAT}")
    for name in files:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"'{name}' is not in the site")
