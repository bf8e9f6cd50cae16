"""A store with a history: thirty nights of one suite, and runs that did not go well."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from stored_runs import RunBuilder, run_record

from results.records import Sample
from results.store import Store

NIGHTS = 30
STEP = 20
"""From this night on, counted from 0, the container's `rate` is lower by a tenth."""
BEGAN = datetime(2026, 10, 1, 2, 30, tzinfo=UTC)
REPORT = "<!DOCTYPE html>\n<html lang='en'><head><title>Report</title></head><body><h1>Run {}</h1></body></html>\n"
"""Stands for a report that a run has left in the store: drawing a real one takes seconds."""


def add_night(store: Store, night: int, **changes: object) -> str:
    """One run: four blocks of one workload in three arms, the guest emulated. Its report is in the store."""
    started = BEGAN + timedelta(days=night)
    record = run_record(
        **{"id": f"{started:%Y%m%d-%H%M%S}-{night:04x}", "suite": "nightly", "started": started.isoformat(), **changes}
    )
    builder = RunBuilder(store, record)
    rng = random.Random(night)
    for block in range(1, 5):
        for arm in record.arms:
            rate = rng.gauss(1000, 6) * (0.9 if arm == "container" and night >= STEP else 1)
            start = rng.gauss(0.002, 2e-5)
            builder.trial(
                block,
                arm,
                Sample("rate", rate if arm != "vm" else rate / 20, "1/s", "higher", primary=True),
                Sample("startup_time", start if arm != "vm" else 1000 * start, "s", "lower"),
                workload="work <b>",
                params={"size": "4k"},
                accel="tcg" if arm == "vm" else "none",
                status="failed" if changes.get("stop_reason") == "broken" and block == 4 else "ok",
            )
    ended = started + timedelta(minutes=20)
    store.finish_run(record.id, str(changes.get("status", "complete")), ended.isoformat(), None)
    directory = store.run_directory(record.id) / "report"
    directory.mkdir()
    (directory / "report.html").write_text(REPORT.format(record.id))
    return record.id


def without_waiting_for_the_disk(store: Store) -> None:
    """Hundreds of commits take seconds where each is synced; a test's store need not outlive a crash."""
    store._connection.execute("PRAGMA synchronous = OFF")
