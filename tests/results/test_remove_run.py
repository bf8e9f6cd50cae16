"""A run goes whole, with its files, or not at all, whatever ends the process that removes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import pytest
from stored_runs import RunBuilder, run_record
from whole_runs import READING, counts

from results.errors import StoreError
from results.records import Baseline
from results.store import Store


def two_runs(store: Store) -> tuple[str, str]:
    for name in ("20261124-114700-aaaa", "20261125-114700-bbbb"):
        made = RunBuilder(store, run_record(id=name)).blocks("native", [1.0, 1.1]).blocks("vm", [2.0, 2.1])
        store.add_noise(name, READING)
        (store.run_directory(name) / "suite.yaml").write_text(name)
        store.finish_run(made.record.id, "complete", "2026-11-27T00:00:00Z", None)
    return "20261124-114700-aaaa", "20261125-114700-bbbb"


def test_a_removed_run_leaves_nothing_and_takes_nothing_of_others(store: Store) -> None:
    first, second = two_runs(store)
    others = store.frame(second)
    store.remove_run(first)
    assert counts(store) == {"run": 1, "trial": 4, "sample": 4, "noise": 1}
    assert [path.name for path in (store.directory / "runs").iterdir()] == [second]
    assert store.frame(second).equals(others)
    assert (store.run_directory(second) / "suite.yaml").read_text() == second
    with pytest.raises(StoreError, match=f"the nearest: {second}"):
        store.remove_run(first)


def test_a_run_whose_directory_is_gone_can_be_removed(store: Store) -> None:
    first, second = two_runs(store)
    shutil.rmtree(store.run_directory(first))
    store.remove_run(first)
    assert [run.id for run in store.runs()] == [second]


def test_a_run_that_is_being_written_is_refused(store: Store) -> None:
    record = run_record()
    RunBuilder(store, record).trial(0, "native", time=1.0)
    before = counts(store)
    with (
        Store(store.directory).open(create=False) as other,
        pytest.raises(StoreError, match=f"run {record.id} is being written: wait"),
    ):
        other.remove_run(record.id)
    assert counts(store) == before
    assert store.run_directory(record.id).is_dir()


def test_a_run_that_a_baseline_names_is_refused(store: Store) -> None:
    first, _ = two_runs(store)
    store.set_baseline(Baseline("release", first, "2026-11-26T00:00:00Z", "as shipped"))
    before = counts(store)
    with pytest.raises(StoreError, match=f"run {first} is the baseline release: give the name to another run"):
        store.remove_run(first)
    assert counts(store) == before
    assert (store.run_directory(first) / "suite.yaml").is_file()
    store.remove_baseline("release")
    store.remove_run(first)


def test_files_come_back_where_the_rows_cannot_be_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = two_runs(store)
    before = counts(store)

    def fails(directory: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(StoreError, match="Input/output error"):
        store.remove_run(first)
    monkeypatch.undo()
    assert counts(store) == before
    assert (store.run_directory(first) / "suite.yaml").is_file()


KILLED = """
    import os, shutil, sys
    from pathlib import Path
    import results.database, results.store

    class Dead(results.store.sqlite3.Connection):
        def execute(self, statement, *values):
            if statement == "COMMIT" and sys.argv[3] == "before the commit":
                os._exit(9)
            return super().execute(statement, *values)

    def connect(*arguments, **options):
        return connect_really(*arguments, factory=Dead, **options)

    connect_really = results.database.sqlite3.connect
    results.database.sqlite3.connect = connect
    if sys.argv[3] == "after the commit":
        shutil.rmtree = lambda path: os._exit(9)
    with results.store.Store(Path(sys.argv[1])).open(create=False) as store:
        store.remove_run(sys.argv[2])
"""


@pytest.mark.parametrize(("moment", "left"), [("before the commit", 2), ("after the commit", 1)])
def test_a_crash_loses_neither_rows_nor_files_alone(store: Store, moment: str, left: int) -> None:
    first, _ = two_runs(store)
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(store.directory), first, moment]
    assert subprocess.run(program, check=False).returncode == 9
    with Store(store.directory).open(create=True) as next_one:
        names = sorted(run.id for run in next_one.runs())
    assert len(names) == left
    assert sorted(path.name for path in (store.directory / "runs").iterdir()) == names
    assert counts(store)["sample"] == 4 * left
    assert all((store.run_directory(name) / "suite.yaml").read_text() == name for name in names)
