"""From samples to trials: the one place where a run's frame is grouped, for comparison and summary alike."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from results.records import neighbour_of

if TYPE_CHECKING:
    import pandas as pd

WorkloadCase = tuple[str, str]
"""A workload and its parameters as one string."""

_DIGITS = re.compile(r"([0-9]+)")


def natural(case: WorkloadCase) -> tuple[list[str | int], ...]:
    """A key to sort cases by, in which ``iodepth=2`` stands before ``iodepth=16``."""
    return tuple([int(part) if _DIGITS.fullmatch(part) else part for part in _DIGITS.split(text)] for text in case)


def choose_reference(arms: Mapping[WorkloadCase, int]) -> WorkloadCase | None:
    """The case whose trials stand for what instances have before any workload has touched them.

    It is the one that most arms completed; among those one without a neighbour; among those ``null``, which is made
    for it, else the first by :func:`natural` order.

    Args:
        arms: how many arms completed each case.
    """
    order = sorted(arms, key=natural)

    def fitness(case: WorkloadCase) -> tuple[int, bool, bool, int]:
        return arms[case], neighbour_of(case[1])[1] is None, case[0] == "null", -order.index(case)

    return max(order, key=fitness, default=None)


@dataclass(frozen=True, slots=True)
class ArmTrials:
    """One arm's trials of one case.

    Attributes:
        runtime: name of the arm's runtime.
        accel: ``tcg`` if any of the trials ran under software emulation, otherwise that of the first.
        trials: (block, value), one a trial: the median over its iterations.
    """

    runtime: str
    accel: str
    trials: tuple[tuple[int, float], ...]

    @property
    def values(self) -> list[float]:
        """One value a trial."""
        return [value for _, value in self.trials]

    def by_block(self) -> dict[int, float]:
        """One value a block, the median where the arm has several trials in it (one was repeated)."""
        grouped: dict[int, list[float]] = {}
        for block, value in self.trials:
            grouped.setdefault(block, []).append(value)
        return {block: statistics.median(values) for block, values in grouped.items()}


def unpaired_warning(ours: ArmTrials, theirs: ArmTrials) -> tuple[str, ...]:
    """What a comparison has to say of blocks in which only one side has a trial; nothing where there is none."""
    left_out = len(ours.by_block().keys() ^ theirs.by_block().keys())
    return (f"{left_out} {'trial' if left_out == 1 else 'trials'} without partner left out",) if left_out else ()


@dataclass(frozen=True, slots=True)
class Case:
    """One metric of one workload with one set of parameters.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        metric: name of the metric.
        unit: of the values.
        better: ``lower``, ``higher`` or ``neutral``.
        primary: whether the workload names it as what it measures foremost.
        arms: the arms that have the metric, in the order of the suite.
        workload_arms: the arms that have any metric of this workload with these parameters.
    """

    workload: str
    params: str
    metric: str
    unit: str
    better: str
    primary: bool
    arms: Mapping[str, ArmTrials]
    workload_arms: frozenset[str]


@dataclass(slots=True)
class _Growing:
    primary: bool = False
    arms: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def cases_of(frame: pd.DataFrame) -> list[Case]:
    """Group a run's samples into cases, by workload and parameters, then metric, each in order of appearance.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    columns = ["workload", "params", "metric", "unit", "better", "arm", "trial"]
    grouped = frame.groupby(columns, observed=True, sort=False)
    trials = grouped.agg(block=("block", "first"), value=("value", "median"), primary=("primary", "max")).reset_index()
    growing: dict[tuple[str, str], dict[tuple[str, str, str], _Growing]] = {}
    rows: Iterator[Any] = trials.itertuples(index=False)
    for row in rows:
        metrics = growing.setdefault((row.workload, row.params), {})
        case = metrics.setdefault((row.metric, row.unit, row.better), _Growing())
        case.primary |= bool(row.primary)
        case.arms.setdefault(row.arm, []).append((int(row.block), float(row.value)))
    arms = arms_in_order(frame)
    runtimes = dict(zip(frame["arm"], frame["runtime"], strict=True))
    accels = _accels(frame)
    return [
        Case(
            *key,
            *metric,
            case.primary,
            {
                arm: ArmTrials(runtimes[arm], accels[(*key, arm)], tuple(case.arms[arm]))
                for arm in arms
                if arm in case.arms
            },
            frozenset(arm for other in metrics.values() for arm in other.arms),
        )
        for key, metrics in growing.items()
        for metric, case in metrics.items()
    ]


def arms_in_order(frame: pd.DataFrame) -> list[str]:
    """The run's arms: all in the suite's order where the column carries it as its categories, else as they appear."""
    import pandas as pd

    arms = frame["arm"]
    return list(arms.cat.categories) if isinstance(arms.dtype, pd.CategoricalDtype) else list(arms.unique())


def _accels(frame: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    columns = ["workload", "params", "arm", "accel"]
    accels: dict[tuple[str, str, str], str] = {}
    for workload, params, arm, accel in frame[columns].drop_duplicates().itertuples(index=False, name=None):
        if accel == "tcg":
            accels[workload, params, arm] = accel
        else:
            accels.setdefault((workload, params, arm), accel)
    return accels
