"""The store's SQLite file: opening it, its schema, and what its errors mean to a user.

A rollback journal, not a write-ahead log: a trial takes seconds and its commit milliseconds, so readers hardly ever
wait, and a reader needs neither extra files nor write permission beside the database. Every commit is synced
(``synchronous = FULL``, the default): after a crash of the program or the machine, every committed trial is whole and
no other is there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from results.errors import StoreError

APPLICATION_ID = 0x62656E63
"""Marks the file as ours in SQLite's header: ``benc``."""

SCHEMA_VERSION = 4

_UPGRADES: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE run ADD COLUMN threshold REAL NOT NULL DEFAULT 0.05",
        "ALTER TABLE run ADD COLUMN ci_width REAL",
    ),
    2: (),
    3: (),
}
"""What makes of a store of this version one of the next. A new table needs nothing: ``schema.sql`` makes it."""

_LONGEST = 160
"""Letters of an error of SQLite that a message quotes."""

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process's commit."""


@contextmanager
def open_database(path: Path, create: bool) -> Iterator[sqlite3.Connection]:
    """Open the database; with ``create``, make what is missing and make sure that it can be written.

    Without ``create``, nothing is created; but a file of an earlier version is brought up to ours in any case, or a
    copy of it in memory where it may only be read. Transactions are explicit (:func:`transaction`); foreign keys are
    enforced.

    Raises:
        StoreError: it is missing, damaged, not ours, of a newer version, locked, or not writable where it must be.
    """
    if not create and not path.is_file():
        raise StoreError(f"no store in {path.parent}: `bench run` makes one; name another with --store or $BENCH_STORE")
    with mended(path):
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        # mode=rw also where we only read: after a crash the first to open the file has to roll its journal back.
        # SQLite itself falls back on reading where the file cannot be written.
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    with ExitStack() as stack:
        stack.enter_context(closing(connection))
        with mended(path):
            version = _check_version(connection, path, create)
            if 0 < version < SCHEMA_VERSION and not create and not os.access(path, os.W_OK):
                connection = stack.enter_context(closing(_copy(connection)))
            connection.execute("PRAGMA foreign_keys = ON")
            if 0 < version < SCHEMA_VERSION:
                _upgrade(connection, path)
            if create or version < SCHEMA_VERSION:
                _create_schema(connection)
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All that is executed inside is committed together, or not at all.

    Raises:
        StoreError: it could not be written; nothing of it is there.
    """
    with mended(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # After some errors (a full disk) SQLite has rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def mended(path: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into a StoreError that says what to do.

    Violated constraints pass: they are errors of the program, not of the store.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        # The low byte is the primary code, see https://www.sqlite.org/rescode.html.
        code = getattr(error, "sqlite_errorcode", None)
        if code is None and "decode" in str(error):  # text that is no UTF-8 is noticed by Python
            code = sqlite3.SQLITE_CORRUPT
        raise StoreError(_advice((code or sqlite3.SQLITE_ERROR) & 0xFF, path, error)) from error
    except UnicodeDecodeError as error:  # SQLite's message has a part of the schema in it
        raise StoreError(_advice(sqlite3.SQLITE_CORRUPT, path, error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot write the store {path.parent}: {reason}; name a directory that can be written with --store"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """As :func:`mended`, for what is made of rows too: values that cannot be are those of a damaged file.

    SQLite notices pages that are not what they should be, and not a letter that has become another.
    """
    with mended(path):
        try:
            yield
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            raise StoreError(_advice(sqlite3.SQLITE_CORRUPT, path, error)) from error


def filled(row: Sequence[Any], *optional: int) -> Sequence[Any]:
    """The row, if only the places that are ``optional`` are NULL in it, and none is a blob: the schema allows no other.

    Raises:
        ValueError: it is otherwise; :func:`reading` makes of it that the file is damaged.
    """
    for place, value in enumerate(row):
        if isinstance(value, bytes) or (value is None and place not in optional):
            raise ValueError(f"column {place + 1} of the row of {row[0]!r} is {type(value).__name__}")
    return row


def require_one_of(value: object, literal: object) -> None:
    """Find out whether a value is one of a ``Literal``, as the schema demands.

    Raises:
        ValueError: it is none.
    """
    if value not in get_args(literal):
        raise ValueError(f"{value!r} is none of {', '.join(get_args(literal))}")


def _advice(code: int, path: Path, error: Exception) -> str:
    # It may quote what it has read, of any length and with anything in it.
    said = "".join(letter if letter.isprintable() else " " for letter in str(error))
    said = " ".join(said.split())[:_LONGEST]
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"{path} has been locked by another process for {BUSY_TIMEOUT:g} s: wait for it to end, then try again"
            )
        case sqlite3.SQLITE_FULL:
            return f"no room left to write {path}: free some space on its disk; what was committed before is kept"
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is not a database: move it away, or name another store with --store"
        case sqlite3.SQLITE_CORRUPT:
            return f"{path} is damaged ({said}): move it away, and try `sqlite3 {path} .recover` for what is left of it"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"cannot write {path} ({said}): check the permissions of it and its directory, or use --store"
        case _:
            is_schema = "no such column" in said or "no such table" in said
            where = "whether it is a store of this program" if is_schema else "the disk it is on"
            return f"{path}: {said}; check {where}, or name another with --store"


def _check_version(connection: sqlite3.Connection, path: Path, create: bool) -> int:
    """The schema's version; 0 for a file that is empty."""
    # In one transaction: another process may be creating the schema right now.
    connection.execute("BEGIN")
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    connection.execute("COMMIT")
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}: update it, or use --store"
            )
        return int(version)
    if tables or not create:
        what = "belongs to another program" if tables else "is empty"
        raise StoreError(f"{path} {what}: move it away, or name another store with --store")
    return 0


def _copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The whole database in memory, to be brought up to ours where the file itself cannot be written."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    return copy


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file of an earlier version up to ours, all of it or nothing."""
    with transaction(connection, path):
        # Only now: another process may have done it meanwhile.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for step in range(version, SCHEMA_VERSION):
            for statement in _UPGRADES[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _create_schema(connection: sqlite3.Connection) -> None:
    """Create the tables that are missing, in one transaction, so that two first runs at once do not clash."""
    schema = files("results").joinpath("schema.sql").read_text(encoding="utf-8")
    connection.executescript(
        f"BEGIN IMMEDIATE; {schema}"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
