"""Directories of runs that come and go together with rows: a crash at any point leaves neither without the other.

A file system takes no part in a transaction of the database. So there is a name for a directory that is *aside*: it
belongs to its run if the run has its row, and to nobody if not. A run is removed by putting its directory aside, then
committing that its rows are gone, then deleting the directory. A run is brought in by putting its directory aside, then
committing its rows, then renaming the directory. Whoever opens the store to write next completes what a process that
died has left of either.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from results.liveness import alive, is_alive

LOCK = "lock"
"""The file in a run's directory that whoever works on the run holds."""

_ASIDE = ".aside-"
_WORK = ".work-"


def put_aside(source: Path, directory: Path) -> Path | None:
    """Have ``source`` be what is aside for a run's ``directory``, and give its path; None if there is no such source.

    Its name is on disk when this returns: before the database says that the run is gone, or there.
    """
    aside = _aside(directory)
    try:
        source.rename(aside)
    except FileNotFoundError:
        return None
    descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return aside


def put_in_place(directory: Path) -> None:
    """Have what is aside for a run's directory be that, unless somebody else who opened the store has done it."""
    with suppress(FileNotFoundError):
        _aside(directory).rename(directory)


@contextmanager
def work_directory(runs: Path) -> Iterator[Path]:
    """An empty directory on the disk of the runs, for files that are to become theirs; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=_WORK, dir=runs))
    try:
        with alive(directory / LOCK):
            inside = directory / "files"
            inside.mkdir()
            yield inside
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def clear_up(connection: sqlite3.Connection, runs: Path) -> None:
    """Complete or undo what processes that died have left.

    Args:
        connection: to the store's database, inside a transaction that keeps other writers out.
        runs: the directory of the runs' directories.
    """
    for left in sorted(runs.glob(".*")):
        if is_alive(left / LOCK):
            continue
        run_id = left.name.removeprefix(_ASIDE)
        known = connection.execute("SELECT 1 FROM run WHERE id = ?", (run_id,)).fetchone()
        if left.name.startswith(_ASIDE) and known:
            left.rename(left.with_name(run_id))
        elif left.name.startswith((_ASIDE, _WORK)):
            shutil.rmtree(left)


def _aside(directory: Path) -> Path:
    return directory.with_name(f"{_ASIDE}{directory.name}")
