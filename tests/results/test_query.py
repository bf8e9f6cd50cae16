"""A query answers, and does nothing else."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_runs import RunBuilder, run_record
from whole_runs import RUNS, fill_all, tree

from results import database
from results.errors import StoreError
from results.frame import COLUMNS
from results.query import QueryableStore, Value, open_for_queries
from results.store import Store

FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store")).open(create=True) as opened:
        fill_all(opened)
        yield opened


@pytest.fixture
def asked(store: Store) -> Iterator[QueryableStore]:
    with open_for_queries(store.directory / "bench.sqlite") as opened:
        yield opened


def rows(asked: QueryableStore, query: str) -> list[tuple[Value, ...]]:
    return [tuple(row) for row in asked.ask(query, 30).rows]


def test_samples_are_the_tidy_data_of_an_export(store: Store, asked: QueryableStore) -> None:
    answer = asked.ask(f"SELECT * FROM samples WHERE run = '{RUNS[1]}' ORDER BY trial", 30)
    assert answer.columns == (*COLUMNS, "is_primary")
    expected = store.frame(RUNS[1])
    assert sorted(tuple(row)[:-1] for row in answer.rows) == sorted(
        tuple(getattr(value, "item", lambda value=value: value)() for value in row)
        for row in expected[list(COLUMNS)].itertuples(index=False, name=None)
    )


def test_points_are_medians_over_trials_of_medians_over_iterations(tmp_path: Path) -> None:
    with Store(tmp_path).open(create=True) as opened:
        check_points(RunBuilder(opened, run_record()))


def check_points(run: RunBuilder) -> None:
    for block, values in enumerate(([1.0, 2.0, 30.0], [4.0], [6.0, 6.0])):
        run.trial(block, "vm", accel="kvm", time=values, params={"b": 2, "a": "x,y"})
    run.trial(3, "vm", accel="kvm", status="failed", time=99.0)
    with open_for_queries(run.store.directory / "bench.sqlite") as asked:
        assert rows(asked, "SELECT trial, value, iterations FROM trial_values") == [(1, 2, 3), (2, 4, 1), (3, 6, 2)]
        assert rows(asked, "SELECT run, params, arm, accel, metric, median, minimum, maximum, n FROM points") == [
            (run.record.id, 'a="x,y",b=2', "vm", "kvm", "time", 4.0, 2.0, 6.0, 3)
        ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM run",
        "UPDATE run SET suite = 'mine'",
        "INSERT INTO metric VALUES (99, 'm', 's', 'lower', 0)",
        "REPLACE INTO metric VALUES (1, 'm', 's', 'lower', 0)",
        "WITH x AS (SELECT 1) DELETE FROM sample",
        "DROP TABLE run",
        "ALTER TABLE run RENAME TO walk",
        "CREATE TABLE mine (a)",
        "CREATE TEMP TABLE mine (a)",
        "CREATE INDEX mine ON trial (arm)",
        "CREATE TRIGGER mine AFTER INSERT ON run BEGIN DELETE FROM run; END",
        "ATTACH DATABASE '{other}' AS other",
        "DETACH DATABASE main",
        "VACUUM",
        "VACUUM INTO '{other}'",
        "REINDEX",
        "ANALYZE",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA user_version = 99",
        "PRAGMA journal_mode = WAL",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "SAVEPOINT mine",
        "SELECT load_extension('{other}')",
        "SELECT 1; DELETE FROM run",
        "EXPLAIN DELETE FROM run",
        "",
        "-- nothing",
    ],
)
def test_a_statement_that_would_do_something_is_refused(
    store: Store, asked: QueryableStore, tmp_path: Path, statement: str
) -> None:
    path = store.directory / "bench.sqlite"
    before, files = path.read_bytes(), tree(tmp_path)
    with pytest.raises(StoreError, match=r"only read|the query is wrong|selects nothing"):
        list(asked.ask(statement.format(other=tmp_path / "other.sqlite"), 30).rows)
    assert path.read_bytes() == before
    assert tree(tmp_path) == files
    assert rows(asked, "SELECT count(*) FROM run") == [(2,)]


def test_a_wrong_query_is_told_what_there_is(asked: QueryableStore) -> None:
    for wrong in ("SELECT arms FROM samples", "SELECT * FROM sampels", "SELEKT 1"):
        with pytest.raises(StoreError, match=r"the query is wrong: .* There are .*trial \(id, run, .*points \(run, "):
            asked.ask(wrong, 30)


def test_a_query_that_takes_too_long_is_given_up(asked: QueryableStore) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"took longer than 0\.2 s: ask for less"):
        list(asked.ask(FOREVER, 0.2).rows)
    assert time.monotonic() - began < 5
    assert rows(asked, "SELECT count(*) FROM run") == [(2,)]


def test_a_query_can_be_interrupted(asked: QueryableStore) -> None:
    # Where the tests are a shell's background job, the signal would be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(asked.ask(FOREVER, 30).rows)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


def test_columns_of_one_name_are_told_apart(asked: QueryableStore) -> None:
    assert asked.ask("SELECT 1 AS a, 2 AS a, 3 AS a_2", 30).columns == ("a", "a_2", "a_2_2")


def test_a_locked_store_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(store.directory / "bench.sqlite", isolation_level=None)
    with open_for_queries(store.directory / "bench.sqlite") as asked:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another process"):
            rows(asked, "SELECT * FROM run")
    other.close()
