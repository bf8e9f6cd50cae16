"""The changes of a series: when, by how much, whether for the worse, whether they last, and whether they are known."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.history.series import Lineage, Series
from results.records import Acknowledgement, RunRecord
from results.stats.change_points import Shift, find_shifts
from results.stats.segmentation import Proposer

SLACK = 4
"""A change that was acknowledged may be found this many runs earlier or later once more is known."""


@dataclass(frozen=True)
class Change:
    """A confirmed change of a series' level.

    Attributes:
        series: whose.
        shift: where in the series, of what kind, and by how much.
        worse: whether for the worse; None where neither direction is the better one.
        lasts: whether the last level of the series is still on that side of the one before the change.
        before: the median of the level before.
        after: the median of the new level; of a drift, of its last week.
        known: how it was acknowledged; None if it was not.
    """

    series: Series
    shift: Shift
    worse: bool | None
    lasts: bool
    before: float
    after: float
    known: Acknowledgement | None

    @property
    def run(self) -> RunRecord:
        """The first run of the new level, or the one with which a drift begins."""
        return self.series.runs[self.shift.index]

    @property
    def id(self) -> str:
        """What ``bench ack`` takes: eight characters, the same as long as the change is found at the same run."""
        key = self.series.key
        series = (key.suite, key.workload, key.params, key.arm, key.accel, key.metric)
        named = "\0".join((*series, self.run.id, self.shift.kind))
        return hashlib.sha256(named.encode()).hexdigest()[:8]

    @property
    def alarming(self) -> bool:
        """Whether it is for the worse, lasts, and nobody has acknowledged it."""
        return bool(self.worse) and self.lasts and self.known is None

    def acknowledged(self, reason: str, now: str) -> Acknowledgement:
        """The record that it is known."""
        key = self.series.key
        return Acknowledgement(
            suite=key.suite,
            suite_hash=self.run.suite_hash,
            image=self.run.image,
            host_fingerprint=self.run.host_fingerprint,
            workload=key.workload,
            params=key.params,
            arm=key.arm,
            accel=key.accel,
            metric=key.metric,
            run=self.run.id,
            kind=self.shift.kind,
            ratio=self.shift.ratio,
            reason=reason,
            created=now,
        )


WithChanges = tuple[Series, Sequence[Change]]
"""A series and its changes."""


def changes_of(
    series: Series,
    threshold: float,
    known: Iterable[Acknowledgement] = (),
    *,
    proposer: Proposer | None = None,
) -> list[Change]:
    """The changes of a series in its order.

    Args:
        series: whose; which direction is the good one, it says (:meth:`results.history.policy.Policy.directed`).
        threshold: the practical threshold of its metric.
        known: acknowledgements of the store; those of other series are passed over.
        proposer: what proposes changes (:class:`results.stats.segmentation.Segmentation` if None).
    """
    shifts = find_shifts(series.values.tolist(), threshold, proposer)
    if not shifts:
        return []
    acknowledged = _matched(series, shifts, threshold, known)
    direction = {"lower": 1, "higher": -1}.get(series.better, 0)
    levels = [_levels(series, shifts, place) for place in range(len(shifts))]
    found = []
    for shift, (before, after), of_shift in zip(shifts, levels, acknowledged, strict=True):
        sign = math.copysign(1, math.log(shift.ratio))
        lasts = sign * math.log(levels[-1][1] / before) > math.log1p(threshold)
        worse = None if direction == 0 else sign == direction
        found.append(Change(series, shift, worse, lasts, before, after, of_shift))
    return found


def _levels(series: Series, shifts: Sequence[Shift], place: int) -> tuple[float, float]:
    """The median before and after a shift; a drift's are those of its first and last week."""
    shift = shifts[place]
    if shift.kind == "drift":
        drifting = series.values[shift.index :]
        week = min(7, drifting.size // 3)
        return float(np.median(drifting[:week])), float(np.median(drifting[-week:]))
    steps = [each.index for each in shifts if each.kind == "step"]
    end = steps[place + 1] if place + 1 < len(steps) else series.values.size
    before = series.values[shift.index - shift.before : shift.index]
    return float(np.median(before)), float(np.median(series.values[shift.index : end]))


def _matched(
    series: Series, shifts: Sequence[Shift], threshold: float, known: Iterable[Acknowledgement]
) -> list[Acknowledgement | None]:
    """Of each shift the acknowledgement that is of it; each is of one shift, the nearest."""
    ids = [run.id for run in series.runs]
    left = [each for each in known if _is_of(series, each)]
    matched: list[Acknowledgement | None] = []
    for shift in shifts:
        near = [each for each in left if _is_near(each, series.runs[shift.index], shift, ids, threshold)]
        nearest = min(near, key=lambda each: abs(bisect_left(ids, each.run) - shift.index), default=None)
        matched.append(nearest)
        left = [each for each in left if each is not nearest]
    return matched


def _is_of(series: Series, known: Acknowledgement) -> bool:
    key = series.key
    return (known.suite, known.workload, known.params, known.arm, known.accel, known.metric) == (
        key.suite,
        key.workload,
        key.params,
        key.arm,
        key.accel,
        key.metric,
    )


def _is_near(known: Acknowledgement, run: RunRecord, shift: Shift, ids: Sequence[str], threshold: float) -> bool:
    """Whether an acknowledgement may be of a shift: in the same history, of its kind, its direction and its place.

    A drift has no place: where it begins depends on how much of the past is looked at. But it goes on, and what was
    acknowledged is only as far as it had come by then. Ids sort as the runs started.
    """
    if Lineage.of(known) != Lineage.of(run) or known.kind != shift.kind or (known.ratio > 1) != (shift.ratio > 1):
        return False
    if shift.kind == "drift":
        return abs(math.log(shift.ratio)) <= abs(math.log(known.ratio)) + math.log1p(threshold)
    return ids[0] <= known.run <= ids[-1] and abs(bisect_left(ids, known.run) - shift.index) <= SLACK
