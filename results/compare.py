"""Every arm of a run against its baseline."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from results.checks import UNIT as CHECK
from results.limits import is_limit
from results.noise import disturbance_warning
from results.records import INSTANCE_METRICS, is_part, is_step
from results.stats.detectable import detectable_ratio
from results.stats.false_discovery import q_values
from results.stats.paired import PairedRatio, paired_ratio
from results.stats.verdict import THRESHOLD, Verdict, judge
from results.trials import ArmTrials, Case, WorkloadCase, cases_of, choose_reference, unpaired_warning

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord

Family = Literal["results", "parts", "repeats"]
"""Comparisons among which false discoveries are controlled together, see :func:`compare`."""


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
    at all is, with n = 0 and a warning. Checks (:mod:`results.checks`) and limits (:mod:`results.limits`) are no
    comparisons: a claim holds or does not, whatever it does in another arm. Nor are the steps of a density.

    A verdict ``better`` or ``worse`` also needs a q-value of at most 0.05 (Benjamini & Hochberg, J. R. Statist. Soc. B
    57 (1995) 289–300). It is adjusted over the comparison's family, of which there are three in a run:

    * ``results``: what workloads measure, peak memory and CPU time in every case, and what an instance has before any
      workload (:data:`results.records.INSTANCE_METRICS`) in the one case that stands for it
      (:func:`results.trials.choose_reference`);
    * ``parts``: phases of startup, parts of memory and of the image;
    * ``repeats``: what an instance has before any workload, in the other cases: the same quantities once more.

    Parts and repeats are many, and most of them are certain: a guest starts slower than a process in every case and in
    every phase. Each rejection lets the bar down for all others of its family, so that they are kept apart and change
    nothing in what the run says of its results.

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
        (case, arm, _paired(case, arm, baseline))
        for case in cases
        if case.unit != CHECK and not is_limit(case.metric) and not is_step(case.metric)
        if baseline in case.arms or baseline not in case.workload_arms
        for arm in case.arms
        if arm != baseline
    ]
    families = [_family(case, reference) for case, _, _ in pairs]
    adjusted = _q_values(pairs, families)
    return [
        _comparison(case, arm, baseline, paired, family, q_value, threshold, disturbed)
        for (case, arm, paired), family, q_value in zip(pairs, families, adjusted, strict=True)
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


def _family(case: Case, reference: WorkloadCase | None) -> Family:
    if is_part(case.metric):
        return "parts"
    if case.metric in INSTANCE_METRICS and (case.workload, case.params) != reference:
        return "repeats"
    return "results"


def _q_values(pairs: Sequence[tuple[Case, str, PairedRatio]], families: Sequence[Family]) -> list[float | None]:
    members: dict[Family, dict[int, PairedRatio]] = {}
    for index, ((case, _, paired), family) in enumerate(zip(pairs, families, strict=True)):
        if case.better != "neutral":
            members.setdefault(family, {})[index] = paired
    adjusted: dict[int, float] = {}
    for of_family in members.values():
        adjusted |= q_values(of_family)
    return [adjusted.get(index) for index in range(len(pairs))]


def _comparison(
    case: Case,
    arm: str,
    baseline: str,
    paired: PairedRatio,
    family: Family,
    q_value: float | None,
    threshold: float,
    disturbed: Collection[int],
) -> Comparison:
    ours, theirs = case.arms[arm], case.arms.get(baseline)
    verdict, verdict_warnings = judge(paired.interval, case.better, q_value, threshold)
    low, high = paired.interval or (None, None)
    noise = disturbance_warning(_shared_blocks(case, arm, baseline), disturbed)
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
        warnings=(*paired.warnings, *_unpaired(ours, theirs, baseline), *noise, *verdict_warnings),
        median=statistics.median(ours.values),
        baseline_median=None if theirs is None else statistics.median(theirs.values),
        accel="tcg" if theirs is not None and theirs.accel == "tcg" else ours.accel,
        primary=case.primary,
        family=family,
        q_value=q_value,
        threshold=threshold,
        detectable=detectable_ratio(paired.interval, threshold),
    )


def _unpaired(ours: ArmTrials, theirs: ArmTrials | None, baseline: str) -> tuple[str, ...]:
    return (f"no trial of {baseline} succeeded",) if theirs is None else unpaired_warning(ours, theirs)
