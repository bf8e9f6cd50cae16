"""Control of false discoveries over a family of tests.

``scipy.stats.false_discovery_control`` gives the same, which the tests assert; see :mod:`results.stats.ranks`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

from results.stats.estimate import RatioEstimate
from results.stats.verdict import LEVEL, MIN_BLOCKS

Key = TypeVar("Key", bound=Hashable)


def q_values(family: Mapping[Key, RatioEstimate]) -> dict[Key, float]:
    """The adjusted p-values of those that take part (Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995) 289–300).

    Who calls everything with a q-value of at most 5 % a discovery has 5 % of false ones among them in the mean. Left
    out are comparisons without a test, and tests that no outcome with so few values could have made significant, which
    would only raise the bar for the others (Gilbert, Appl. Statist. 54 (2005) 143–158, after Tarone).

    Args:
        family: comparisons among which the rate is controlled.
    """
    tested = {key: one.p_value for key, one in family.items() if one.p_value is not None and one.could_be_significant}
    p_values = np.array(list(tested.values()), dtype=np.float64)
    order = np.argsort(p_values)
    # Step-up: none is more than any that is less certain.
    raised = p_values[order] * (p_values.size / np.arange(1, p_values.size + 1))
    q_values = np.empty_like(p_values)
    q_values[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1)
    return dict(zip(tested, q_values.tolist(), strict=True))


def enough_blocks(alike: int, tested: int) -> int:
    """The blocks with which differences are discoveries if each has the same sign in all of them.

    Such a difference has the least p-value of the signed-rank test, 2 · 2^-n, which Benjamini & Hochberg's step-up then
    compares with 0.05 · ``alike`` / ``tested``.

    Args:
        alike: how many such differences there are, at least one.
        tested: how many comparisons are in the family.
    """
    return max(MIN_BLOCKS, math.ceil(1 + math.log2(tested / (LEVEL * alike))))
