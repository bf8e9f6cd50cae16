"""Every arm of a run against its baseline."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.families import Family, adjusted, family_of, is_compared
from results.noise import disturbance_warning
from results.stats.detectable import detectable_ratio
from results.stats.estimate import RatioEstimate
from results.stats.paired import PairedRatio, paired_ratio
from results.stats.verdict import THRESHOLD, Verdict, judge
from results.trials import ArmTrials, Case, cases_of, choose_reference, unpaired_warning

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord


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
        family: which comparisons of the run its p-value is adjusted with.
        q_value: p_value adjusted for false discovery over its family; None where it took no part in the control.
        threshold: the practical threshold that the verdict goes by; 0.05 is a ratio between 1/1.05 and 1.05.
        detectable: the smallest ratio above 1 that would have got a verdict of ``better`` or ``worse`` with 80 % power
            (:func:`results.stats.detectable.detectable_ratio`); None without interval.
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
    family: Family = "results"
    q_value: float | None = None
    threshold: float = THRESHOLD
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides of one case that are to be compared, and how they differ, before there is a verdict.

    Attributes:
        case: the metric, and what both sides measured it with.
        family: which comparisons its p-value is adjusted with.
        arm: name of the arm that is divided.
        baseline: name of the arm that it is divided by.
        ours: the trials of the one.
        theirs: the trials of the other; None if it has none.
        estimate: of ours/theirs.
        doubts: warnings beyond those of the estimate.
    """

    case: Case
    family: Family
    arm: str
    baseline: str
    ours: ArmTrials
    theirs: ArmTrials | None
    estimate: RatioEstimate
    doubts: tuple[str, ...]


def compare_run(frame: pd.DataFrame, run: RunRecord, disturbed: Collection[int] = ()) -> list[Comparison]:
    """Compare every arm of a run with its baseline, by the run's own practical threshold; see :func:`compare`.

    Args:
        frame: the run's, from :meth:`results.store.Store.frame`.
        run: its record.
        disturbed: blocks in which the host was not quiet (:func:`results.noise.disturbed_blocks`).
    """
    return compare(frame, run.baseline, run.threshold, disturbed)


def compare(
    frame: pd.DataFrame, baseline: str, threshold: float = THRESHOLD, disturbed: Collection[int] = ()
) -> list[Comparison]:
    """Compare every arm with the baseline, in the order of the suite: by workload case, metric, arm.

    Each trial counts once, as the median over its iterations, and is paired with the baseline's trial in the same
    block; trials without partner are left out and counted in a warning. A metric that the baseline does not have (a
    phase of start-up that it does not go through) is no comparison; a workload case in which the baseline has no trial
    at all is, with n = 0 and a warning. Left out is what :func:`results.families.is_compared` leaves out.

    A verdict ``better`` or ``worse`` also needs a q-value of at most 0.05 (Benjamini & Hochberg, J. R. Statist. Soc. B
    57 (1995) 289–300). It is adjusted over the comparison's family (:data:`results.families.Family`), of which there
    are three in a run.

    To a family belongs every comparison that could give such a verdict: not neutral metrics, and not tests that no
    signs of the differences could have made significant (Gilbert, Appl. Statist. 54 (2005) 143–158, after Tarone).

    Args:
        frame: from :meth:`results.store.Store.frame`.
        baseline: name of the arm to divide by.
        threshold: the practical threshold of the verdicts, 0.05 for 5 %.
        disturbed: blocks in which the host was not quiet (:mod:`results.noise`): comparisons that have some of them
            say so.
    """
    cases = cases_of(frame)
    reference = choose_reference({(case.workload, case.params): len(case.workload_arms) for case in cases})
    pairs = [
        Pair(
            case,
            family_of(case, reference),
            arm,
            baseline,
            case.arms[arm],
            case.arms.get(baseline),
            _paired(case, arm, baseline),
            _doubts(case, arm, baseline, disturbed),
        )
        for case in cases
        if is_compared(case)
        if baseline in case.arms or baseline not in case.workload_arms
        for arm in case.arms
        if arm != baseline
    ]
    return judged(pairs, threshold)


def judged(pairs: Sequence[Pair], threshold: float) -> list[Comparison]:
    """The comparison of each pair, after control of false discoveries over each family among them.

    Args:
        pairs: all that there are: a part of them would be judged differently.
        threshold: the practical threshold of the verdicts, 0.05 for 5 %.
    """
    q_values = adjusted([(pair.case, pair.family, pair.estimate) for pair in pairs])
    return [_comparison(pair, q_value, threshold) for pair, q_value in zip(pairs, q_values, strict=True)]


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
            "family": one.family,
            "threshold": one.threshold,
            "detectable": one.detectable,
            "accel": one.accel,
            "warnings": list(one.warnings),
        }
        for one in comparisons
    ]


def _paired(case: Case, arm: str, baseline: str) -> PairedRatio:
    shared = _shared_blocks(case, arm, baseline)
    above, below = (case.arms[name].by_block() if shared else {} for name in (arm, baseline))
    return paired_ratio([above[block] for block in shared], [below[block] for block in shared])


def _shared_blocks(case: Case, arm: str, baseline: str) -> list[int]:
    """The blocks in which both have a trial."""
    below = case.arms[baseline].by_block() if baseline in case.arms else {}
    return [block for block in case.arms[arm].by_block() if block in below]


def _doubts(case: Case, arm: str, baseline: str, disturbed: Collection[int]) -> tuple[str, ...]:
    ours, theirs = case.arms[arm], case.arms.get(baseline)
    missing = (f"no trial of {baseline} succeeded",) if theirs is None else unpaired_warning(ours, theirs)
    return (*missing, *disturbance_warning(_shared_blocks(case, arm, baseline), disturbed))


def _comparison(pair: Pair, q_value: float | None, threshold: float) -> Comparison:
    case, ours, theirs, estimate = pair.case, pair.ours, pair.theirs, pair.estimate
    verdict, verdict_warnings = judge(estimate.interval, case.better, q_value, threshold)
    low, high = estimate.interval or (None, None)
    return Comparison(
        workload=case.workload,
        params=case.params,
        metric=case.metric,
        unit=case.unit,
        better=case.better,
        arm=pair.arm,
        baseline=pair.baseline,
        n=estimate.n,
        ratio=estimate.ratio,
        ci_low=low,
        ci_high=high,
        p_value=estimate.p_value,
        verdict=verdict,
        warnings=(*estimate.warnings, *pair.doubts, *verdict_warnings),
        median=statistics.median(ours.values),
        baseline_median=None if theirs is None else statistics.median(theirs.values),
        accel="tcg" if theirs is not None and theirs.accel == "tcg" else ours.accel,
        primary=case.primary,
        family=pair.family,
        q_value=q_value,
        threshold=threshold,
        detectable=detectable_ratio(estimate.interval, threshold),
    )
