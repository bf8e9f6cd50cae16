"""The ratio of an arm to the baseline, from blocks in which both have a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.stats.signed_rank import hodges_lehmann, signed_rank_interval, signed_rank_test
from results.stats.verdict import MIN_BLOCKS


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """The outcome of one paired comparison.

    Attributes:
        n: blocks.
        ratio: arm/baseline; None where no ratio can be formed.
        interval: 95 % confidence interval of the ratio; None below ``MIN_BLOCKS`` or without ratio.
        p_value: two-sided, of "no difference"; None without ratio.
        could_be_significant: whether any signs of the differences would have made p_value at most 0.05.
        warnings: what a reader must know.
    """

    n: int
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    could_be_significant: bool
    warnings: tuple[str, ...]


def paired_ratio(arm: Sequence[float], baseline: Sequence[float]) -> PairedRatio:
    """Estimate arm/baseline from the logarithms of the per-block ratios.

    Logarithms make the result the same whichever arm is the baseline (the ratio is inverted, nothing else) and whatever
    the unit. Zero and negative values have none: if they are the same in both arms in every block the ratio is 1,
    otherwise there is no ratio, and a warning says so.

    Args:
        arm: one finite value a block.
        baseline: the values of the same blocks, in the same order.

    Raises:
        ValueError: the two differ in length.
    """
    above = np.asarray(arm, dtype=np.float64)
    below = np.asarray(baseline, dtype=np.float64)
    if above.shape != below.shape:
        raise ValueError(f"{above.size} values against {below.size}: pairs need the same number")
    n = int(above.size)
    if n == 0:
        return PairedRatio(0, None, None, None, False, ("no block in which both arms have a trial",))
    warnings = () if n >= MIN_BLOCKS else (f"{n} of at least {MIN_BLOCKS} blocks: too few for a 95 % interval",)
    if min(above.min(), below.min()) <= 0:
        if not np.array_equal(above, below):
            return PairedRatio(n, None, None, None, False, ("no ratio: some values are zero or negative", *warnings))
        warnings = ("zero or negative, and equal in every block", *warnings)
        differences = np.zeros(n)
    else:
        differences = np.log(above) - np.log(below)
    interval = signed_rank_interval(differences)
    test = signed_rank_test(differences)
    return PairedRatio(
        n=n,
        ratio=float(np.exp(hodges_lehmann(differences))),
        interval=None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1]))),
        p_value=test.p_value,
        could_be_significant=test.smallest_p <= 0.05,
        warnings=warnings,
    )
