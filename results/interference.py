"""How much slower a workload is beside a neighbour than alone, in the same arm: victim by neighbour by arm."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from results.noise import disturbance_warning
from results.records import neighbour_of
from results.stats.false_discovery import q_values
from results.stats.paired import PairedRatio, paired_ratio
from results.stats.verdict import THRESHOLD, Verdict, judge
from results.trials import ArmTrials, Case, cases_of, natural, unpaired_warning

if TYPE_CHECKING:
    import pandas as pd

READING = (
    "The slowdown is what a workload measures foremost beside a neighbour, divided by the same alone in the same arm "
    "and block; turned over where higher values are better, so that above 1× the neighbour slows it down. Nothing is "
    "compared between arms here: 1.9× in one arm and 2.1× in another are to be read with their intervals."
)
"""What a reader of the figures must know."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """One primary metric of one workload case in one arm, beside one neighbour.

    Attributes:
        workload: name of the workload that was disturbed.
        params: its parameters, without the neighbour.
        metric: name of the metric.
        unit: of the medians.
        neighbour: what ran beside (:attr:`bench.neighbours.Neighbour.identity`).
        arm: name of the arm.
        emulated: whether any of the trials ran under software emulation.
        n: blocks with a trial of either kind.
        slowdown: above 1 where the neighbour slows it down, by Hodges and Lehmann over the blocks; None where no ratio
            can be formed.
        ci_low: lower end of its 95 % interval; None below six blocks.
        ci_high: its upper end.
        p_value: two-sided, of "no difference".
        q_value: adjusted for false discovery over the run's slowdowns; None where it took no part in the control.
        verdict: ``worse`` where it is slowed down beyond the practical threshold.
        alone: median over the trials without neighbour.
        beside: median over the trials with it.
        warnings: what a reader must know.
    """

    workload: str
    params: str
    metric: str
    unit: str
    neighbour: str
    arm: str
    emulated: bool
    n: int
    slowdown: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    q_value: float | None
    verdict: Verdict
    alone: float
    beside: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same metric beside a neighbour and alone, in one arm."""

    case: Case
    params: str
    neighbour: str
    arm: str
    ours: ArmTrials
    alone: ArmTrials
    paired: PairedRatio


def slowdowns_of(frame: pd.DataFrame, threshold: float = THRESHOLD, disturbed: Collection[int] = ()) -> list[Slowdown]:
    """The slowdowns of a run, by workload case, metric, neighbour and arm; empty where nothing ran beside anything.

    False discoveries are controlled over all of them (Benjamini & Hochberg), and verdicts go by effect size, as in
    :func:`results.compare.compare`.

    Args:
        frame: from :meth:`results.store.Store.frame`.
        threshold: the practical threshold of the verdicts, 0.05 for 5 %.
        disturbed: blocks in which the host was not quiet (:func:`results.noise.disturbed_blocks`).
    """
    pairs = _pairs(cases_of(frame))
    adjusted = q_values({index: pair.paired for index, pair in enumerate(pairs)})
    return [_slowdown(pair, adjusted.get(index), threshold, disturbed) for index, pair in enumerate(pairs)]


def to_json(slowdowns: Sequence[Slowdown]) -> list[dict[str, object]]:
    """The same as plain data, for ``bench show --format json``."""
    return [asdict(one) | {"warnings": list(one.warnings)} for one in slowdowns]


def _pairs(cases: Sequence[Case]) -> list[_Pair]:
    alone = {(case.workload, case.params, case.metric): case for case in cases}
    found: list[_Pair] = []
    for case in sorted(cases, key=lambda case: natural((case.workload, case.params))):
        params, neighbour = neighbour_of(case.params)
        undisturbed = alone.get((case.workload, params, case.metric))
        if neighbour is None or undisturbed is None or not case.primary or case.better == "neutral":
            continue
        for arm, ours in case.arms.items():
            theirs = undisturbed.arms.get(arm)
            if theirs is not None:
                found.append(_Pair(case, params, neighbour, arm, ours, theirs, _paired(ours, theirs, case.better)))
    return found


def _paired(ours: ArmTrials, alone: ArmTrials, better: str) -> PairedRatio:
    beside, undisturbed = ours.by_block(), alone.by_block()
    shared = [block for block in beside if block in undisturbed]
    above = [beside[block] for block in shared]
    below = [undisturbed[block] for block in shared]
    return paired_ratio(below, above) if better == "higher" else paired_ratio(above, below)


def _slowdown(pair: _Pair, q_value: float | None, threshold: float, disturbed: Collection[int]) -> Slowdown:
    paired = pair.paired
    shared = pair.ours.by_block().keys() & pair.alone.by_block().keys()
    doubts = (*unpaired_warning(pair.ours, pair.alone), *disturbance_warning(shared, disturbed))
    # Turned as it is, less is better whatever the metric.
    verdict, warnings = judge(paired.interval, "lower", q_value, threshold)
    low, high = paired.interval or (None, None)
    return Slowdown(
        workload=pair.case.workload,
        params=pair.params,
        metric=pair.case.metric,
        unit=pair.case.unit,
        neighbour=pair.neighbour,
        arm=pair.arm,
        emulated="tcg" in (pair.ours.accel, pair.alone.accel),
        n=paired.n,
        slowdown=paired.ratio,
        ci_low=low,
        ci_high=high,
        p_value=paired.p_value,
        q_value=q_value,
        verdict=verdict,
        alone=statistics.median(pair.alone.values),
        beside=statistics.median(pair.ours.values),
        warnings=(*paired.warnings, *doubts, *warnings),
    )
