"""How well the ratios of a run are known so far, and how many blocks it takes to know them better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from results.compare import Comparison


@dataclass(frozen=True, slots=True)
class Precision:
    """How well one primary metric's ratio is known.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        metric: name of the metric.
        arm: the arm that is compared with the baseline.
        n: blocks in which both have a trial.
        width: of the ratio's 95 % interval, as its upper end over its lower one less 1: the same whichever arm is the
            baseline. None where there is no interval (fewer than 6 blocks).
    """

    workload: str
    params: str
    metric: str
    arm: str
    n: int
    width: float | None

    def blocks_for(self, width: float) -> int | None:
        """About how many blocks it takes until the interval is no wider than ``width``; None where nothing is known.

        An interval's logarithmic width falls with the square root of the number of blocks.
        """
        if self.width is None:
            return None
        return math.ceil(self.n * (math.log1p(self.width) / math.log1p(width)) ** 2)

    @property
    def name(self) -> str:
        """What it is, in words."""
        return " ".join(filter(None, (self.workload, self.params, self.metric, f"in {self.arm}")))


def precisions(frame: pd.DataFrame, baseline: str) -> list[Precision]:
    """How well the ratio of every primary metric is known, in the order of the suite.

    Left out are ratios that no number of blocks could make known: of arms under software emulation, whose figures are
    none to rely on; where a side has no trial; and where values are zero or negative.

    Args:
        frame: from :meth:`results.store.Store.frame`.
        baseline: name of the arm to divide by.
    """
    from results.compare import compare

    comparisons = compare(frame[frame["primary"]], baseline)
    return [_precision(one) for one in comparisons if one.ratio is not None and one.accel != "tcg"]


def widest(known: Sequence[Precision]) -> Precision | None:
    """The one that is known worst."""
    return max(known, key=lambda one: math.inf if one.width is None else one.width, default=None)


def _precision(one: Comparison) -> Precision:
    width = None if one.ci_low is None or one.ci_high is None else one.ci_high / one.ci_low - 1
    return Precision(one.workload, one.params, one.metric, one.arm, one.n, width)
