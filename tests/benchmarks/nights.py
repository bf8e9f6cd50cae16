"""A store of many nightly runs, as the Store would have written it, in seconds.

    .venv/bin/python tests/benchmarks/nights.py DIRECTORY RUNS

A run has 500 samples: three arms and three workload cases in eight blocks, seven metrics a trial, and four trials that
tell one metric less. Values waver by 1.5 % about a level; startup of the container is 5 % slower from the middle on. A
reading of noise goes with each block, a suite and a host with each run, and a log with each trial of the last run.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from results.noise import CpuSpin, NoiseReading
from results.records import RunRecord
from results.store import Store

SAMPLES_A_RUN = 500
BLOCKS = 8
METRIC = "startup_time"

ARMS = {"native": "none", "container": "none", "vm": "kvm"}
START = {"native": 0.001, "container": 0.003, "vm": 0.9}
CASES = (
    ("sysbench-cpu", {"runtime": 5, "threads": 1}, ("events_per_second", 1210.0, "1/s", "higher")),
    ("fio", {"bs": "4k", "iodepth": 16, "rw": "randread"}, ("iops", 61000.0, "iops", "higher")),
    ("redis", {"clients": 50}, ("latency_p99", 0.41e-3, "s", "lower")),
)
HARNESS = (
    (METRIC, "s", "lower"),
    ("startup.ready", "s", "lower"),
    ("memory_footprint", "bytes", "lower"),
    ("memory_peak", "bytes", "lower"),
    ("cpu_time", "s", "lower"),
)
LAST = ("shutdown_time", "s", "lower")
"""The metric that the first trials do not have."""

SUITE = {
    "name": "nightly",
    "baseline": "native",
    "limits": {"cpus": 1, "memory": "512M"},
    "arms": {"native": {"runtime": "native"}, "container": {"runtime": "container"}, "vm": {"runtime": "vm"}},
    "workloads": [{"workload": name, "params": params} for name, params, _ in CASES],
    "sampling": {"blocks": BLOCKS},
}
HOST = {
    "fingerprint": "c0ffee12",
    "facts": {"cpu_model": "Example", "cpus": 2, "memory": "7.8 GiB", "kernel": "6.18.2", "cgroup": "v2"},
    "fairness": [{"fact": "clocksource", "values": {"native": "tsc", "container": "tsc", "vm": "kvm-clock"}}],
}
FIRST = datetime(2021, 1, 1, 2, 0, 0, tzinfo=UTC)


def night(number: int) -> RunRecord:
    """The run of a night, from 0."""
    started = FIRST + timedelta(days=number)
    return RunRecord(
        id=f"{started:%Y%m%d-%H%M%S}-{number % 65536:04x}",
        suite="nightly",
        suite_hash="9b1e77a0c2",
        baseline="native",
        seed=number,
        image="4f1c2e9d",
        host_fingerprint="c0ffee12",
        started=started.isoformat(timespec="seconds"),
        ended=(started + timedelta(minutes=20)).isoformat(timespec="seconds"),
        status="complete",
        stop_reason=f"{BLOCKS} blocks, as the suite asks",
        version="0.1.0",
        threshold=0.05,
        ci_width=None,
        arms=tuple(ARMS),
    )


def trials() -> Iterator[tuple[int, int, str, int]]:
    """Number in the run, block, arm and case of each trial."""
    number = 0
    for block in range(1, BLOCKS + 1):
        for case in range(len(CASES)):
            for arm in ARMS:
                number += 1
                yield number, block, arm, case


def values(rng: random.Random, arm: str, case: int, shifted: bool) -> list[float]:
    """The values of a trial: those of ``HARNESS``, of the workload, and ``LAST``."""
    slower = 1.05 if shifted and arm == "container" else 1.0
    start = START[arm] * slower
    level = CASES[case][2][1] * (0.9 if arm == "vm" else 1.0)
    memory = 160e6 if arm == "vm" else 1.2e6
    levels = [start, start * 0.3, memory, memory + 7e6, 5.1, level, start / 4]
    return [value * rng.lognormvariate(0, 0.015) for value in levels]


def make(directory: Path, runs: int) -> None:
    """Make a store of so many nights in a directory, which need not be there."""
    with Store(directory).open(create=True):
        pass
    rng = random.Random(runs)
    with closing(sqlite3.connect(directory / "bench.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        metrics = _metrics(database)
        trial_id = 0
        for number in range(runs):
            run = night(number)
            _insert(database, "run", asdict(run) | {"seed": str(run.seed), "arms": json.dumps(run.arms)})
            _add_noise(database, run.id)
            rows: list[tuple[object, ...]] = []
            samples: list[tuple[int, int, int, int, float]] = []
            for trial, block, arm, case in trials():
                trial_id += 1
                log = f"trials/{trial}/log" if number == runs - 1 else None
                rows.append(_trial_row(trial_id, run, trial, block, arm, case, log))
                found = values(rng, arm, case, number >= runs // 2)
                known = metrics[case][: 6 if trial <= 4 else 7]
                samples += [
                    (trial_id, place, metric, 0, value)
                    for place, (metric, value) in enumerate(zip(known, found, strict=False))
                ]
            database.executemany(f"INSERT INTO trial VALUES ({', '.join('?' * 15)})", rows)
            database.executemany("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", samples)
            _write_files(directory / "runs" / run.id, logs=number == runs - 1)
        database.execute("COMMIT")


def _metrics(database: sqlite3.Connection) -> list[list[int]]:
    """The rows of the metrics of each case, in the order of :func:`values`."""
    ids: dict[tuple[object, ...], int] = {}
    for name, unit, better, primary in [
        *((*metric, 0) for metric in (*HARNESS, LAST)),
        *((metric, unit, better, 1) for _, _, (metric, _, unit, better) in CASES),
    ]:
        cursor = database.execute(
            "INSERT INTO metric (name, unit, better, is_primary) VALUES (?, ?, ?, ?)", (name, unit, better, primary)
        )
        ids[name] = int(cursor.lastrowid or 0)
    return [[*(ids[name] for name, *_ in HARNESS), ids[own[0]], ids[LAST[0]]] for _, _, own in CASES]


def _trial_row(
    trial_id: int, run: RunRecord, trial: int, block: int, arm: str, case: int, log: str | None
) -> tuple[object, ...]:
    name, params, _ = CASES[case]
    facts = json.dumps({"kernel": "6.18.2"})
    whose = (trial_id, run.id, trial, block, (trial - 1) % 9, name, json.dumps(params))
    return (*whose, arm, arm, ARMS[arm], "ok", None, run.started, log, facts)


def reading(block: int) -> NoiseReading:
    """What is found after a block of a quiet night."""
    return NoiseReading(
        block=block,
        taken="2021-01-01T02:00:00+00:00",
        seconds=9.5 if block else None,
        cost=0.2,
        spins=(CpuSpin(1, 2000, 1e-4, 1.1e-4, 5e-4, 3, 0.01),),
        steal=0.001 if block else None,
        own=1.0 if block else None,
        outside=0.02 if block else None,
        cpus=2,
        interrupts=300.0 if block else None,
    )


def _add_noise(database: sqlite3.Connection, run: str) -> None:
    for block in range(BLOCKS + 1):
        row = asdict(reading(block)) | {"run": run, "pressure": "{}"}
        _insert(database, "noise", row | {"spins": json.dumps(row["spins"])})


def _insert(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    columns, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(row.values()))


def _write_files(directory: Path, logs: bool) -> None:
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    # JSON is YAML.
    (directory / "suite.yaml").write_text(json.dumps(SUITE, indent=1))
    (directory / "host.json").write_text(json.dumps(HOST))
    (directory / "image.json").write_text(json.dumps({"id": "4f1c2e9d"}))
    for trial, _, arm, _ in trials() if logs else ():
        log = directory / "trials" / str(trial) / "log"
        log.parent.mkdir(parents=True)
        log.write_text(f"trial {trial} in {arm}\n" * 20)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
