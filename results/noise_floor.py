"""The noise floor of a host, from a run with identical arms, and what the harness itself costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from results.charts.cases import arm_medians, of_case
from results.charts.quantities import MISSING, quantity, tick
from results.compare import Comparison, compare
from results.floor import floor_of
from results.stats.verdict import Verdict
from results.trials import Case, arms_in_order, cases_of, natural

if TYPE_CHECKING:
    import pandas as pd

    from results.records import TrialRecord

BLOCKS = 10
"""For how many blocks a width is advised: the pilot of a run without a sampling of its own."""

LEAST_ADVISED = 0.001
"""What is advised at the least, 0.1 %: identical figures are no promise that they stay so."""

_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
"""What is advised is one of these times a power of ten, the next above."""

READING = (
    "Identical arms, divided by each other. Spread is what 95 % of the ratios of single blocks stay within, interval "
    "half the width of the 95 % interval over all of them. Advised is what ci_width and threshold of a suite may be on "
    f"this host: with {BLOCKS} blocks an interval is about so wide, and identical arms are called the same in 95 % of "
    "comparisons. A smaller threshold leaves them inconclusive; none makes them differ."
)
"""What a reader of the figures must know."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far apart two identical arms are in one metric of one workload case.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        metric: name of the metric.
        unit: of the medians it was made from.
        primary: whether the workload names it as what it measures foremost.
        arm: the first of the two.
        twin: the other, which is divided by it.
        n: blocks.
        ratio: twin/arm; None where no ratio can be formed.
        spread: 95 % of the per-block ratios lie between 1 / (1 + it) and 1 + it; None without ratios.
        half_width: half the width of the 95 % interval, as a ratio less 1; None below 6 blocks or without ratio.
        advised: for ``ci_width`` and ``threshold``; None without ``half_width``.
        verdict: what the comparison of the two says, which should never be ``better`` or ``worse``.
    """

    workload: str
    params: str
    metric: str
    unit: str
    primary: bool
    arm: str
    twin: str
    n: int
    ratio: float | None
    spread: float | None
    half_width: float | None
    advised: float | None
    verdict: Verdict


def noise_floors(frame: pd.DataFrame, groups: Sequence[Sequence[str]], threshold: float) -> list[NoiseFloor]:
    """The noise floor of every metric with a good direction, by workload case and metric.

    Parts of a metric are left out, and so are repeats of what an instance has before any workload.

    Args:
        frame: from :meth:`results.store.Store.frame`.
        groups: identical arms; the first of each is what the others are divided by.
        threshold: the practical threshold of the verdicts.
    """
    floors = []
    for first, *others in groups:
        of_group = frame[frame["arm"].isin([first, *others])]
        cases = {(case.workload, case.params, case.metric): case for case in cases_of(of_group)}
        floors += [
            _floor(one, cases[one.workload, one.params, one.metric])
            for one in compare(of_group, first, threshold)
            if one.better != "neutral" and one.family == "results"
        ]
    places = {(case.workload, case.params, case.metric): place for place, case in enumerate(cases_of(frame))}

    def place(one: NoiseFloor) -> tuple[object, ...]:
        return natural((one.workload, one.params)), places[one.workload, one.params, one.metric]

    return sorted(floors, key=place)


def advised(half_width: float, blocks: int) -> float:
    """The ``ci_width`` and ``threshold`` to ask for, a round figure.

    That is the whole width of an interval with :data:`BLOCKS` blocks, the width of one falling with the root of their
    number. As a threshold it calls identical arms the same in 95 % of comparisons: the estimate has a standard error of
    half the width over 1.96, so that interval and estimate together stay within twice the half width.

    Args:
        half_width: of an interval, as a ratio less 1.
        blocks: of the run that it is from.
    """
    whole = math.expm1(2 * math.log1p(half_width) * math.sqrt(blocks / BLOCKS))
    if whole <= LEAST_ADVISED:
        return LEAST_ADVISED
    power = 10.0 ** math.floor(math.log10(whole))
    step = next(step for step in _STEPS if step >= whole / power * (1 - 1e-9))
    return float(f"{step * power:.2g}")


def overhead(frame: pd.DataFrame, trials: Sequence[TrialRecord]) -> str:
    """What the harness itself costs, in a sentence; empty for a run without the workload ``null``, which does nothing.

    A trial of it is all harness: from its start to that of the next one.
    """
    idle = of_case(frame, ("null", ""))
    startups, costs = arm_medians(idle, "startup_time"), arm_medians(idle, "cpu_time")
    walls = _walls(trials)
    parts = [
        f"{arm} {quantity(walls[arm], 's')}, of which the start takes {quantity(startups[arm], 's')}"
        + (f", at {quantity(costs[arm], 's')} of CPU time" if arm in costs else "")
        for arm in arms_in_order(frame)
        if arm in walls and arm in startups
    ]
    if not parts:
        return ""
    floor = floor_of(idle)
    bare = "" if floor is None else f" Executing the same agent with nothing in between takes {quantity(floor, 's')}."
    return f"A trial that runs nothing takes, to the beginning of the next one: {'; '.join(parts)} (medians).{bare}"


def summary(floors: Sequence[NoiseFloor]) -> str:
    """Whether identical arms were called different, in a sentence."""
    false = [one for one in floors if one.verdict in {"better", "worse"}]
    if not false:
        return f"None of {len(floors)} comparisons calls identical arms different."
    named = ", ".join(f"{one.workload} {one.metric} ({one.twin})" for one in false)
    return (
        f"{len(false)} of {len(floors)} comparisons call identical arms different, which chance hardly does: {named}."
    )


def width(share: float | None) -> str:
    """A width such as 0.05 as it is shown: ``5 %``."""
    return MISSING if share is None else tick(100 * share, "%", 2)


def to_json(floors: Sequence[NoiseFloor]) -> list[dict[str, Any]]:
    """The noise floors as ``bench show --format json`` gives them."""
    return [asdict(floor) for floor in floors]


def _floor(one: Comparison, case: Case) -> NoiseFloor:
    half_width = None
    if one.ci_low is not None and one.ci_high is not None:
        half_width = math.sqrt(one.ci_high / one.ci_low) - 1
    return NoiseFloor(
        workload=one.workload,
        params=one.params,
        metric=one.metric,
        unit=one.unit,
        primary=one.primary,
        arm=one.baseline,
        twin=one.arm,
        n=one.n,
        ratio=one.ratio,
        spread=None if one.ratio is None else _spread(case, one.arm, one.baseline),
        half_width=half_width,
        advised=None if half_width is None else advised(half_width, one.n),
        verdict=one.verdict,
    )


def _spread(case: Case, twin: str, arm: str) -> float:
    import numpy as np

    above, below = case.arms[twin].by_block(), case.arms[arm].by_block()
    pairs = [(above[block], below[block]) for block in above if block in below]
    distances = [0.0 if one == other else abs(math.log(one / other)) for one, other in pairs]
    return float(np.expm1(np.quantile(distances, 0.95)))


def _walls(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Seconds from the start of a trial of ``null`` to that of the next trial, by arm: medians."""
    found: dict[str, list[float]] = {}
    for trial, following in pairwise(trials):
        if trial.workload == "null" and trial.status == "ok":
            wall = datetime.fromisoformat(following.started) - datetime.fromisoformat(trial.started)
            found.setdefault(trial.arm, []).append(wall.total_seconds())
    return {arm: statistics.median(seconds) for arm, seconds in found.items()}
