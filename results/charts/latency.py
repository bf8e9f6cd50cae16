"""Percentiles of latency: a row an arm, a mark a percentile, from the middle to the tail on one logarithmic axis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.charts.cases import case_labels, cases, of_case, trial_values
from results.charts.quantities import quantity, spread
from results.charts.rows import Group, Rows, lay_out, log_axis
from results.charts.style import COMPACT, PAPER, WIDE, ArmStyle, drawing, tell
from results.trials import WorkloadCase

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PERCENTILE = re.compile(r"latency_p(\d\d)(\d*)")
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Percentile:
    """One percentile of latency in one workload case and arm.

    Attributes:
        name: ``p50``, ``p99.9``.
        seconds: the median over the arm's trials.
        trials: seconds of each trial.
    """

    name: str
    seconds: float
    trials: tuple[float, ...]


def percentile_name(metric: str) -> str:
    """What the percentile of a metric is called: ``p99.9`` for ``latency_p999``; empty for a metric that is none."""
    found = _PERCENTILE.fullmatch(metric)
    return "" if found is None else f"p{found[1]}.{found[2]}" if found[2] else f"p{found[1]}"


def percentiles_of(frame: pd.DataFrame, arms: Sequence[ArmStyle]) -> dict[WorkloadCase, dict[str, list[Percentile]]]:
    """Percentiles by workload case and arm, from the lowest; only of metrics in a unit of time, and above zero."""
    timed = frame[frame["unit"].isin(list(_SECONDS)) & (frame["value"] > 0)]
    metrics = sorted({str(metric) for metric in timed["metric"].unique() if percentile_name(str(metric))})
    metrics.sort(key=lambda metric: float(percentile_name(metric)[1:]))
    found: dict[WorkloadCase, dict[str, list[Percentile]]] = {}
    for metric in metrics:
        rows = timed[timed["metric"] == metric]
        factors = {case: _SECONDS[str(of_case(rows, case)["unit"].iloc[0])] for case in cases(rows)}
        values = trial_values(rows, metric)
        for case, factor in factors.items():
            of_this = of_case(values, case)
            for arm in arms:
                seconds = of_this[of_this["arm"] == arm.name]["value"] * factor
                if len(seconds):
                    one = Percentile(percentile_name(metric), float(seconds.median()), tuple(seconds))
                    found.setdefault(case, {}).setdefault(arm.name, []).append(one)
    return {case: found[case] for case in cases(timed) if case in found}


def latency_chart(frame: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """Medians over trials of the percentiles of latency, by workload case and arm: the lowest filled, others hollow.

    Args:
        frame: samples.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no workload told a percentile.
    """
    found = percentiles_of(frame, arms)
    if not found:
        return None
    labels = case_labels(found)
    present = {case: [arm for arm in arms if arm.name in by_arm] for case, by_arm in found.items()}
    groups = []
    for case, by_arm in found.items():
        names = dict.fromkeys(one.name for percentiles in by_arm.values() for one in percentiles)
        groups.append(Group(f"{labels[case]} — {' · '.join(names)}", tuple(arm.label for arm in present[case])))
    everything = [one.seconds for by_arm in found.values() for percentiles in by_arm.values() for one in percentiles]
    with drawing():
        rows = lay_out(groups, width)
        log_axis(rows.axes, min(everything), max(everything), width, unit="s")
        for (case, by_arm), positions in zip(found.items(), rows.positions, strict=True):
            for arm, y in zip(present[case], positions, strict=True):
                _draw(rows, y, arm, labels[case], by_arm[arm.name])
                written = by_arm[arm.name][-1:] if width <= COMPACT else by_arm[arm.name]
                rows.write(y, " · ".join(quantity(one.seconds, "s") for one in written))
        return rows.figure


def _draw(rows: Rows, y: float, arm: ArmStyle, case: str, percentiles: Sequence[Percentile]) -> None:
    rows.axes.plot([one.seconds for one in percentiles], [y] * len(percentiles), "-", color=arm.colour, lw=1.5)
    for place, one in enumerate(percentiles):
        mark = rows.axes.plot(
            [one.seconds], [y], arm.marker, ms=6, mec=arm.colour, mew=1.3, mfc=PAPER if place else arm.colour,
            label=f"{one.name} of {arm.name}",
        )  # fmt: skip
        tell(mark, arm.label, case, f"{one.name} {quantity(one.seconds, 's')}", spread(one.trials, "s"))
