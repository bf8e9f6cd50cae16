"""Whether the newest run is worse than what was before it: by its history, or by one named run.

By history, a metric is worse if its level has changed for the worse, for good, and nobody has acknowledged it
(:mod:`results.history.changes`). One night is not enough for that. What stands out tonight is *suspicious*: it is no
alarm before a rerun has shown the same (``bench regress --confirm``) or the nights that follow have.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from results.history.changes import Change, changes_of
from results.history.policy import Policy
from results.history.series import Joinable, Series, SeriesKey, Wanted, alike, series_of
from results.stats.change_points import MIN_HISTORY, WINDOW, Floats
from results.stats.unpaired import unpaired_ratio
from results.stats.verdict import Verdict, judge

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store

NIGHTS = 120
"""So many runs at the most are looked at: what was acknowledged or mended four months ago is history."""

RECENT = 5
"""So many of the last nights are held against those before where nothing has changed."""

SUSPICIOUS = 4.0
"""How many standard deviations of the noise a night stands out that is worth a rerun. It decides on work, not on a
verdict."""

ONE_NIGHT = "stands out tonight; one night is no level: --confirm runs it again"
NIGHTS_UNKNOWN = "how much one night differs from another is not known yet: --confirm runs it again"
UNCONFIRMED = (ONE_NIGHT, NIGHTS_UNKNOWN)
"""Why something that stands out is no alarm yet."""

EXIT_REGRESSED = 3
EXIT_INCONCLUSIVE = 4


@dataclass(frozen=True)
class Finding:
    """What became of one metric.

    Attributes:
        key: which.
        unit: of the values.
        better: the good direction that it was judged by.
        verdict: ``worse`` is an alarm; ``better``, ``same``, ``inconclusive``.
        value: of the newest run; None where it has none.
        nights: how many points the history has, the newest run among them.
        ratio: what was judged: the new level divided by the one before, or the newest run by the named one; None where
            there is too little to say.
        interval: its 95 % interval.
        threshold: the practical threshold.
        change: the change that the verdict is about; where there is none, the last that lasts and is acknowledged.
        suspicious: whether the newest run stands out, and nothing has shown yet whether that lasts.
        confirmed: what a rerun said; None where there was none.
        notes: what a reader must know.
    """

    key: SeriesKey
    unit: str
    better: str
    verdict: Verdict
    value: float | None
    nights: int
    ratio: float | None
    interval: tuple[float, float] | None
    threshold: float
    change: Change | None = None
    suspicious: bool = False
    confirmed: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> str | None:
        """Why the last change is all right; None where none lasts that is acknowledged."""
        return None if self.change is None or self.change.known is None else self.change.known.reason

    @property
    def new(self) -> bool:
        """Whether this is the night on which it is first worth a rerun: it stands out, or its alarm is fresh."""
        fresh = self.change is not None and self.change.alarming and self.change.shift.after <= RECENT
        return self.suspicious or (self.verdict == "worse" and (self.change is None or fresh))


@dataclass(frozen=True)
class Regress:
    """What became of all metrics of a run.

    Attributes:
        run: the newest.
        baseline: name of the run that it was held against; None where it was its history.
        runs: how many runs the history has, this one among them.
        findings: by workload case, metric and arm.
    """

    run: RunRecord
    baseline: str | None
    runs: int
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The metrics that are worse."""
        return tuple(each for each in self.findings if each.verdict == "worse")

    @property
    def known(self) -> tuple[Finding, ...]:
        """The metrics whose last change is acknowledged."""
        return tuple(each for each in self.findings if each.known is not None)

    @property
    def suspicious(self) -> tuple[Finding, ...]:
        """The metrics that stand out tonight and are no alarm."""
        return tuple(each for each in self.findings if each.suspicious and each.verdict != "worse")

    def exit_code(self, *, strict: bool) -> int:
        """0, 3 for an alarm, and where ``strict``, 4 if some metric is inconclusive."""
        if self.alarms:
            return EXIT_REGRESSED
        return EXIT_INCONCLUSIVE if strict and any(each.verdict == "inconclusive" for each in self.findings) else 0


def regress(
    store: Store,
    run: RunRecord,
    policy: Policy,
    *,
    wanted: Wanted | None = None,
    joined: Collection[Joinable] = (),
    nights: int = NIGHTS,
) -> Regress:
    """Judge a run by its history.

    Args:
        store: open.
        run: of the store; runs after it are not looked at.
        policy: of its suite.
        wanted: which metrics.
        joined: in what runs of one history may differ.
        nights: how many runs at the most.

    Raises:
        StoreError: the store cannot be read.
    """
    runs = alike(store.runs(), run, joined)[-nights:]
    known = store.acknowledgements()
    watched = watched_of(series_of(store, runs, wanted), runs, policy)
    changes = {series.key: changes_of(series, policy.threshold_of(series.key.metric), known) for series in watched}
    findings = [
        missing(series, policy)
        if series.runs[-1].id != run.id
        else _finding(series, policy, changes[series.key], _control(series, run, changes))
        for series in watched
    ]
    return Regress(run, None, len(runs), tuple(findings))


def with_rerun(found: Regress, store: Store, rerun: RunRecord) -> Regress:
    """The same after a rerun: what stood out is an alarm if it stands out again, and else it is not.

    Args:
        found: from :func:`regress` or :func:`results.history.against.regress_against`.
        store: open; the history is read again.
        rerun: the run of just the trials that were in question; its suite may have another name.

    Raises:
        StoreError: the store cannot be read.
    """
    again = {
        replace(series.key, suite=found.run.suite): series for series in series_of(store, [rerun], Wanted(parts=True))
    }
    return replace(found, findings=tuple(_after_rerun(each, again.get(each.key)) for each in found.findings))


def _after_rerun(finding: Finding, again: Series | None) -> Finding:
    if not finding.new or finding.ratio is None or finding.value is None:
        return finding
    if again is None:
        return replace(finding, notes=(*finding.notes, "no trial of the rerun succeeded"))
    value = float(again.values[-1])
    # What it would have been without the change: the newest value over the ratio that is in question.
    before = finding.value / finding.ratio if finding.change is None else finding.change.before
    sign = 1 if finding.better == "lower" else -1
    lasts = (
        value > 0
        and before > 0
        and sign * math.log(value / before) > max(math.log1p(finding.threshold), abs(math.log(finding.ratio)) / 2)
    )
    verdict: Verdict = "worse" if lasts else "inconclusive"
    note = "a rerun shows the same" if lasts else "a rerun does not show it: no alarm"
    notes = (*(each for each in finding.notes if each not in UNCONFIRMED), note)
    return replace(finding, verdict=verdict, suspicious=False, confirmed=lasts, notes=notes)


def watched_of(found: Iterable[Series], runs: Sequence[RunRecord], policy: Policy) -> list[Series]:
    """The series whose metric has a good direction and is not ignored, and that the newest run or the one before has.

    Args:
        found: of the history.
        runs: of the history.
        policy: of its suite.
    """
    newest = {run.id for run in runs[-2:]}
    return [
        series
        for series in map(policy.directed, found)
        if series.runs[-1].id in newest and not policy.rule(series.key.metric).ignored and series.better != "neutral"
    ]


def undecided(series: Series, policy: Policy) -> Finding:
    """What there is to say of a series before it is judged."""
    return Finding(
        key=series.key,
        unit=series.unit,
        better=series.better,
        verdict="inconclusive",
        value=float(series.values[-1]),
        nights=int(series.values.size),
        ratio=None,
        interval=None,
        threshold=policy.threshold_of(series.key.metric),
    )


def missing(series: Series, policy: Policy) -> Finding:
    """What there is to say of a series that the newest run should have, and does not."""
    return replace(undecided(series, policy), value=None, notes=("no trial of it succeeded in this run",))


def _control(series: Series, run: RunRecord, changes: Mapping[SeriesKey, Sequence[Change]]) -> Sequence[Change]:
    """The changes of the baseline arm in the same metric: what changes there as well is not the arm's."""
    if series.key.arm == run.baseline:
        return ()
    return next(
        (found for key, found in changes.items() if key.arm == run.baseline and _same_but_arm(key, series.key)), ()
    )


def _same_but_arm(one: SeriesKey, other: SeriesKey) -> bool:
    return (one.workload, one.params, one.metric) == (other.workload, other.params, other.metric)


def _finding(series: Series, policy: Policy, changes: Sequence[Change], control: Sequence[Change]) -> Finding:
    lasting = [change for change in changes if change.lasts and change.known is None]
    alarm = next((change for change in reversed(lasting) if change.alarming), None)
    plain = undecided(series, policy)
    if alarm is not None:
        return _of_change(plain, alarm, "worse", control)
    steps = [change.shift.index for change in changes if change.shift.kind == "step"]
    level = _with_logarithm(series.values[max(steps, default=0) :])
    tonight = _outstanding(level) if level.size >= MIN_HISTORY else None
    sign = 1 if plain.better == "lower" else -1
    if tonight is not None and sign * tonight > math.log1p(plain.threshold):
        return replace(plain, ratio=math.exp(tonight), suspicious=True, notes=(ONE_NIGHT,))
    if lasting:
        return _of_change(plain, lasting[-1], "better", control)
    known = next((change for change in reversed(changes) if change.lasts and change.known is not None), None)
    if level.size >= MIN_HISTORY:
        return replace(_quiet(plain, level), change=known)
    count = f"{level.size} run{'' if level.size == 1 else 's'}"
    told = f"{count} since the last change" if steps else f"{count} of at least {MIN_HISTORY}"
    return replace(plain, change=known, notes=(f"too little history: {told}",))


def _of_change(plain: Finding, change: Change, verdict: Verdict, control: Sequence[Change]) -> Finding:
    notes = _control_notes(change, control)
    shift = change.shift
    return replace(plain, verdict=verdict, ratio=shift.ratio, interval=shift.interval, change=change, notes=notes)


def _quiet(plain: Finding, level: Floats) -> Finding:
    """A metric whose level has not changed: whether the last nights are as those before."""
    recent, before = level[-RECENT:], level[:-RECENT][-WINDOW:]
    found = unpaired_ratio(recent.tolist(), before.tolist())
    is_same = judge(found.interval, plain.better, None, plain.threshold)[0] == "same"
    verdict: Verdict = "same" if is_same else "inconclusive"
    return replace(plain, verdict=verdict, ratio=found.ratio, interval=found.interval, notes=found.warnings)


def _with_logarithm(values: Floats) -> Floats:
    """The values after the last that has no logarithm."""
    without = np.flatnonzero(values <= 0)
    return values[int(without[-1]) + 1 :] if without.size else values


def _outstanding(level: Floats) -> float | None:
    """How far the last value lies from the median of those before, if that is beyond their noise; logarithmic."""
    logarithms = np.log(level)
    before = logarithms[:-1]
    middle = float(np.median(before))
    noise = 1.4826 * float(np.median(np.abs(before - middle)))
    distance = float(logarithms[-1]) - middle
    return distance if abs(distance) > SUSPICIOUS * noise and distance != 0 else None


def _control_notes(change: Change, control: Sequence[Change]) -> tuple[str, ...]:
    together = [
        each
        for each in control
        if (each.shift.ratio > 1) == (change.shift.ratio > 1)
        and abs(each.shift.index - change.shift.index) <= RECENT
        and abs(math.log(each.shift.ratio)) > abs(math.log(change.shift.ratio)) / 3
    ]
    if not together:
        return ()
    arm = together[0].series.key.arm
    return (f"{arm} changed as well ({together[0].shift.ratio - 1:+.1%}): the host or the image, rather than this arm",)
