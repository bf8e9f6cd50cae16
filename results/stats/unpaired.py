"""The ratio of two groups of values that are not paired: trials of two runs, or nights before and after a change.

Let x_1…x_m and y_1…y_n be independent logarithms whose distributions differ by a shift θ. All ranked together, the sum
of the ranks of the x is, under θ = 0, that of m ranks drawn without replacement: the Mann–Whitney or rank-sum
statistic. Hollander & Wolfe, *Nonparametric Statistical Methods*, 2nd ed. (1999), chapter 4: the test in 4.1, the
Hodges–Lehmann estimate in 4.2, the interval in 4.3.

``scipy.stats.mannwhitneyu`` gives the same p-values where there are no ties, which the tests assert. With ties it falls
back on the normal approximation, which is poor for the few values there are here; the distribution below is exact for
the midranks, and the ends of the interval need it anyway. Beyond ``_MOST_PAIRS`` the approximation is good and is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from results.stats.ranks import doubled_midranks

Floats = npt.NDArray[np.float64]

_MOST_PAIRS = 2500
"""So many pairs at the most are tested exactly: 50 values against 50 take 0.1 s where values tie."""


@dataclass(frozen=True, slots=True)
class UnpairedRatio:
    """The outcome of one comparison of two groups.

    Attributes:
        n: values of ours.
        baseline_n: values of theirs.
        ratio: ours/theirs, Hodges–Lehmann; None where no ratio can be formed.
        interval: confidence interval of the ratio; None where values are too few for one, or without ratio.
        p_value: two-sided, of "no difference"; None without ratio.
        could_be_significant: whether any arrangement of these values would have made p_value at most 0.05.
        warnings: what a reader must know.
    """

    n: int
    baseline_n: int
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    could_be_significant: bool
    warnings: tuple[str, ...]


def unpaired_ratio(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> UnpairedRatio:
    """Estimate ours/theirs from the logarithms of two groups of independent values.

    Zero and negative values have no logarithm: if all values of both groups are the same the ratio is 1, otherwise
    there is none, and a warning says so.

    Args:
        ours: finite values.
        theirs: finite values; what the others are divided by.
        confidence: of the interval.
    """
    above, below = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    sizes = int(above.size), int(below.size)
    if 0 in sizes:
        return UnpairedRatio(*sizes, None, None, None, False, ("one of the two has no value",))
    least = 2 / math.comb(sum(sizes), sizes[0])
    warnings: tuple[str, ...] = ()
    if least > 1 - confidence:
        warnings = (f"{sizes[0]} against {sizes[1]} values: too few for a {100 * confidence:g} % interval",)
    if min(above.min(), below.min()) <= 0:
        if np.unique(np.concatenate([above, below])).size > 1:
            said = ("no ratio: some values are zero or negative", *warnings)
            return UnpairedRatio(*sizes, None, None, None, False, said)
        warnings = ("zero or negative, and equal throughout", *warnings)
        x, y = np.zeros(sizes[0]), np.zeros(sizes[1])
    else:
        x, y = np.log(above), np.log(below)
    ratio, interval = hodges_lehmann_ratio(x, y, confidence)
    return UnpairedRatio(
        *sizes,
        ratio=ratio,
        interval=interval,
        p_value=rank_sum_test(x, y),
        could_be_significant=least <= 0.05,
        warnings=warnings,
    )


def hodges_lehmann_ratio(x: Floats, y: Floats, confidence: float = 0.95) -> tuple[float, tuple[float, float] | None]:
    """The ratio that two groups of logarithms are apart, and its interval; None for one where values are too few."""
    differences: Floats = np.sort(np.subtract.outer(x, y).ravel())
    place = interval_place(x.size, y.size, confidence)
    ends = None if place == 0 else (math.exp(differences[place - 1]), math.exp(differences[-place]))
    return math.exp(float(np.median(differences))), ends


def rank_sum_test(x: Floats, y: Floats) -> float:
    """The two-sided p-value of "no shift"; exact, given the values, up to ``_MOST_PAIRS`` pairs."""
    if x.size * y.size > _MOST_PAIRS:
        from scipy.stats import mannwhitneyu

        return float(mannwhitneyu(x, y, method="asymptotic").pvalue)
    if x.size > y.size:
        x, y = y, x
    doubled = doubled_midranks(np.concatenate([x, y]))
    probabilities = _distribution(tuple(np.sort(doubled).tolist()), x.size)
    statistic = int(doubled[: x.size].sum())
    tail = min(float(probabilities[: statistic + 1].sum()), float(probabilities[statistic:].sum()))
    return min(1.0, 2 * tail)


@lru_cache(maxsize=1024)
def interval_place(m: int, n: int, confidence: float) -> int:
    """Which of the m·n ordered differences, from either end, bound the interval; 0 where even the outermost do not."""
    tail = (1 - confidence) / 2
    if m * n > _MOST_PAIRS:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        return max(0, math.floor(m * n / 2 + NormalDist().inv_cdf(tail) * spread))
    few, many = min(m, n), max(m, n)
    doubled = _distribution(tuple(range(2, 2 * (few + many) + 1, 2)), few)
    of_pairs = doubled[::2][few * (few + 1) // 2 :]  # P(U = 0), P(U = 1)…
    # The sums lose at most a few units in the last place.
    return int(np.searchsorted(np.cumsum(of_pairs), tail + 1e-12, side="right"))


@lru_cache(maxsize=256)
def _distribution(ranks: tuple[int, ...], m: int) -> Floats:
    """P(sum = k) for k = 0…, where the sum is that of m of the ranks drawn without replacement."""
    ways = np.zeros((m + 1, sum(ranks[-m:]) + 1))
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    drawn: Floats = ways[m] / ways[m].sum()
    return drawn
