"""Every way a store can be unusable gives one message that says what to do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stored_runs import run_record

from results import database
from results.errors import StoreError
from results.records import Sample, TrialRecord
from results.store import Store


def open_and_read(directory: Path, create: bool = False) -> None:
    with Store(directory).open(create=create) as store:
        store.runs()


def a_store(directory: Path) -> Path:
    with Store(directory).open(create=True) as store:
        store.add_run(run_record())
    return directory / "bench.sqlite"


def test_a_missing_store_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store in .*absent: `bench run` makes one; name another with --store"):
        open_and_read(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_directory_that_cannot_be_made(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write the store .*file.*--store"):
        open_and_read(tmp_path / "file" / below, create=True)


def test_a_directory_that_cannot_be_written() -> None:
    with pytest.raises(StoreError, match="cannot write"):
        open_and_read(Path("/proc"), create=True)


@pytest.mark.parametrize("create", [False, True])
def test_a_file_that_is_not_a_database(tmp_path: Path, create: bool) -> None:
    (tmp_path / "bench.sqlite").write_text("run,suite,workload\n" * 100)
    with pytest.raises(StoreError, match="is not a database: move it away"):
        open_and_read(tmp_path, create)
    assert (tmp_path / "bench.sqlite").read_text().startswith("run,suite")


@pytest.mark.parametrize("create", [False, True])
def test_a_database_of_another_program(tmp_path: Path, create: bool) -> None:
    with sqlite3.connect(tmp_path / "bench.sqlite") as other:
        other.execute("CREATE TABLE thing (name TEXT)")
    with pytest.raises(StoreError, match="belongs to another program: move it away"):
        open_and_read(tmp_path, create)


def test_an_empty_file_is_filled_by_a_run_and_refused_by_a_reader(tmp_path: Path) -> None:
    (tmp_path / "bench.sqlite").touch()
    with pytest.raises(StoreError, match="is empty"):
        open_and_read(tmp_path)
    open_and_read(tmp_path, create=True)
    open_and_read(tmp_path)


@pytest.mark.parametrize("create", [False, True])
def test_a_newer_schema(tmp_path: Path, create: bool) -> None:
    with sqlite3.connect(a_store(tmp_path)) as newer:
        newer.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    with pytest.raises(
        StoreError,
        match=f"schema version {database.SCHEMA_VERSION + 1}, this program knows {database.SCHEMA_VERSION}: update it",
    ):
        open_and_read(tmp_path, create)


def test_a_damaged_page(tmp_path: Path) -> None:
    path = a_store(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged .*move it away"):
        open_and_read(tmp_path)


def test_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_store(tmp_path)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        for create in (False, True):
            with pytest.raises(StoreError, match="locked by another process"):
                open_and_read(tmp_path, create)
    finally:
        other.close()


def limited(pages: int) -> Callable[..., sqlite3.Connection]:
    connect = sqlite3.connect

    def connect_limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    return connect_limited


def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap on the pages gives the same SQLITE_FULL as a disk without room."""
    monkeypatch.setattr(database.sqlite3, "connect", limited(40))
    samples = [Sample(f"metric{number}", number, "s", "lower") for number in range(100)]
    with Store(tmp_path).open(create=True) as store:
        record = run_record()
        store.add_run(record)
        added = 0
        with pytest.raises(StoreError, match=r"no room left to write .*: free some space"):
            while added < 1000:
                trial = TrialRecord(
                    record.id, added, 0, 0, "w", {}, "vm", "vm", "kvm", "ok", None, record.started, None
                )
                store.add_trial(trial, samples)
                added += 1
        assert added > 0
        assert len(store.trials(record.id)) == added
        assert len(store.frame(record.id)) == added * len(samples)


def test_two_first_runs_at_once_share_the_new_store(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def first_run(number: int) -> None:
        try:
            with Store(tmp_path / "new").open(create=True) as store:
                store.add_run(run_record(id=f"run-{number}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=first_run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Store(tmp_path / "new").open(create=False) as store:
        assert len(store.runs()) == 8
