"""A run's samples as a pandas frame, small in memory: every column of names is categorical."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from results.database import filled, require_one_of
from results.records import Accel, Better, format_params

if TYPE_CHECKING:
    from results.records import RunRecord

COLUMNS = (
    "run",
    "suite",
    "workload",
    "params",
    "arm",
    "runtime",
    "accel",
    "block",
    "trial",
    "iteration",
    "metric",
    "value",
    "unit",
    "better",
)
"""The columns of tidy data, in order: one row a sample."""


def read_frame(connection: sqlite3.Connection, run: RunRecord) -> pd.DataFrame:
    """The samples of the trials that succeeded, by trial, as recorded; ``COLUMNS`` and ``primary``.

    The categories of ``arm`` are the run's arms in the order of the suite, also those without a sample.
    """
    trials = connection.execute(
        "SELECT trial, block, workload, params, arm, runtime, accel FROM trial"
        " WHERE run = ? AND status = 'ok' ORDER BY trial",
        (run.id,),
    ).fetchall()
    samples = np.fromiter(
        connection.execute(
            "SELECT trial.trial, metric, iteration, value FROM trial JOIN sample ON sample.trial = trial.id"
            " WHERE run = ? AND status = 'ok' ORDER BY trial.trial, sample.position",
            (run.id,),
        ),
        dtype=[("trial", np.int32), ("metric", np.int32), ("iteration", np.int32), ("value", np.float64)],
    )
    metrics = connection.execute("SELECT id, name, unit, better, is_primary FROM metric ORDER BY id").fetchall()
    for row in trials:
        require_one_of(filled(row)[6], Accel)
    for row in metrics:
        require_one_of(filled(row)[3], Better)
    of_trial = np.searchsorted(np.array([row[0] for row in trials], dtype=np.int32), samples["trial"])
    of_metric = np.searchsorted(np.array([row[0] for row in metrics], dtype=np.int32), samples["metric"])
    everywhere = np.zeros(len(samples), dtype=np.int8)
    columns = {
        "run": _categorical([run.id], everywhere),
        "suite": _categorical([run.suite], everywhere),
        "workload": _categorical([row[2] for row in trials], of_trial),
        "params": _categorical([format_params(json.loads(row[3])) for row in trials], of_trial),
        "arm": _categorical([row[4] for row in trials], of_trial, run.arms),
        "runtime": _categorical([row[5] for row in trials], of_trial),
        "accel": _categorical([row[6] for row in trials], of_trial),
        "block": np.array([row[1] for row in trials], dtype=np.int32)[of_trial],
        "trial": samples["trial"],
        "iteration": samples["iteration"],
        "metric": _categorical([row[1] for row in metrics], of_metric),
        "value": samples["value"],
        "unit": _categorical([row[2] for row in metrics], of_metric),
        "better": _categorical([row[3] for row in metrics], of_metric),
        "primary": np.array([row[4] for row in metrics], dtype=bool)[of_metric],
    }
    return pd.DataFrame(columns, copy=False)


def _categorical(values: Sequence[str], rows: np.ndarray, first: Sequence[str] = ()) -> pd.Categorical:
    """``values[row]`` for each of ``rows``; the categories are ``first``, then the others as they appear."""
    codes = {name: code for code, name in enumerate(dict.fromkeys((*first, *values)))}
    of_values = np.array([codes[value] for value in values], dtype=np.int16)
    return pd.Categorical.from_codes(of_values[rows], categories=pd.Index(list(codes), dtype="str"))
