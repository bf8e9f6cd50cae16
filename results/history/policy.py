"""What is watched: which metrics, in which direction, and from which difference on it matters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.history.series import Series

THRESHOLD = 0.015
"""The practical threshold of a history where none is asked for. It is less than that of a comparison of arms
(:data:`results.stats.verdict.THRESHOLD`), since nights add up: with it, a step of 5 % under a noise of 2 % from night
to night is found within five nights nine times in ten, and one of 3 % in the end
(``tests/results/history/test_detection.py``)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said of the metrics that a pattern names.

    Attributes:
        metric: a name, or a shell pattern.
        threshold: the practical threshold; None for the policy's.
        better: ``lower`` or ``higher`` where the metric's own direction is not meant.
        ignored: whether it is not watched.
    """

    metric: str
    threshold: float | None = None
    better: str | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What a suite says of its history.

    Attributes:
        threshold: the practical threshold of metrics that no rule gives another.
        rules: the first that names a metric is the one that holds.
    """

    threshold: float = THRESHOLD
    rules: tuple[Rule, ...] = ()

    def rule(self, metric: str) -> Rule:
        """What holds for a metric."""
        for each in self.rules:
            if fnmatchcase(metric, each.metric):
                return each
        return Rule(metric)

    def threshold_of(self, metric: str) -> float:
        """The practical threshold of a metric."""
        own = self.rule(metric).threshold
        return self.threshold if own is None else own

    def directed(self, series: Series) -> Series:
        """The series, with the good direction that a rule gives its metric where one does."""
        better = self.rule(series.key.metric).better
        return series if better is None else replace(series, better=better)


WATCH_ALL = Policy()
"""What holds where a suite says nothing."""
