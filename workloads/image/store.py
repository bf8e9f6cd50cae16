"""A directory of things that are built once: one directory a thing, named by the thing's id.

A thing is built in a directory of another name and renamed into place when it is whole and on the disk, the manifest
written last; so whatever stands under an id can be used. The file ``locks/<id>`` is locked by whoever deals with an id:
a build holds it alone, a run that uses the thing shares it with others, and pruning takes it alone or lets the thing
be.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from workloads.image.errors import ImageError
from workloads.image.locks import BusyError, locked
from workloads.image.manifest import MANIFEST
from workloads.image.tools import SPACE_NEEDED, remove_tree

_BUILDING = ".building-"


class Identified(Protocol):
    """What a store keeps."""

    @property
    def id(self) -> str:
        """The name of its directory."""


Kept = TypeVar("Kept", bound=Identified)

Builder = Callable[[Path], str]
"""Builds the files of a thing in an empty directory, and returns the text of its manifest."""


class Store(Generic[Kept]):
    """The things of one kind under one cache directory, which need not exist yet.

    Args:
        cache: the directory of everything that is cached.
        kind: what is kept, in the singular, for messages; the directory is named by the plural.
        load: the thing in a directory, or None if it is not whole.
    """

    def __init__(self, cache: Path, kind: str, load: Callable[[Path], Kept | None]) -> None:
        self._kind = kind
        self._load = load
        self._directory = cache / f"{kind}s"
        self._locks = cache / "locks"

    def ensure(self, key: str, build: Builder, progress: Callable[[str], None]) -> Kept:
        """The thing with this id, built if it is not there. One that is there is returned at once.

        Two that want the same at the same time: the second waits for the first.

        Raises:
            ImageError: the build failed, or the cache cannot be written.
            InvalidInput: what is to be built names something that does not exist.
        """
        if kept := self._load(self._directory / key):
            return kept
        with self._writing(), self._lock(key, waiting=lambda: progress(f"waiting for another build of {key}")):
            self._remove_leftovers(key)
            if kept := self._load(self._directory / key):
                return kept
            return self._build(key, build)

    def all(self) -> list[Kept]:
        """All that are whole."""
        return [kept for path in sorted(self._directory.glob("[!.]*")) if (kept := self._load(path))]

    def prune(self, keep: Collection[str] = ()) -> list[str]:
        """Remove things and what interrupted builds left; return the ids of the things removed.

        Args:
            keep: ids to leave. Those that are held or being built stay as well.
        """
        removed = []
        for path in sorted(self._directory.glob("*")):
            leftover = path.name.startswith(_BUILDING)
            key = path.name.removeprefix(_BUILDING).split("-")[0]
            if not leftover and key in keep:
                continue
            with suppress(BusyError), self._lock(key, wait=False):
                _remove(path)
                if not leftover:
                    removed.append(key)
        return removed

    @contextmanager
    def hold(self, key: str) -> Iterator[Kept]:
        """Keep a thing from being pruned.

        Raises:
            ImageError: it is not there (any more).
        """
        with self._lock(key, shared=True):
            kept = self._load(self._directory / key)
            if kept is None:
                raise ImageError(
                    f"{self._kind} {key} is no longer in {self._directory}: build it again with `bench image build`"
                )
            yield kept

    def _build(self, key: str, build: Builder) -> Kept:
        """Build and put into place. Called with the lock held."""
        place = self._directory / key
        building = self._directory / f"{_BUILDING}{key}-{secrets.token_hex(4)}"
        building.mkdir(parents=True)
        try:
            manifest = build(building)
            (building / MANIFEST).write_text(manifest)
            for path in (*building.iterdir(), building):
                _sync(path)
            if place.exists():
                _remove(place)
            building.rename(place)
            _sync(self._directory)
        except BaseException as error:
            _clear_away(building, error)
            raise
        kept = self._load(place)
        if kept is None:
            raise ImageError(f"the build of {self._kind} {key} did not make all of its files in {place}")
        return kept

    def _remove_leftovers(self, key: str) -> None:
        """Remove what dead builds left. Who holds the lock knows that none is alive."""
        for path in self._directory.glob(f"{_BUILDING}{key}-*"):
            remove_tree(path)

    @contextmanager
    def _lock(
        self, key: str, *, shared: bool = False, wait: bool = True, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True)
        with locked(self._locks / key, shared=shared, wait=wait, waiting=waiting):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say clearly what is wrong with the cache directory when it cannot be written."""
        try:
            yield
        except OSError as error:
            where = self._directory.parent
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise ImageError(
                    f"the disk is full: free some space under {where}, "
                    f"or set BENCH_CACHE to a directory with {SPACE_NEEDED} GB free"
                ) from error
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
                raise ImageError(
                    f"the image cache {where} cannot be written: {error}; set BENCH_CACHE to another directory"
                ) from error
            raise


def _remove(path: Path) -> None:
    """Remove a thing; one that is only half removed must not look whole, so that its manifest goes first."""
    (path / MANIFEST).unlink(missing_ok=True)
    remove_tree(path)


def _clear_away(building: Path, error: BaseException) -> None:
    """Remove what a failed build left. Should that fail too, ``error``, which the build ended with, is told first.

    Raises:
        ImageError: both in one message, where the build's own error is one.
    """
    if not building.exists():
        return
    try:
        remove_tree(building)
    except ImageError as second:
        if isinstance(error, ImageError):
            raise ImageError(f"{error}\nWhat the build left could not be removed either: {second}") from error
        error.add_note(f"What the build left could not be removed either: {second}")


def _sync(path: Path) -> None:
    """Have a file or directory on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
