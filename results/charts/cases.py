"""Picking from a run's samples: one value a trial, medians, and names for workload cases."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING

from results.records import split_params
from results.trials import WorkloadCase, choose_reference, natural

if TYPE_CHECKING:
    import pandas as pd


def trial_values(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a trial: the median of ``metric`` over the trial's iterations, the unit of replication being the trial.

    Args:
        frame: samples, with the columns of the CSV export.
        metric: name of the metric.

    Returns:
        Columns workload, params, arm, trial, value, in the order of the frame.
    """
    rows = frame[frame["metric"] == metric]
    values = rows[["workload", "params", "arm", "trial", "value"]].reset_index(drop=True)
    if values["trial"].is_unique:
        return values  # one iteration a trial, as of most metrics: nothing to reduce
    medians = values.groupby("trial", sort=False)["value"].median()
    return values.drop_duplicates("trial").assign(value=medians.to_numpy()).reset_index(drop=True)


def arm_medians(frame: pd.DataFrame, metric: str) -> dict[str, float]:
    """The median over trials of ``metric``, by arm; arms that have none are absent."""
    values = trial_values(frame, metric)
    by_arm: dict[str, list[float]] = {}
    for arm, value in zip(values["arm"].tolist(), values["value"].tolist(), strict=True):
        by_arm.setdefault(str(arm), []).append(value)
    return {arm: statistics.median(of_arm) for arm, of_arm in by_arm.items()}


def part_medians(frame: pd.DataFrame, whole: str) -> dict[str, dict[str, float]]:
    """Medians over trials of every ``<whole>.<part>``: by arm, then by part in the order of recording."""
    prefix = f"{whole}."
    parts: dict[str, dict[str, float]] = {}
    for arm, of_arm in frame.groupby("arm", sort=False, observed=True):
        metrics = [str(metric) for metric in of_arm["metric"].unique() if str(metric).startswith(prefix)]
        if metrics:
            medians = {metric.removeprefix(prefix): arm_medians(of_arm, metric)[str(arm)] for metric in metrics}
            parts[str(arm)] = medians
    return parts


def cases(frame: pd.DataFrame) -> list[WorkloadCase]:
    """The workload cases of ``frame``, sorted as people do; trials themselves are in random order."""
    pairs = frame[["workload", "params"]].drop_duplicates()
    return sorted(((str(workload), str(params)) for workload, params in pairs.itertuples(index=False)), key=natural)


def reference_case(frame: pd.DataFrame) -> WorkloadCase | None:
    """The case whose trials stand for an arm's startup and idle footprint, which no workload has touched yet."""
    arms = frame.groupby(["workload", "params"], observed=True)["arm"].nunique()
    return choose_reference({case: int(arms.loc[case]) for case in cases(frame)})


def of_case(frame: pd.DataFrame, case: WorkloadCase | None) -> pd.DataFrame:
    """The samples of one case; none for None."""
    if case is None:
        return frame.iloc[:0]
    return frame[(frame["workload"] == case[0]) & (frame["params"] == case[1])]


def case_labels(found: Iterable[WorkloadCase]) -> dict[WorkloadCase, str]:
    """A name for every case: the workload, and those of its parameters in which its cases differ."""
    by_workload: dict[str, list[WorkloadCase]] = {}
    for case in dict.fromkeys(found):
        by_workload.setdefault(case[0], []).append(case)
    labels = {}
    for workload, same in by_workload.items():
        split = {case: split_params(case[1]) for case in same}
        common = set.intersection(*(set(params) for params in split.values()))
        for case, params in split.items():
            labels[case] = " · ".join([workload, *(param for param in params if param not in common)])
    return labels
