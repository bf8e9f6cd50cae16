"""The samples of many runs at once, read without pandas, which takes longer to import than they take to read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from results.records import Accel, format_params

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """A metric as the store has it.

    Attributes:
        id: of its row.
        name: of the metric.
        unit: of its values.
        better: which direction is the good one.
        primary: whether a workload names it as what it measures foremost.
    """

    id: int
    name: str
    unit: str
    better: str
    primary: bool


@dataclass(frozen=True)
class Samples:
    """The samples of many runs, without pandas.

    Attributes:
        cases: (workload, params, arm, accel) that there are.
        case: of each sample, an index into ``cases``.
        run: of each sample, its place among the runs that were asked for.
        trial: of each sample, the row of its trial.
        metric: of each sample, the row of its metric.
        value: of each sample.
    """

    cases: tuple[tuple[str, str, str, Accel], ...]
    case: Integers
    run: Integers
    trial: Integers
    metric: Integers
    value: Floats


def read_metrics(connection: sqlite3.Connection) -> list[StoredMetric]:
    """All metrics that the store has a sample of."""
    rows = connection.execute("SELECT id, name, unit, better, is_primary FROM metric ORDER BY id").fetchall()
    return [StoredMetric(row, name, unit, better, bool(primary)) for row, name, unit, better, primary in rows]


def read_samples(connection: sqlite3.Connection, runs: Sequence[str], metrics: Sequence[int]) -> Samples:
    """The samples of these metrics in the successful trials of these runs."""
    cases: dict[tuple[str, str, str, Accel], int] = {}
    readable = lru_cache(maxsize=None)(lambda params: format_params(json.loads(params)))
    trials: list[tuple[int, int, int]] = []
    for place, run in enumerate(runs):
        rows = connection.execute(
            "SELECT id, workload, params, arm, accel FROM trial WHERE run = ? AND status = 'ok'", (run,)
        )
        for trial, workload, params, arm, accel in rows:
            case = cases.setdefault((workload, readable(params), arm, accel), len(cases))
            trials.append((trial, place, case))
    trials.sort()
    found = np.fromiter(
        _rows(connection, runs, metrics), dtype=[("trial", np.int64), ("metric", np.int64), ("value", np.float64)]
    )
    table = np.array(trials, dtype=np.int64).reshape(-1, 3)
    at = np.searchsorted(table[:, 0], found["trial"])
    return Samples(tuple(cases), table[at, 2], table[at, 1], found["trial"], found["metric"], found["value"])


def _rows(
    connection: sqlite3.Connection, runs: Sequence[str], metrics: Sequence[int]
) -> Iterator[tuple[int, int, float]]:
    """Trial, metric and value of every sample."""
    listed = ", ".join("?" * len(metrics))
    query = (
        "SELECT sample.trial, metric, value FROM trial JOIN sample ON sample.trial = trial.id"
        f" WHERE trial.run = ? AND status = 'ok' AND metric IN ({listed})"
    )
    for run in runs:
        yield from connection.execute(query, (run, *metrics))


@dataclass(frozen=True)
class Medians:
    """A median for each combination of keys.

    Attributes:
        keys: the combinations, sorted by the first key, then the second…; one array a key.
        values: their medians.
    """

    keys: tuple[Integers, ...]
    values: Floats


def medians(values: Floats, *keys: Integers) -> Medians:
    """The median of the values that have all keys in common."""
    order = np.lexsort((values, *reversed(keys)))
    ordered = values[order]
    by = [key[order] for key in keys]
    if not ordered.size:
        return Medians(tuple(by), ordered)
    begins = np.concatenate([[0], np.flatnonzero(np.any([key[1:] != key[:-1] for key in by], axis=0)) + 1])
    sizes = np.diff([*begins, ordered.size])
    middle = (ordered[begins + (sizes - 1) // 2] + ordered[begins + sizes // 2]) / 2
    return Medians(tuple(key[begins] for key in by), middle)
