"""The samples of many runs at once, read without pandas, which takes longer to import than they take to read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results.database import filled
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


Case = tuple[str, str, str, Accel]
"""Workload, its parameters as one string, arm and accelerator."""


@dataclass(frozen=True)
class CaseTrials:
    """The successful trials of a case in many runs.

    Attributes:
        case: whose.
        trial: the row of each trial, ascending.
        run: of each trial, the place of its run among those that were asked for.
    """

    case: Case
    trial: Integers
    run: Integers


@dataclass(frozen=True)
class Samples:
    """The samples of many runs, without pandas.

    Attributes:
        cases: that there are.
        case: of each sample, an index into ``cases``.
        run: of each sample, its place among the runs that were asked for.
        trial: of each sample, the row of its trial.
        metric: of each sample, the row of its metric.
        value: of each sample.
    """

    cases: tuple[Case, ...]
    case: Integers
    run: Integers
    trial: Integers
    metric: Integers
    value: Floats


def read_metrics(connection: sqlite3.Connection) -> list[StoredMetric]:
    """All metrics that the store has a sample of."""
    rows = connection.execute("SELECT id, name, unit, better, is_primary FROM metric ORDER BY id").fetchall()
    return [
        StoredMetric(row, name, unit, better, bool(primary)) for row, name, unit, better, primary in map(filled, rows)
    ]


def read_trials(connection: sqlite3.Connection, runs: Sequence[str]) -> list[CaseTrials]:
    """The successful trials of these runs by case.

    SQLite groups them and writes their rows in one string a case, since making an object of each of a hundred thousand
    trials is what takes the time.
    """
    groups = connection.execute(
        "SELECT workload, params, arm, accel, group_concat(trial.id), group_concat(asked.key)"
        " FROM json_each(?) AS asked CROSS JOIN trial ON trial.run = asked.value"
        " WHERE status = 'ok' GROUP BY workload, params, arm, accel",
        (json.dumps(list(runs)),),
    )
    found: dict[Case, list[Integers]] = {}
    for workload, params, arm, accel, *listed in groups:
        both = np.array([numbers.split(",") for numbers in listed], dtype=np.int64)
        # The same parameters may have been written in another order.
        found.setdefault((workload, format_params(json.loads(params)), arm, accel), []).append(both)
    return [_case_trials(case, np.hstack(parts)) for case, parts in found.items()]


def _case_trials(case: Case, both: Integers) -> CaseTrials:
    order = np.argsort(both[0])
    return CaseTrials(case, both[0][order], both[1][order])


def read_samples(connection: sqlite3.Connection, wanted: Sequence[tuple[CaseTrials, Sequence[int]]]) -> Samples:
    """The samples of the trials of each case that are of its metrics (:attr:`StoredMetric.id`)."""
    columns: list[tuple[Integers, ...]] = []
    values: list[Floats] = []
    for place, (trials, metrics) in enumerate(wanted):
        rows = connection.execute(
            "SELECT sample.trial, metric, sample.value FROM json_each(?) AS asked"
            " CROSS JOIN sample ON sample.trial = asked.value"
            f" WHERE metric IN ({', '.join('?' * len(metrics))})",
            (json.dumps(trials.trial.tolist()), *metrics),
        )
        found = np.fromiter(rows, dtype=[("trial", np.int64), ("metric", np.int64), ("value", np.float64)])
        run = trials.run[np.searchsorted(trials.trial, found["trial"])]
        columns.append((np.full(found.size, place), run, found["trial"], found["metric"]))
        values.append(found["value"])
    case, run, trial, metric = (
        (np.concatenate(parts) for parts in zip(*columns, strict=True)) if columns else (np.zeros(0, np.int64),) * 4
    )
    every = np.concatenate(values) if values else np.zeros(0)
    return Samples(tuple(trials.case for trials, _ in wanted), case, run, trial, metric, every)


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
