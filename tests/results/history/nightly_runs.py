"""Stores with many runs of the same thing, whose figures are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from stored_runs import RunBuilder, run_record

from results.records import RunRecord
from results.store import Store

BEGAN = datetime(2026, 1, 1, 3, tzinfo=UTC)


def add_nights(
    store: Store,
    levels: Mapping[str, Sequence[float]],
    *,
    first: int = 0,
    trials: int = 4,
    metric: str = "startup_time",
    **changes: object,
) -> list[RunRecord]:
    """A run a night with some trials an arm, which lie a tenth of a percent apart around the night's level.

    Args:
        store: open.
        levels: of each arm, one a night.
        first: number of the first night.
        trials: of each arm.
        metric: in seconds, where less is better.
        changes: of the runs' records.
    """
    # Hundreds of commits take seconds where each is synced; a test's store need not outlive a crash.
    store._connection.execute("PRAGMA synchronous = OFF")
    made = []
    for place, night in enumerate(zip(*levels.values(), strict=True), start=first):
        started = (BEGAN + timedelta(days=place)).isoformat()
        record = run_record(
            **{"id": f"{BEGAN + timedelta(days=place):%Y%m%d-%H%M%S}-{place:04x}", "started": started, **changes}
        )
        builder = RunBuilder(store, record)
        for arm, level in zip(levels, night, strict=True):
            builder.blocks(arm, [level * (1 + 0.001 * (block - (trials - 1) / 2)) for block in range(trials)], metric)
        store.finish_run(record.id, "complete", started, None)
        made.append(record)
    return made


def noisy(level: float, nights: int, seed: int = 1, noise: float = 0.005) -> list[float]:
    """Levels that differ from night to night as a quiet host's do."""
    return [float(each) for each in level * np.exp(noise * np.random.default_rng(seed).normal(size=nights))]
