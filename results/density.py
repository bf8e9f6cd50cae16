"""What each further instance cost: the steps of every trial, and what the trials of an arm come to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.records import is_step
from results.stats.signed_rank import hodges_lehmann, signed_rank_interval
from results.trials import ArmTrials, WorkloadCase, arms_in_order, cases_of, natural

if TYPE_CHECKING:
    import pandas as pd

READING = (
    "Instances are started one after the other and all stay. What one more adds is the slope of the line through the "
    "steps (the median of the slopes between all pairs of them), so that what only the first one pays for is not in "
    "it: by the footprint of the instances' cgroups, by their proportional set size, and by the host's available "
    "memory, in which is also what no cgroup is charged for and what others on the host did meanwhile. A knee is the "
    "number of instances from which on the line has another slope; unsettled are steps that were read although memory "
    "was still moving when the time for it was over."
)
"""What a reader of the figures must know."""

WAYS: Mapping[str, str] = {
    "marginal_memory": "footprint",
    "marginal_memory.pss": "proportional set size",
    "marginal_memory.host_available": "available memory of the host",
}
"""The metrics of what one more instance adds, and by what they were read."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one trial; sequences of the same length.

    Attributes:
        instances: how many there were.
        footprint: of all of them, bytes.
        start_time: seconds that the last of them took to start.
    """

    instances: tuple[float, ...]
    footprint: tuple[float, ...]
    start_time: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of one arm over its trials.

    Attributes:
        value: the Hodges–Lehmann estimate.
        low: lower end of the 95 % signed-rank interval; None below six trials.
        high: its upper end.
        n: trials.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the trials of an arm leave their line.

    Attributes:
        at: number of instances, the median of the trials that do; None where none does.
        found: how many do.
        trials: of so many.
    """

    at: float | None
    found: int
    trials: int


@dataclass(frozen=True, slots=True)
class Density:
    """One arm's trials of one workload case.

    Attributes:
        workload: name of the workload.
        params: its parameters.
        arm: name of the arm.
        emulated: whether any trial ran under software emulation.
        steps: by trial.
        marginal: bytes that one more instance adds, by the metrics of :data:`WAYS`.
        growth: the last instances' start over the first ones', median over the trials.
        reached: the most instances there were, least and greatest over the trials.
        memory_knee: of the footprint.
        start_time_knee: of the start.
        unsettled: steps in all trials that were read although memory had not settled.
    """

    workload: str
    params: str
    arm: str
    emulated: bool
    steps: tuple[Steps, ...]
    marginal: Mapping[str, Estimate]
    growth: float
    reached: tuple[int, int]
    memory_knee: Knee
    start_time_knee: Knee
    unsettled: int


def densities_of(frame: pd.DataFrame) -> list[Density]:
    """The densities of a run by workload case and arm; empty where none was measured.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    found: dict[WorkloadCase, dict[str, Mapping[str, ArmTrials]]] = {}
    for case in cases_of(frame):
        if not is_step(case.metric):
            found.setdefault((case.workload, case.params), {})[case.metric] = case.arms
    order = [case for case in sorted(found, key=natural) if "marginal_memory" in found[case]]
    return [
        _density(frame, case, arm, found[case])
        for case in order
        for arm in arms_in_order(frame)
        if arm in found[case]["marginal_memory"]
    ]


def to_json(densities: Sequence[Density]) -> list[dict[str, object]]:
    """The same as plain data, for ``bench show --format json``."""
    return [asdict(one) for one in densities]


def estimate(values: Sequence[float]) -> Estimate:
    """A figure over trials, of which there is one at least."""
    numbers = np.asarray(values, dtype=np.float64)
    low, high = signed_rank_interval(numbers) or (None, None)
    return Estimate(hodges_lehmann(numbers), low, high, len(values))


def _density(
    frame: pd.DataFrame, case: WorkloadCase, arm: str, metrics: Mapping[str, Mapping[str, ArmTrials]]
) -> Density:
    def values(metric: str) -> list[float]:
        trials = metrics.get(metric, {}).get(arm)
        return [] if trials is None else trials.values

    rows = frame[(frame["workload"] == case[0]) & (frame["params"] == case[1]) & (frame["arm"] == arm)]
    reached, trials = values("instances_reached"), len(values("marginal_memory"))
    return Density(
        workload=case[0],
        params=case[1],
        arm=arm,
        emulated=metrics["marginal_memory"][arm].accel == "tcg",
        steps=_steps(rows),
        marginal={metric: estimate(values(metric)) for metric in WAYS},
        growth=statistics.median(values("start_time_growth")),
        reached=(int(min(reached)), int(max(reached))),
        memory_knee=_knee(values("memory_knee"), trials),
        start_time_knee=_knee(values("start_time_knee"), trials),
        unsettled=int(sum(values("unsettled_steps"))),
    )


def _steps(rows: pd.DataFrame) -> tuple[Steps, ...]:
    wanted = ["density.instances", "density.footprint", "density.start_time"]
    of_steps = rows[rows["metric"].isin(wanted)]
    return tuple(
        Steps(*(tuple(trial[trial["metric"] == name].sort_values("iteration")["value"].tolist()) for name in wanted))
        for _, trial in of_steps.groupby("trial", sort=True)
    )


def _knee(found: Sequence[float], trials: int) -> Knee:
    return Knee(statistics.median(found) if found else None, len(found), trials)
