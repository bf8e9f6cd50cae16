"""Whether the iterations inside one trial have come to a steady state, and when.

After E. Barrett, C. F. Bolz-Tereick, R. Killick, S. Mount & L. Tratt, Virtual Machine Warmup Blows Hot and Cold,
Proc. ACM Program. Lang. 1, OOPSLA (2017) 52: the sequence is divided by change points into segments of one level each;
those whose level is that of the last one are the steady part, if they reach back far enough; and how the segments
before them lie to it says what the trial was doing until then.

Three things differ, because there are tens of iterations here and two thousand there. A segment is known by its mean
alone, not by its variance as well. The noise is estimated from differences of neighbours and taken as known, since a
variance estimated in every short segment finds change points everywhere. And an outlier is an iteration that stands
out from both its neighbours, instead of from a window of two hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Label = Literal["steady", "warming", "slowing", "no steady state", "too few iterations"]
"""``warming`` and ``slowing`` come to a steady state that is the best, or is not the best, that the trial has seen."""

MIN_ITERATIONS = 8
"""The least number of iterations for a label: with fewer, the noise cannot be told from a change."""

TOLERANCE = 0.01
"""Levels that are no further apart than this share of the last one are the same, however certain the difference is."""

_PENALTY = 15.0
"""What a change point must be worth, in units of the logarithm of the number of iterations: by how much it lowers the
sum of squared deviations, divided by the variance of the noise. As in Barrett et al.; the 2 to 3 of Schwarz's criterion
(Yao, Statist. Probab. Lett. 6 (1988) 181-189) are for noise that is normal, independent and of known variance."""

_TAIL = 0.25
"""The share of the iterations, from the end, that must be steady; as in Barrett et al., 500 of 2,000."""

_OUTLIER = 5.0
"""How many standard deviations of the noise an outlier lies beyond both of its neighbours."""


@dataclass(frozen=True, slots=True)
class SteadyState:
    """What the iterations of one trial did.

    Attributes:
        label: in a word.
        begins: the first iteration, counted from 0, of the steady part; None where there is none, or none is known.
    """

    label: Label
    begins: int | None


def steady_state(values: Sequence[float], better: Literal["lower", "higher"]) -> SteadyState:
    """Label the iterations of one trial. It is a label only: nothing is to be dropped for it.

    Args:
        values: of one metric, finite, in the order of the iterations.
        better: which direction of the metric is the good one.
    """
    if len(values) < MIN_ITERATIONS:
        return SteadyState("too few iterations", None)
    series = np.asarray(values, dtype=np.float64)
    noise = _noise(series)
    if noise == 0:
        return SteadyState("steady", 0)
    smooth = _without_outliers(series, noise)
    starts = _segments(smooth / noise)
    levels = np.array([part.mean() for part in np.split(smooth, starts[1:])])
    differs = np.abs(levels - levels[-1]) > max(TOLERANCE * abs(levels[-1]), noise)
    if not differs.any():
        return SteadyState("steady", 0)
    begins = starts[int(np.flatnonzero(differs)[-1]) + 1]
    if begins > series.size - math.ceil(_TAIL * series.size):
        return SteadyState("no steady state", None)
    above = levels[differs] > levels[-1]
    was_worse = above if better == "lower" else ~above
    return SteadyState("warming" if was_worse.all() else "slowing", begins)


def _noise(series: Floats) -> float:
    """The standard deviation of the noise, from the median absolute difference of neighbours.

    Changes of level and outliers hardly move that. At least a quarter of the tolerance, since figures that a tool has
    rounded are mostly equal; 0 where all are zero.
    """
    estimate = 1.4826 * float(np.median(np.abs(np.diff(series)))) / math.sqrt(2)
    return max(estimate, TOLERANCE / 4 * float(np.abs(series).mean()))


def _without_outliers(series: Floats, noise: float) -> Floats:
    """The series with the mean of its neighbours in the place of every outlier.

    The last iteration is held against the two before it. The first is never an outlier: it is where warming up shows.
    """
    left, right = series[:-1], series[1:]
    before, after = left[1:], right[1:]
    one, other = np.append(left[:-1], series[-3]), np.append(after, before[-1])
    here = series[1:]
    outlier = np.minimum(here - one, here - other) > _OUTLIER * noise
    outlier |= np.minimum(one - here, other - here) > _OUTLIER * noise
    return np.concatenate([series[:1], np.where(outlier, (one + other) / 2, here)])


def _segments(scaled: Floats) -> list[int]:
    """Where segments of one mean begin, 0 first: the exact optimum by PELT (Killick, Fearnhead & Eckley, J. Amer.
    Statist. Assoc. 107 (2012) 1590-1598).

    Args:
        scaled: with noise of a standard deviation of 1.
    """
    from ruptures import KernelCPD

    # The linear kernel is the squared deviation from the mean; ruptures counts PELT's penalty in the same unit.
    search = KernelCPD(kernel="linear", min_size=1).fit((scaled - np.median(scaled)).reshape(-1, 1))
    return [0, *map(int, search.predict(pen=_PENALTY * math.log(scaled.size))[:-1])]
