"""Whether a series creeps one way, and by how much.

Kendall's statistic counts the pairs of values of which the later is the greater, less those of which it is the less;
without a trend it is normal, nearly (H. B. Mann, Econometrica 13 (1945) 245–259). The slope is the median of the slopes
of all pairs, its interval by the order of these (P. K. Sen, J. Amer. Statist. Assoc. 63 (1968) 1379–1389). No outlier
moves either far. ``scipy.stats`` has both (``kendalltau``, ``theilslopes``), and the tests assert the same figures; it
is not called here because importing it takes half as long as all else that ``bench history`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Trend:
    """A trend.

    Attributes:
        p_value: two-sided, of "no trend".
        slope: from one value to the next.
        low: lower end of its 95 % interval.
        high: its upper end.
    """

    p_value: float
    slope: float
    low: float
    high: float


def trend_of(values: Floats) -> Trend:
    """The trend of values that are equally far apart in time.

    Args:
        values: at least two, finite, the earliest first.
    """
    n = values.size
    earlier, later = np.triu_indices(n, 1)
    rises = values[later] - values[earlier]
    slopes: Floats = np.sort(rises / (later - earlier))
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties * (ties - 1.0) * (2.0 * ties + 5.0)).sum())
    spread = math.sqrt((n * (n - 1) * (2 * n + 5) - tied) / 18)
    statistic = abs(float(np.sign(rises).sum()))
    p_value = math.erfc(statistic / spread / math.sqrt(2)) if spread > 0 else 1.0
    low = max(round((slopes.size - _Z * spread) / 2) - 1, 0)
    high = min(round((slopes.size + _Z * spread) / 2), slopes.size - 1)
    return Trend(p_value, float(np.median(slopes)), float(slopes[low]), float(slopes[high]))
