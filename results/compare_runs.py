"""The same case and arm in two runs, or in many against the first of them.

Trials of two runs share no blocks, so that samples are not paired: the Mann–Whitney test, and the Hodges–Lehmann ratio
with the interval that belongs to it (:mod:`results.stats.unpaired`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from results.compare import Comparison, Pair, judged
from results.compare import to_json as comparisons_json
from results.families import family_of, is_compared
from results.noise import disturbance_warning, disturbed_blocks
from results.records import EMULATED
from results.resources import resource_changes
from results.stats.unpaired import UnpairedRatio, unpaired_ratio
from results.trials import ArmTrials, Case, WorkloadCase, cases_of, choose_reference

if TYPE_CHECKING:
    from results.records import RunRecord, TrialRecord
    from results.store import Store

BETWEEN_RUNS = (
    "Two runs of the same differ by more than their trials show: another hour, another boot, another layout of memory. "
    "The intervals know of the spread within the runs alone, so that a small difference may be nobody's doing; "
    "'bench regress' knows from the history how much runs differ among each other."
)
"""What a reader of every comparison of runs must know."""

NOT_COMPARED = "not compared: "
"""What the warning of two sides begins with that must not be held against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison(Comparison):
    """One metric of one workload case in one arm: a run against another.

    What is the arm and the baseline of a :class:`results.compare.Comparison` is the same arm in either run: ``arm`` and
    ``baseline`` have the same name. Figures of the baseline are those of ``baseline_run``.

    Attributes:
        run: id of the run.
        baseline_run: id of the run that it is divided by.
        n: trials of ``run``.
        baseline_n: trials of ``baseline_run``.
    """

    run: str
    baseline_run: str
    baseline_n: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run measured, as far as runs are compared by it.

    Attributes:
        record: the run.
        cases: its cases, those that are compared.
        disturbed: blocks in which the host was not quiet.
        trials: all of its trials, for what they report of their CPUs and memory.
    """

    record: RunRecord
    cases: tuple[Case, ...]
    disturbed: frozenset[int]
    trials: tuple[TrialRecord, ...] = ()


def measured(store: Store, run: RunRecord) -> Measured:
    """Read a run.

    Raises:
        StoreError: the store cannot be read.
    """
    frame = store.frame(run.id)
    cases = () if frame.empty else tuple(filter(is_compared, cases_of(frame)))
    return Measured(run, cases, disturbed_blocks(store.noise(run.id)), tuple(store.trials(run.id)))


def compare_runs(store: Store, runs: Sequence[RunRecord]) -> list[RunComparison]:
    """Compare each run after the first with the first; see :func:`compare_measured`.

    Args:
        store: open.
        runs: of the store, at least one.

    Raises:
        StoreError: the store cannot be read.
    """
    return compare_measured([measured(store, run) for run in runs])


def compare_measured(runs: Sequence[Measured]) -> list[RunComparison]:
    """Compare each run after the first with the first: by run, then by workload case, metric and arm as in the first.

    Compared is what both have: the same workload, parameters, metric, unit, direction and arm (:func:`unshared` tells
    of the rest). A trial counts once, as the median over its iterations. Verdicts go by the threshold of the later run,
    and false discoveries are controlled over all that is compared of a pair of runs, by family, as
    :func:`results.compare.compare` does over a run; a third run changes nothing between two others.

    What was emulated in one run only is not compared: it has no ratio, and a warning. Where two runs are of other
    hosts, images, suites or versions of this program, all their comparisons say so (:func:`unlike`); where an arm had
    other CPUs or another amount of memory, those of the arm do.
    """
    return [one for later in runs[1:] for one in _against(later, runs[0])]


def unlike(run: RunRecord, baseline: RunRecord) -> tuple[str, ...]:
    """What two runs do not have in common, so that a difference may come from there; empty for runs that are alike."""
    ours, theirs = _facts(run), _facts(baseline)
    facts = [(name, ours[name], theirs[name]) for name in ours]
    return _not_the_same(facts, baseline)


def is_not_compared(one: RunComparison) -> bool:
    """Whether the two sides were not held against each other: an arm that ran under emulation in one run alone."""
    return any(warning.startswith(NOT_COMPARED) for warning in one.warnings)


def unshared(runs: Sequence[Measured]) -> list[str]:
    """In words, for each run after the first, the workload cases and arms that only one of the two has trials of."""
    return [sentence for later in runs[1:] for sentence in _unshared(later, runs[0])]


def to_json(comparisons: Iterable[RunComparison]) -> list[dict[str, object]]:
    """As :func:`results.compare.to_json`, with ``run``, ``baseline_run`` and ``baseline_n``."""
    listed = list(comparisons)
    return [
        row | {"run": one.run, "baseline_run": one.baseline_run, "baseline_n": one.baseline_n}
        for row, one in zip(comparisons_json(listed), listed, strict=True)
    ]


def _against(later: Measured, first: Measured) -> list[RunComparison]:
    ours = {_key(case): case for case in later.cases}
    shared = [(ours[_key(case)], case) for case in first.cases if _key(case) in ours]
    reference = _reference(shared)
    differences = unlike(later.record, first.record)
    resources = resource_changes(later.trials, first.trials, first.record.id)
    pairs = [
        Pair(
            case,
            family_of(case, reference),
            arm,
            arm,
            case.arms[arm],
            before.arms[arm],
            _estimate(case.arms[arm], before.arms[arm], later.record.id, first.record.id),
            (*differences, *resources.get(arm, ()), *_doubts(later, case.arms[arm], first, before.arms[arm])),
        )
        for case, before in shared
        for arm in before.arms
        if arm in case.arms
    ]
    return [
        RunComparison(
            **{field.name: getattr(one, field.name) for field in fields(Comparison)},
            run=later.record.id,
            baseline_run=first.record.id,
            baseline_n=len(pair.theirs.values) if pair.theirs else 0,
        )
        for one, pair in zip(judged(pairs, later.record.threshold), pairs, strict=True)
    ]


def _key(case: Case) -> tuple[str, ...]:
    return case.workload, case.params, case.metric, case.unit, case.better


def _reference(shared: Sequence[tuple[Case, Case]]) -> WorkloadCase | None:
    """The case that stands for the instances in both runs."""
    arms = {(ours.workload, ours.params): len(ours.workload_arms & theirs.workload_arms) for ours, theirs in shared}
    return choose_reference(arms)


def _estimate(ours: ArmTrials, theirs: ArmTrials, run: str, baseline_run: str) -> UnpairedRatio:
    if (ours.accel == EMULATED) == (theirs.accel == EMULATED):
        return unpaired_ratio(ours.values, theirs.values)
    emulated = run if ours.accel == EMULATED else baseline_run
    warning = f"{NOT_COMPARED}it ran under software emulation in {emulated} alone"
    return UnpairedRatio(len(ours.values), len(theirs.values), None, None, None, False, (warning,))


def _doubts(later: Measured, ours: ArmTrials, first: Measured, theirs: ArmTrials) -> tuple[str, ...]:
    means = (("runtime", ours.runtime, theirs.runtime), ("accelerator", ours.accel, theirs.accel))
    disturbed = [
        f"{run.record.id}: {warning}"
        for run, trials in ((later, ours), (first, theirs))
        for warning in disturbance_warning([block for block, _ in trials.trials], run.disturbed)
    ]
    return (*_not_the_same(means, first.record), *disturbed)


def _facts(run: RunRecord) -> dict[str, str]:
    """What two runs should have in common; of hashes as much as people compare."""
    return {
        "host": run.host_fingerprint[:12],
        "image": run.image[:12],
        "suite": f"{run.suite} {run.suite_hash[:12]}",
        "version of bench": run.version,
    }


def _not_the_same(facts: Iterable[tuple[str, str, str]], baseline: RunRecord) -> tuple[str, ...]:
    return tuple(
        f"not the same {name}: {ours}, and {theirs} in {baseline.id}" for name, ours, theirs in facts if ours != theirs
    )


def _unshared(later: Measured, first: Measured) -> list[str]:
    ours, theirs = _arms_by_case(later), _arms_by_case(first)
    found: dict[tuple[str, str], list[str]] = {}
    for case in {**theirs, **ours}:
        of_both = ours.get(case, frozenset()), theirs.get(case, frozenset())
        for run, missing in ((later, of_both[0] - of_both[1]), (first, of_both[1] - of_both[0])):
            if missing:
                listed = ", ".join(sorted(missing))
                found.setdefault((run.record.id, listed), []).append(" ".join(filter(None, case)))
    return [f"only {run} has trials of {arms} in {'; '.join(cases)}" for (run, arms), cases in found.items()]


def _arms_by_case(run: Measured) -> dict[WorkloadCase, frozenset[str]]:
    return {(case.workload, case.params): case.workload_arms for case in run.cases}
