"""Every arm of a run against its baseline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.stats.paired import PairedRatio, paired_ratio
from results.stats.verdict import Verdict, judge
from results.trials import ArmTrials, Case, cases_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one workload case: an arm against the baseline.

    Attributes:
        workload: name of the workload.
        params: its parameters as one string, ``k=v,k=v``.
        metric: name of the metric.
        unit: unit of the medians.
        better: ``lower``, ``higher`` or ``neutral``.
        arm: the arm compared.
        baseline: the arm it is divided by.
        n: blocks in which both arms have a trial.
        ratio: arm/baseline, the Hodges–Lehmann estimate over the blocks; None where no ratio can be formed.
        ci_low: lower end of the ratio's 95 % confidence interval; None where n is too small for one, or without ratio.
        ci_high: its upper end.
        p_value: two-sided signed-rank p-value of "no difference"; None without ratio.
        verdict: ``same``, ``better``, ``worse`` or ``inconclusive``.
        warnings: what a reader must know about this comparison.
        median: over all trials of the arm, paired or not.
        baseline_median: over all trials of the baseline; None if it has none.
        accel: the arm's; ``tcg`` if either side ran under software emulation.
        primary: whether the workload names this metric as what it measures foremost.
        q_value: p_value adjusted for false discovery over all comparisons of the run.
    """

    workload: str
    params: str
    metric: str
    unit: str
    better: str
    arm: str
    baseline: str
    n: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    verdict: Verdict
    warnings: tuple[str, ...]
    median: float
    baseline_median: float | None
    accel: str
    primary: bool
    q_value: float | None = None


def compare(frame: pd.DataFrame, baseline: str) -> list[Comparison]:
    """Compare every arm with the baseline, in the order of the suite: by workload case, metric, arm.

    Each trial counts once, as the median over its iterations, and is paired with the baseline's trial in the same
    block; trials without partner are left out and counted in a warning. A metric that the baseline does not have (a
    phase of start-up that it does not go through) is no comparison; a workload case in which the baseline has no trial
    at all is, with n = 0 and a warning.

    A verdict ``better`` or ``worse`` also needs a q-value of at most 0.05. The family it is adjusted over is every
    comparison of the run that could give such a verdict (Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995)
    289–300): not neutral metrics, and not tests that no signs of the differences could have made significant (Gilbert,
    Appl. Statist. 54 (2005) 143–158, after Tarone).

    Args:
        frame: from :meth:`results.store.Store.frame`.
        baseline: name of the arm to divide by.
    """
    pairs = [
        (case, arm, _paired(case, arm, baseline))
        for case in cases_of(frame)
        if baseline in case.arms or baseline not in case.workload_arms
        for arm in case.arms
        if arm != baseline
    ]
    q_values = _q_values(pairs)
    return [
        _comparison(case, arm, baseline, paired, q_value)
        for (case, arm, paired), q_value in zip(pairs, q_values, strict=True)
    ]


def to_json(comparisons: Sequence[Comparison]) -> list[dict[str, object]]:
    """The comparisons as ``bench compare --format json`` gives them: plain values, None where there is no figure."""
    return [
        {
            "workload": one.workload,
            "params": one.params,
            "metric": one.metric,
            "unit": one.unit,
            "better": one.better,
            "arm": one.arm,
            "baseline": one.baseline,
            "n": one.n,
            "ratio": one.ratio,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "p_value": one.p_value,
            "verdict": one.verdict,
            "q_value": one.q_value,
            "accel": one.accel,
            "warnings": list(one.warnings),
        }
        for one in comparisons
    ]


def _paired(case: Case, arm: str, baseline: str) -> PairedRatio:
    above = case.arms[arm].by_block()
    below = case.arms[baseline].by_block() if baseline in case.arms else {}
    shared = [block for block in above if block in below]
    return paired_ratio([above[block] for block in shared], [below[block] for block in shared])


def _q_values(pairs: Sequence[tuple[Case, str, PairedRatio]]) -> list[float | None]:
    family = {
        index: paired.p_value
        for index, (case, _, paired) in enumerate(pairs)
        if case.better != "neutral" and paired.p_value is not None and paired.could_be_significant
    }
    if not family:
        return [None] * len(pairs)
    from scipy.stats import false_discovery_control

    adjusted = dict(zip(family, false_discovery_control(list(family.values())).tolist(), strict=True))
    return [adjusted.get(index) for index in range(len(pairs))]


def _comparison(case: Case, arm: str, baseline: str, paired: PairedRatio, q_value: float | None) -> Comparison:
    ours, theirs = case.arms[arm], case.arms.get(baseline)
    verdict, verdict_warnings = judge(paired.interval, case.better, q_value)
    low, high = paired.interval or (None, None)
    return Comparison(
        workload=case.workload,
        params=case.params,
        metric=case.metric,
        unit=case.unit,
        better=case.better,
        arm=arm,
        baseline=baseline,
        n=paired.n,
        ratio=paired.ratio,
        ci_low=low,
        ci_high=high,
        p_value=paired.p_value,
        verdict=verdict,
        warnings=(*paired.warnings, *_unpaired(ours, theirs, baseline), *verdict_warnings),
        median=statistics.median(ours.values),
        baseline_median=None if theirs is None else statistics.median(theirs.values),
        accel="tcg" if theirs is not None and theirs.accel == "tcg" else ours.accel,
        primary=case.primary,
        q_value=q_value,
    )


def _unpaired(ours: ArmTrials, theirs: ArmTrials | None, baseline: str) -> tuple[str, ...]:
    if theirs is None:
        return (f"no trial of {baseline} succeeded",)
    left_out = len(ours.by_block().keys() ^ theirs.by_block().keys())
    return (f"{left_out} {'trial' if left_out == 1 else 'trials'} without partner left out",) if left_out else ()
