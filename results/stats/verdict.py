"""From an interval to a word."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["same", "better", "worse", "inconclusive"]

THRESHOLD = 0.05
"""The practical threshold where none is asked for: a ratio between 1/1.05 and 1.05 makes no difference that matters."""

LEVEL = 0.05
"""The rate of false discoveries that is accepted."""

MIN_BLOCKS = 6
"""The least number of blocks for which a 95 % signed-rank interval exists: 2 · 2^-n ≤ 0.05."""


UNSETTLED = "beyond the threshold, but not after control of false discoveries: run more blocks"
"""The warning of a difference that would have a verdict if it were the only one looked at."""


def judge(
    interval: tuple[float, float] | None, better: str, q_value: float | None, threshold: float = THRESHOLD
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a ratio, by effect size first; with warnings where it needs explaining.

    An interval wholly beyond the threshold is ``better`` or ``worse``, as the metric's direction has it, if the
    difference also stands after control of false discoveries; wholly inside it is ``same``; all else is
    ``inconclusive``, which is never a pass. The threshold is symmetric in the logarithm, so that exchanging the arms
    exchanges the verdicts. A metric without a good direction is ``same`` or ``inconclusive``.

    Args:
        interval: of the ratio, positive; None where there is none.
        better: ``lower``, ``higher`` or ``neutral``.
        q_value: adjusted p-value; None where the test took no part in the control.
        threshold: the practical threshold, 0.05 for 5 %; with 0 every difference that is certain matters.
    """
    if interval is None:
        return "inconclusive", ()
    low, high = (math.log(end) for end in interval)
    bound = math.log1p(threshold)
    if -bound <= low and high <= bound:
        return "same", ()
    if not (low > bound or high < -bound):
        return "inconclusive", ()
    if better == "neutral":
        return "inconclusive", ("differs, and neither direction is the better one",)
    if q_value is None or q_value > LEVEL:
        return "inconclusive", (UNSETTLED,)
    return ("better" if (high < 0) == (better == "lower") else "worse"), ()
