"""Stores with runs that have all that a run can have, to be carried elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stored_runs import RunBuilder, run_record

from results.noise import CpuSpin, NoiseReading
from results.records import Acknowledgement, Baseline, Sample
from results.store import Store

RUNS = ("20261124-114700-aaaa", "20261125-114700-bbbb")

READING = NoiseReading(
    block=0,
    taken="2026-11-24T11:45:02Z",
    seconds=None,
    cost=0.2,
    spins=(CpuSpin(0, 1000, 1e-4, 1.1e-4, 2e-4, 1, 0.01),),
    steal=None,
    own=None,
    outside=None,
    cpus=2,
    interrupts=None,
    pressure={"cpu": 0.25},
    load=0.1,
    frequency=None,
    throttled=None,
    temperature=None,
)

BASELINE = Baseline("release", RUNS[0], "2026-11-26T00:00:00Z", "as shipped")
KNOWN = Acknowledgement(
    suite="example",
    suite_hash="5a17e",
    image="0a1b2c",
    host_fingerprint="f00d",
    workload="work",
    params="size=4k",
    arm="vm",
    accel="kvm",
    metric="time",
    run=RUNS[1],
    kind="step",
    ratio=1.07,
    reason="a newer kernel, “intended”",
    created="2026-11-27T08:00Z",
)


def fill(store: Store, *names: str) -> None:
    """Add a run of each name: two blocks, a failed trial, parameters of every type, noise and files."""
    params = {"size": "4k", "direct": True, "iodepth": 16, "share": 0.25}
    for number, name in enumerate(names):
        made = RunBuilder(store, run_record(id=name, seed=2**70, started=f"2026-11-{name[6:8]}T11:47:00+00:00"))
        for block in (0, 1):
            for arm in ("native", "container", "vm"):
                made.trial(
                    block,
                    arm,
                    Sample("operations", 0.1 + 0.2 + number, "1/s", "higher", primary=True),
                    params=params,
                    facts={"kernel": "6.18"},
                    time=[1.0, 1 / 3 + block],
                )
        made.trial(1, "vm", status="failed", time=9.0)
        store.add_noise(name, READING)
        directory = store.run_directory(name)
        for path in ("suite.yaml", "host.json", "trials/1/log.txt", "report/report.html"):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(f"{name} {path} ü\n")
        (directory / "trials/1/raw").write_bytes(bytes(range(256)))
        store.finish_run(name, "complete", "2026-11-27T00:00:00+00:00", "2 blocks")


def fill_all(store: Store) -> None:
    """Both runs, a baseline and a known change."""
    fill(store, *RUNS)
    store.set_baseline(BASELINE)
    store.acknowledge(KNOWN)


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, hidden ones too, but for the lock and the database."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("lock", "bench.sqlite")
    }


def counts(store: Store) -> dict[str, int]:
    """Rows of each table, of a database that is whole."""
    with closing(sqlite3.connect(store.directory / "bench.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = ("run", "trial", "sample", "noise")
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
