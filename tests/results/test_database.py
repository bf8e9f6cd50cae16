"""Stores of every earlier version are brought up to ours; ``schemas/N.sql`` is the schema as version N had it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from results.database import APPLICATION_ID, SCHEMA_VERSION
from results.errors import StoreError
from results.store import Store

SCHEMAS = Path(__file__).parent / "schemas"

RUN = {
    "id": "20261124-114502-3f9a", "suite": "quick", "suite_hash": "9b1e", "baseline": "native", "arms": '["native"]',
    "seed": "7", "image": "4f1c", "host_fingerprint": "c0ff", "started": "2026-11-24T11:45:02Z", "ended": None,
    "status": "complete", "stop_reason": "all 10 blocks done", "version": "0.1.0",
}  # fmt: skip


def of_version(version: int, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bench.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((SCHEMAS / f"{version}.sql").read_text())
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        columns, places = ", ".join(RUN), ", ".join(f":{name}" for name in RUN)
        old.execute(f"INSERT INTO run ({columns}) VALUES ({places})", RUN)
        old.commit()
    return path


def columns_of(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Name, type, and whether it may be null, of every column of every table."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: {row[1:4] for row in database.execute(f"PRAGMA table_info({table})")} for table in tables}


def test_there_is_a_schema_of_every_earlier_version() -> None:
    assert sorted(int(path.stem) for path in SCHEMAS.glob("*.sql")) == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
@pytest.mark.parametrize("create", [False, True])
def test_an_earlier_store_is_brought_up_to_ours(tmp_path: Path, version: int, create: bool) -> None:
    path = of_version(version, tmp_path)
    for _ in range(2):
        with Store(tmp_path).open(create=create) as store:
            run = store.resolve("latest")
        assert (run.id, run.stop_reason, run.arms) == (RUN["id"], RUN["stop_reason"], ("native",))
        assert (run.threshold, run.ci_width) == (0.05, None)
    with Store(tmp_path / "new").open(create=True):
        pass
    assert columns_of(path) == columns_of(tmp_path / "new" / "bench.sqlite")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_earlier_store_that_may_only_be_read_is_read(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = of_version(version, tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everything
    with Store(tmp_path).open(create=False) as store:
        run = store.resolve("latest")
        assert (run.id, run.threshold, store.noise(run.id)) == (RUN["id"], 0.05, [])
    assert path.read_bytes() == before


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = of_version(1, tmp_path)
    before = columns_of(path)
    monkeypatch.setattr("results.database._UPGRADES", {1: ("ALTER TABLE run ADD COLUMN threshold REAL", "nonsense")})
    with pytest.raises(StoreError, match="nonsense"), Store(tmp_path).open(create=False):
        pass
    assert columns_of(path) == before
