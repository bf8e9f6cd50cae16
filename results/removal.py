"""Removing a run's files together with its rows, so that a crash at any point loses neither without the other.

A file system takes no part in a transaction of the database. So the run's directory is first put aside under a name
that says so, then its rows are deleted and committed, then the directory is deleted. Whoever opens the store to write
next looks for what was put aside: if the run still has its row, the crash came before the commit, and its directory
goes back; if not, it came after, and the directory goes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

_ASIDE = ".removed-"


def _aside(directory: Path) -> Path:
    return directory.with_name(f"{_ASIDE}{directory.name}")


def put_aside(directory: Path) -> Path | None:
    """Have a run's directory out of the way, and give its path there; None if there is none.

    Its new name is on disk when this returns: before the database says that the run is gone.
    """
    aside = _aside(directory)
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return None
    descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return aside


def put_back(directory: Path) -> None:
    """Undo :func:`put_aside`, unless somebody else who opened the store has done it."""
    with suppress(FileNotFoundError):
        _aside(directory).rename(directory)


def finish_removals(connection: sqlite3.Connection, runs: Path) -> None:
    """Complete or undo what a process that died has left of its removals.

    Args:
        connection: to the store's database, inside a transaction that keeps other writers out.
        runs: the directory of the runs' directories.
    """
    for aside in sorted(runs.glob(f"{_ASIDE}*")):
        run_id = aside.name.removeprefix(_ASIDE)
        if connection.execute("SELECT 1 FROM run WHERE id = ?", (run_id,)).fetchone() is None:
            shutil.rmtree(aside)
        else:
            aside.rename(aside.with_name(run_id))


def delete_rows(connection: sqlite3.Connection, run_id: str) -> None:
    """Delete a run and all that is recorded of it. Metrics stay: other runs share them."""
    connection.execute("DELETE FROM sample WHERE trial IN (SELECT id FROM trial WHERE run = ?)", (run_id,))
    for table in ("trial", "noise"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))
    connection.execute("DELETE FROM run WHERE id = ?", (run_id,))
