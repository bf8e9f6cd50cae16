"""What interleaved starts of several contestants give: medians, tails, and ratios with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.stats
from starts import Start

_LEAST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one interleaved run gave.

    Attributes:
        starts: of each contestant, one a round, in the order of the rounds.
        seed: of the order inside the rounds.
        absent: why a peer has none, by its name.
        facts: versions, host, and how it was measured.
    """

    starts: Mapping[str, Sequence[Start]]
    seed: int
    absent: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def milliseconds(self, name: str) -> list[float]:
        """From request to READY, of every start of a contestant."""
        return [start.ready for start in self.starts[name]]


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share of ``q`` of all does not exceed."""
    return sorted(values)[math.ceil(q * len(values)) - 1]


def ratio(measured: Measurement, ours: str, peer: str) -> float | None:
    """The median of the first divided by that of the second; None where the second is absent."""
    if peer not in measured.starts:
        return None
    return statistics.median(measured.milliseconds(ours)) / statistics.median(measured.milliseconds(peer))


def interval(measured: Measurement, ours: str, peer: str) -> tuple[float, float] | None:
    """The 95 % interval of the ratio of medians: percentiles over rounds drawn anew (Efron's bootstrap), all of a round
    at once, since a round's starts met the same moment of the host. None where there are too few rounds to draw from.
    """
    if peer not in measured.starts or len(measured.starts[peer]) < _LEAST_ROUNDS:
        return None
    drawn = scipy.stats.bootstrap(
        (measured.milliseconds(ours), measured.milliseconds(peer)),
        lambda arm, base, axis: np.median(arm, axis=axis) / np.median(base, axis=axis),
        paired=True,
        method="percentile",
        rng=measured.seed,
    )
    low, high = drawn.confidence_interval
    return float(low), float(high)


def phases(starts: Sequence[Start]) -> dict[str, float]:
    """The median of each phase, milliseconds."""
    return {phase: statistics.median(start.phases[phase] for start in starts) for phase in starts[0].phases}


def told_ratio(found: Mapping[str, Any], name: str) -> str:
    """A ratio and its interval for readers."""
    interval = found["intervals"][name]
    return f"   {found[name]:.2f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def goals_met(found: Mapping[str, Any], goals: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Each goal, which a figure is to stay at or below, and whether it is met; None where it was not measured."""
    return {
        name: {"at_most": most, "met": None if found[name] is None else found[name] <= most}
        for name, most in goals.items()
    }


def goal_lines(found: Mapping[str, Any]) -> list[str]:
    """The goals for readers."""
    lines = ["", f"{'goal':24}{'at most':>12}{'found':>12}"]
    for name, goal in found["goals"].items():
        verdict = {True: "met", False: "missed", None: "not measured"}[goal["met"]]
        value = "–" if found[name] is None else f"{found[name]:.2f}"
        lines.append(f"{name:24}{goal['at_most']:12.2f}{value:>12}   {verdict}")
    return lines
