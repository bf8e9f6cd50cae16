"""Control of false discoveries over many tests."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: rejecting all at most q keeps the expected share of false rejections at q.

    Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995) 289–300. It holds for independent tests and for those with
    positive regression dependence (Benjamini & Yekutieli, Ann. Statist. 29 (2001) 1165–1188).
    """
    count = len(p_values)
    adjusted = [1.0] * count
    smallest = 1.0
    descending = sorted(range(count), key=lambda index: p_values[index], reverse=True)
    for position, index in enumerate(descending):
        smallest = min(smallest, p_values[index] * count / (count - position))
        adjusted[index] = smallest
    return adjusted
