"""What every estimate of a ratio has, whatever the samples: paired by block or not paired."""

from __future__ import annotations

from typing import Protocol


class RatioEstimate(Protocol):
    """A ratio with its uncertainty: :class:`results.stats.paired.PairedRatio` and its unpaired sibling.

    Attributes:
        n: of how many values, or pairs of values.
        ratio: None where none can be formed.
        interval: confidence interval of the ratio; None where n is too small for one, or without ratio.
        p_value: two-sided, of "no difference"; None without ratio.
        could_be_significant: whether any outcome with so many values would have made p_value at most 0.05.
        warnings: what a reader must know.
    """

    @property
    def n(self) -> int: ...
    @property
    def ratio(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def p_value(self) -> float | None: ...
    @property
    def could_be_significant(self) -> bool: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
