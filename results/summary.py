"""What the trials of a run say, arm by arm, before anything is compared."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from results.clocks import clock_warnings
from results.records import is_step
from results.trials import ArmTrials, Case, cases_of

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord, TrialRecord


@dataclass(frozen=True, slots=True)
class Summary:
    """The trials of one metric of one workload case in one arm.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        metric: name of the metric.
        unit: of the figures.
        better: ``lower``, ``higher`` or ``neutral``.
        primary: whether the workload names it as what it measures foremost.
        arm: name of the arm.
        runtime: name of its runtime.
        accel: ``tcg`` if any trial ran under software emulation.
        n: trials; each counts once, as the median over its iterations.
        median: over the trials, like all that follow.
        minimum: the least.
        quartile_low: a quarter of the trials is at or below it.
        quartile_high: a quarter of the trials is at or above it.
        maximum: the greatest; no outlier is ever left out.
    """

    workload: str
    params: str
    metric: str
    unit: str
    better: str
    primary: bool
    arm: str
    runtime: str
    accel: str
    n: int
    median: float
    minimum: float
    quartile_low: float
    quartile_high: float
    maximum: float


def describe(frame: pd.DataFrame) -> list[Summary]:
    """Summarise a run, by workload case, metric and arm, in the order of the suite; steps of a trial are left out.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    return [
        _summary(case, arm, trials)
        for case in cases_of(frame)
        if not is_step(case.metric)
        for arm, trials in case.arms.items()
    ]


def to_json(run: RunRecord, trials: Sequence[TrialRecord], summaries: Sequence[Summary]) -> dict[str, object]:
    """The run, its failed trials, warnings and its summaries as ``bench show --format json`` gives them."""
    return {
        "run": asdict(run),
        "trials": len(trials),
        "failed": [asdict(trial) for trial in trials if trial.status == "failed"],
        "warnings": list(clock_warnings(trials)),
        "summaries": [asdict(summary) for summary in summaries],
    }


def _summary(case: Case, arm: str, trials: ArmTrials) -> Summary:
    values = trials.values
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Summary(
        workload=case.workload,
        params=case.params,
        metric=case.metric,
        unit=case.unit,
        better=case.better,
        primary=case.primary,
        arm=arm,
        runtime=trials.runtime,
        accel=trials.accel,
        n=len(values),
        median=statistics.median(values),
        minimum=min(values),
        quartile_low=quartiles[0],
        quartile_high=quartiles[2],
        maximum=max(values),
    )
