"""The smallest effect that a comparison could have told: its minimum detectable effect."""

from __future__ import annotations

import math

POWER = 0.8
"""The chance with which an effect of that size gives a verdict."""

_HALF_WIDTHS = 1.4294
"""(z₀.₉₇₅ + z₀.₈) / z₀.₉₇₅, z being quantiles of the normal distribution: 2.8016 / 1.9600."""


def detectable_ratio(interval: tuple[float, float] | None, threshold: float) -> float | None:
    """The smallest true ratio above 1 that would have been called better or worse in four runs of five.

    It is (1 + ``threshold``) · exp(1.43 · w), w being half the width of the logarithm of the 95 % interval; below 1 it
    is the inverse. Where the interval comes from: an effect is called better or worse if the interval's nearer end lies
    beyond the threshold, and the interval moves with the effect. So what is looked for is how far the end lies from the
    true ratio at the most in 80 % of runs. The estimate is normal for many blocks, with a standard error that half the
    interval's width is 1.96 of whatever the noise is distributed like (E. L. Lehmann, Nonparametric confidence
    intervals for a shift parameter, Ann. Math. Statist. 34 (1963) 1507–1512), which puts the distance at 1.96 + 0.84 of
    them.

    For few blocks neither is exact, and the two errors cancel: in simulation the median of this figure has a power of
    78 to 80 % under normal noise from 6 blocks on, 71 to 79 % with heavy tails or skew. The textbook's way, by the
    standard deviation of the differences and the asymptotic relative efficiency 3/π, finds 0.61 of the right figure at
    6 blocks and 0.85 at 10, since with so few the signed-rank test is much weaker than asymptotics have it.

    It holds for samples that are not paired as well, whose estimate is of the same kind: 73 to 81 % in the same
    simulation, for 6 to 20 values on either side.

    It is about this comparison taken alone: control of false discoveries over many asks for more.

    Args:
        interval: 95 % interval of the ratio, positive; None where there is none.
        threshold: the practical threshold; 0.05 for 5 %, 0 for the smallest difference of any size.
    """
    if interval is None:
        return None
    half_width = (math.log(interval[1]) - math.log(interval[0])) / 2
    exponent = math.log1p(threshold) + _HALF_WIDTHS * half_width
    return math.exp(exponent) if exponent < 700 else None
