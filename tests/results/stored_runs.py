"""Runs in a store, built a trial at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pandas as pd

from results.records import ParamValue, RunRecord, Sample, TrialRecord, new_run_id
from results.store import Store


def run_record(**changes: object) -> RunRecord:
    fields: dict[str, object] = {
        "id": new_run_id(),
        "suite": "example",
        "suite_hash": "5a17e",
        "baseline": "native",
        "seed": 7,
        "image": "0a1b2c",
        "host_fingerprint": "f00d",
        "started": "2026-11-24T11:45:02Z",
        "ended": None,
        "status": "running",
        "stop_reason": None,
        "version": "0.1.0",
        "threshold": 0.05,
        "ci_width": None,
        "arms": ("native", "container", "vm"),
    }
    return RunRecord(**(fields | changes))  # type: ignore[arg-type]


class RunBuilder:
    """Adds trials to one run; trials are numbered as they come."""

    def __init__(self, store: Store, record: RunRecord) -> None:
        self.store = store
        self.record = record
        self.count = 0
        self.began = datetime(2026, 11, 24, 11, 45, 2, tzinfo=UTC)
        store.add_run(record)

    def trial(
        self,
        block: int,
        arm: str,
        *samples: Sample,
        workload: str = "work",
        params: Mapping[str, ParamValue] | None = None,
        accel: str = "none",
        status: str = "ok",
        facts: Mapping[str, str] | None = None,
        runtime: str | None = None,
        **values: float | Sequence[float],
    ) -> RunBuilder:
        """Add a trial with ``samples`` and, for each of ``values``, a metric in seconds where lower is better."""
        self.count += 1
        listed = {name: [value] if isinstance(value, int | float) else value for name, value in values.items()}
        made = [
            Sample(name, value, "s", "lower", iteration)
            for name, series in listed.items()
            for iteration, value in enumerate(series)
        ]
        error = None if status == "ok" else "exited with status 1"
        log = f"trials/{self.count}/log.txt"
        record = TrialRecord(
            self.record.id,
            self.count,
            block,
            0,
            workload,
            params or {},
            arm,
            runtime or arm,
            accel,
            status,
            error,
            (self.began + timedelta(seconds=self.count)).isoformat(timespec="milliseconds"),
            log,  # type: ignore[arg-type]
            facts or {},
        )
        self.store.add_trial(record, [*samples, *made])
        return self

    def blocks(self, arm: str, values: Sequence[float], metric: str = "time", **options: object) -> RunBuilder:
        """Add a trial a block, the first in block 0."""
        for block, value in enumerate(values):
            self.trial(block, arm, **{metric: value}, **options)  # type: ignore[arg-type]
        return self

    @property
    def frame(self) -> pd.DataFrame:
        return self.store.frame(self.record.id)
