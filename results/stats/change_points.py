"""Where the level of a series changed for good: proposed by segmentation, confirmed by a test of our own.

A segmentation finds the best places for changes, whether or not there are any that matter. So it only proposes, and
liberally. What it proposes is taken for a change if the values on its two sides tell it as two independent groups do
that are compared anywhere else here: by a rank-sum interval that lies wholly beyond the practical threshold
(:mod:`results.stats.unpaired`). Three things are asked for besides, because the place was chosen for its difference,
and because the question is put anew every night: a small p-value of Student's test, a few values on either side (a
single outlier is no level), and where the new level is noisier than the old one, Welch's test instead.

What creeps is never a step. After the last change a trend is looked for as well (Theil & Sen's slope, Kendall's test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from results.stats.segmentation import Proposer, Segmentation
from results.stats.trend import trend_of
from results.stats.unpaired import hodges_lehmann_ratio

Floats = npt.NDArray[np.float64]
Kind = Literal["step", "drift"]

MIN_SIDE = 4
"""The least number of values on either side of a change: some nights of noise in a row are not taken for a level."""

MIN_HISTORY = 8
"""The least number of values for a change to be looked for. With 5 against 3 the least p-value is 0.036, so that in
fact it takes some more."""

WINDOW = 60
"""So many values at the most on either side are compared: what was longer ago says little of today."""

LEVEL = 0.0003
"""Greatest p-value of a step. By simulation (``tests/results/history/test_detection.py``), not by a correction: see
there for what comes of it."""

SPREAD_LEVEL = 0.02
"""Where a one-sided F test of the variances has a p-value below this, the new level is noisier than the old one."""

UNEQUAL_LEVEL = 0.004
"""Greatest p-value of a step to a noisier level, by Welch's test, which needs some more nights then."""

DRIFT_NIGHTS = 21
"""The least number of values for a drift: three weeks of nights."""

DRIFT_LEVEL = 1e-5
"""Greatest p-value of Kendall's test for a drift; it is looked for at every night, and nights are not independent."""

_LEAST_NOISE = 1e-4
"""Of a value; figures such as counts of bytes can be the same every night."""

_OUTLIER = 4.0
"""How many standard deviations of the noise a single night lies beyond both of its neighbours."""

_ROUNDING = 1e-9
"""Logarithms that are no further apart than this are the same figure."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of level.

    Attributes:
        index: the first value of the new level; of a drift, where it has begun.
        kind: ``step`` from one value to the next, or ``drift`` over many.
        ratio: the new level divided by the one before it; of a drift, its end by its beginning.
        interval: its 95 % confidence interval.
        p_value: of the test that confirmed it.
        before: values of the level before that were compared.
        after: values of the new level that were compared; of a drift, all that it has gone on for.
    """

    index: int
    kind: Kind
    ratio: float
    interval: tuple[float, float]
    p_value: float
    before: int
    after: int


def find_shifts(values: Sequence[float], threshold: float, proposer: Proposer | None = None) -> list[Shift]:
    """The confirmed changes of a series, in its order; none where it is short or constant.

    What is before the last value that has no logarithm, zero or less, is not looked at.

    Args:
        values: one a night, finite, the earliest first.
        threshold: the practical threshold; 0.02 for 2 %.
        proposer: what proposes steps; :class:`Segmentation` if None.
    """
    series = np.asarray(values, dtype=np.float64)
    without = np.flatnonzero(series <= 0)
    if without.size:
        begin = int(without[-1]) + 1
        return [replace(shift, index=begin + shift.index) for shift in find_shifts(values[begin:], threshold, proposer)]
    if series.size < MIN_HISTORY or series.min() == series.max():
        return []
    logarithms = np.log(series)
    noise = _noise(logarithms)
    proposed = (proposer or Segmentation(MIN_SIDE)).propose(_without_outliers(logarithms, noise) / noise)
    steps = _confirmed(series, proposed, threshold)
    last = steps[-1].index if steps else 0
    drift = _drift(logarithms, last, threshold)
    return [*steps, drift] if drift else steps


def _confirmed(series: Floats, proposed: list[int], threshold: float) -> list[Shift]:
    """The proposals that stand. Of those that do not, the one that divides least is given up, and so on.

    How much a place divides is by how much the sum of squares grows where its two sides are joined (J. H. Ward, J.
    Amer. Statist. Assoc. 58 (1963) 236–244).
    """
    places = list(proposed)
    while places:
        ends = [0, *places, series.size]
        parts = [series[begin:end] for begin, end in pairwise(ends)]
        sides = zip(places, pairwise(parts), strict=True)
        shifts = [_step(at, theirs, ours, threshold) for at, (theirs, ours) in sides]
        weak = [index for index, shift in enumerate(shifts) if shift is None]
        if not weak:
            return [shift for shift in shifts if shift is not None]
        del places[min(weak, key=lambda index: _division(parts[index], parts[index + 1]))]
    return []


def _step(at: int, theirs: Floats, ours: Floats, threshold: float) -> Shift | None:
    """The step between two neighbouring parts; None where there is none that stands."""
    theirs, ours = theirs[-WINDOW:], ours[:WINDOW]
    if min(theirs.size, ours.size) < MIN_SIDE:
        return None
    x, y = np.log(ours), np.log(theirs)
    ratio, interval = hodges_lehmann_ratio(x, y)
    if interval is None or max(math.log(interval[0]), -math.log(interval[1])) <= math.log1p(threshold):
        return None
    p_value, level = _test(x, y)
    return Shift(at, "step", ratio, interval, p_value, theirs.size, ours.size) if p_value < level else None


def _division(theirs: Floats, ours: Floats) -> float:
    difference = float(np.log(ours).mean() - np.log(theirs).mean())
    return difference**2 * ours.size * theirs.size / (ours.size + theirs.size)


def _test(x: Floats, y: Floats) -> tuple[float, float]:
    """The p-value of "no shift", and the greatest that will do.

    By Student's test, or by Welch's where the new level is noisier than the old one.

    Not by ranks: those of five values are as good as they get at two standard deviations, and a step of two and a half
    would be told no better than that.
    """
    # Not scipy.stats, whose import takes half as long as all else that `bench history` does.
    from scipy.special import fdtrc, stdtr

    if max(np.ptp(x), np.ptp(y)) < _ROUNDING:
        return 0.0, LEVEL
    m, n = x.size, y.size
    ours, theirs = (max(float(each.var(ddof=1)), _ROUNDING**2) for each in (x, y))
    distance = abs(float(x.mean() - y.mean()))
    if fdtrc(m - 1, n - 1, ours / theirs) > SPREAD_LEVEL:
        freedom = m + n - 2
        error = math.sqrt(((m - 1) * ours + (n - 1) * theirs) / freedom * (1 / m + 1 / n))
        return float(2 * stdtr(freedom, -distance / error)), LEVEL
    parts = ours / m, theirs / n
    welch = sum(parts) ** 2 / (parts[0] ** 2 / (m - 1) + parts[1] ** 2 / (n - 1))
    return float(2 * stdtr(welch, -distance / math.sqrt(sum(parts)))), UNEQUAL_LEVEL


def _drift(logarithms: Floats, begin: int, threshold: float) -> Shift | None:
    """A trend since ``begin``, if it comes to more than the threshold."""
    part = logarithms[begin:][-2 * WINDOW :]
    begin = logarithms.size - part.size
    if part.size < DRIFT_NIGHTS:
        return None
    trend = trend_of(part)
    if not trend.p_value < DRIFT_LEVEL:
        return None
    low, middle, high = (each * (part.size - 1) for each in (trend.low, trend.slope, trend.high))
    if max(low, -high) <= math.log1p(threshold):
        return None
    return Shift(begin, "drift", math.exp(middle), (math.exp(low), math.exp(high)), trend.p_value, 0, part.size)


def _noise(logarithms: Floats) -> float:
    """The standard deviation of the noise, from differences of neighbours, which a change of level hardly moves."""
    estimate = 1.4826 * float(np.median(np.abs(np.diff(logarithms)))) / math.sqrt(2)
    return max(estimate, _LEAST_NOISE)


def _without_outliers(logarithms: Floats, noise: float) -> Floats:
    """The series with the mean of its neighbours in the place of every value that stands out from both of them."""
    smooth = logarithms.copy()
    left, here, right = logarithms[:-2], logarithms[1:-1], logarithms[2:]
    above = np.minimum(here - left, here - right) > _OUTLIER * noise
    below = np.minimum(left - here, right - here) > _OUTLIER * noise
    # At the edge of a level the neighbours differ themselves, and what lies beyond both is only noise.
    alike = np.abs(left - right) < _OUTLIER * noise
    smooth[1:-1] = np.where((above | below) & alike, (left + right) / 2, here)
    return smooth
