"""Questions to a store in SQL, which it answers and nothing else: no statement changes, makes or opens anything.

Beside the tables of the schema there are views that exist while a query runs:

* ``samples``: tidy data of the successful trials, the columns of :data:`results.frame.COLUMNS` and ``is_primary``;
* ``trial_values``: one value a trial, the median over its iterations, with how many there were;
* ``points``: the median over the trials of an arm in a run, with least and greatest value, the number of trials, and
  what tells whether two runs can be held against each other.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from results.database import mended, open_database
from results.errors import StoreError
from results.records import format_params

Value = str | int | float | bytes | None

_VIEWS = """
CREATE TEMP VIEW samples AS
SELECT trial.run, run.suite, trial.workload, format_params(trial.params) AS params, trial.arm, trial.runtime,
       trial.accel, trial.block, trial.trial, sample.iteration, metric.name AS metric, sample.value, metric.unit,
       metric.better, metric.is_primary
FROM run JOIN trial ON trial.run = run.id
         JOIN sample ON sample.trial = trial.id
         JOIN metric ON metric.id = sample.metric
WHERE trial.status = 'ok';

CREATE TEMP VIEW trial_values AS
SELECT run, suite, workload, params, arm, runtime, accel, block, trial, metric, unit, better,
       median(value) AS value, count(*) AS iterations
FROM samples GROUP BY run, trial, metric, unit, better;

CREATE TEMP VIEW points AS
SELECT run.id AS run, run.started, run.suite, run.suite_hash, run.host_fingerprint, run.image,
       workload, params, arm, runtime, accel, metric, unit, better,
       median(value) AS median, min(value) AS minimum, max(value) AS maximum, count(*) AS n
FROM run JOIN trial_values ON trial_values.run = run.id
GROUP BY run.id, workload, params, arm, accel, metric, unit, better;
"""

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

_CHECK_EVERY = 20_000
"""Instructions of SQLite's machine between two looks at the clock, some milliseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a query selects, read as they are iterated.

    Attributes:
        columns: their names; each is there once.
        rows: to be read before the store is closed. Iterating raises StoreError like :meth:`QueryableStore.ask`.
    """

    columns: tuple[str, ...]
    rows: Iterator[Sequence[Value]]


class _Median:
    """The aggregate function ``median``: NULL of no value, and NULLs are no values."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def step(self, value: float | None) -> None:
        if value is not None:
            self._values.append(value)

    def finalize(self) -> float | None:
        return statistics.median(self._values) if self._values else None


@lru_cache(maxsize=4096)
def _format_params(params: str) -> str:
    return format_params(json.loads(params))


def _authorize(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and name == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


class QueryableStore:
    """A store's database, to be read by SQL. Made by :func:`open_for_queries`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def tables(self) -> dict[str, list[str]]:
        """The columns of every table and view, by name."""
        names = self._connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            " UNION ALL SELECT name FROM sqlite_temp_schema WHERE type = 'view'"
        ).fetchall()
        return {
            name: [column for column, *_ in self._connection.execute(f"SELECT * FROM {name} LIMIT 0").description]
            for (name,) in names
        }

    def ask(self, query: str, seconds: float) -> Answer:
        """What a query selects.

        Args:
            query: one SELECT statement, or one that begins with WITH or VALUES.
            seconds: how long it may take, with the reading of its rows.

        Raises:
            StoreError: it is none, wrong, takes longer, or the store cannot be read.
            KeyboardInterrupt: the user interrupted it.
        """
        deadline = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_EVERY)
        with self._mended(deadline, seconds):
            cursor = self._connection.execute(query)
        if cursor.description is None:
            raise StoreError("the query selects nothing: write one that begins with SELECT")
        return Answer(_distinct([name for name, *_ in cursor.description]), self._rows(cursor, deadline, seconds))

    def _rows(self, cursor: sqlite3.Cursor, deadline: float, seconds: float) -> Iterator[Sequence[Value]]:
        with self._mended(deadline, seconds):
            yield from cursor

    @contextmanager
    def _mended(self, deadline: float, seconds: float) -> Iterator[None]:
        try:
            with mended(self._path):
                try:
                    yield
                except sqlite3.DatabaseError as error:
                    # Python's own errors have no code: a second statement, or text that is no UTF-8.
                    own = (
                        sqlite3.SQLITE_ERROR if isinstance(error, sqlite3.ProgrammingError) else sqlite3.SQLITE_CORRUPT
                    )
                    code = getattr(error, "sqlite_errorcode", own) & 0xFF
                    if code == sqlite3.SQLITE_INTERRUPT and time.monotonic() <= deadline:
                        # An exception in the progress handler, which Python lets nobody else see.
                        raise KeyboardInterrupt from error
                    if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT):
                        raise StoreError(self._explain(code, error, seconds)) from error
                    raise
        except sqlite3.Warning as error:  # several statements, before Python 3.12
            raise StoreError(self._explain(sqlite3.SQLITE_ERROR, error, seconds)) from error

    def _explain(self, code: int, error: Exception, seconds: float) -> str:
        if code == sqlite3.SQLITE_INTERRUPT:
            return f"the query took longer than {seconds:g} s: ask for less, for one run say, or give --timeout"
        if code == sqlite3.SQLITE_AUTH:
            return f"a query may only read ({error}): write one that begins with SELECT, of the tables of this store"
        self._connection.set_progress_handler(None, 0)
        tables = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in self.tables().items())
        return f"the query is wrong: {error}. There are {tables}"


@contextmanager
def open_for_queries(path: Path) -> Iterator[QueryableStore]:
    """Open a store's database for questions.

    Args:
        path: of the SQLite file.

    Raises:
        StoreError: it is missing, damaged, of a newer version, or locked.
    """
    with open_database(path, create=False) as connection:
        connection.create_function("format_params", 1, _format_params, deterministic=True)
        connection.create_aggregate("median", 1, _Median)  # type: ignore[arg-type]  # its stub knows only integers
        with mended(path):
            connection.executescript(_VIEWS)
            connection.execute("PRAGMA query_only = ON")
        connection.set_authorizer(_authorize)
        yield QueryableStore(connection, path)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, later ones of the same name numbered: ``a``, ``a_2``."""
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return tuple(found)
