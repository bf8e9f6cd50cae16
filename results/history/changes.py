"""The changes of a series: when, by how much, whether for the worse, whether they last, and whether they are known."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.history.series import Series
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
        named = "\0".join((key.suite, key.workload, key.params, key.arm, key.accel, key.metric, self.run.id))
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
            workload=key.workload,
            params=key.params,
            arm=key.arm,
            accel=key.accel,
            metric=key.metric,
            run=self.run.id,
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
    acknowledged = _of_series(series, known)
    direction = {"lower": 1, "higher": -1}.get(series.better, 0)
    levels = [_levels(series, shifts, place) for place in range(len(shifts))]
    found = []
    for shift, (before, after) in zip(shifts, levels, strict=True):
        sign = math.copysign(1, math.log(shift.ratio))
        lasts = sign * math.log(levels[-1][1] / before) > math.log1p(threshold)
        worse = None if direction == 0 else sign == direction
        found.append(Change(series, shift, worse, lasts, before, after, _match(series, shift, acknowledged)))
    return found


def _levels(series: Series, shifts: Sequence[Shift], place: int) -> tuple[float, float]:
    """The median before and after a shift; a drift's are those of its first and last week."""
    shift = shifts[place]
    if shift.kind == "drift":
        drifting = series.values[shift.index :]
        week = min(7, drifting.size // 3)
        return float(np.median(drifting[:week])), float(np.median(drifting[-week:]))
    steps = [each.index for each in shifts if each.kind == "step"]
    begin = steps[place - 1] if place else 0
    end = steps[place + 1] if place + 1 < len(steps) else series.values.size
    return float(np.median(series.values[begin : shift.index])), float(np.median(series.values[shift.index : end]))


def _of_series(series: Series, known: Iterable[Acknowledgement]) -> list[Acknowledgement]:
    key = series.key
    return [
        each
        for each in known
        if (each.suite, each.workload, each.params) == (key.suite, key.workload, key.params)
        and (each.arm, each.accel, each.metric) == (key.arm, key.accel, key.metric)
    ]


def _match(series: Series, shift: Shift, known: Iterable[Acknowledgement]) -> Acknowledgement | None:
    """The acknowledgement of a change near this one and in the same direction; ids sort as the runs started."""
    ids = [run.id for run in series.runs]
    for each in known:
        same_direction = (each.ratio > 1) == (shift.ratio > 1)
        near = abs(bisect_left(ids, each.run) - shift.index) <= SLACK
        if same_direction and (near or (shift.kind == "drift" and bisect_left(ids, each.run) >= shift.index)):
            return each
    return None
