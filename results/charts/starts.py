"""Starts by arm on one logarithmic axis, with the floor under them: the usual one, cold ones, and several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.charts.cases import arm_medians, cases, of_case, trial_values
from results.charts.quantities import quantity, spread_lines
from results.charts.rows import Group, Rows, lay_out, log_axis
from results.charts.style import MUTED, WIDE, ArmStyle, drawing, tell
from results.floor import floor_of, times_floor
from results.records import split_params

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

USUAL = "one at a time, from a warm page cache"
"""How a usual start is called beside others."""


@dataclass(frozen=True)
class Starts:
    """Starts of one kind, in every arm.

    Attributes:
        title: what kind; the figures of two kinds are never put together.
        metric: name of the metric that times them.
        frame: samples of that kind alone.
    """

    title: str
    metric: str
    frame: pd.DataFrame

    def floor(self, reference: pd.DataFrame) -> float | None:
        """What these are a multiple of; None for stops, which have no floor, and where it was not measured."""
        return None if self.metric == "parallel_stop_time" else floor_of(reference)

    @property
    def medians(self) -> dict[str, float]:
        """Seconds by arm."""
        return arm_medians(self.frame, self.metric)


def usual_starts(reference: pd.DataFrame) -> list[Starts]:
    """The usual start, from the samples of the case that stands for it."""
    return [Starts(USUAL, "startup_time", reference)] if "startup_time" in set(reference["metric"]) else []


def cold_starts(frame: pd.DataFrame) -> list[Starts]:
    """Starts from a cold page cache, by what was not in it."""
    return _by_case(frame, "cold_start_time", "not in the page cache: ", "layer=")


def parallel_starts(frame: pd.DataFrame) -> list[Starts]:
    """Several at once, until the last is ready, by how many they are."""
    return _by_case(frame, "parallel_start_time", "", "instances=", " at once, until the last is ready")


def parallel_stops(frame: pd.DataFrame) -> list[Starts]:
    """The same until all are gone again."""
    return _by_case(frame, "parallel_stop_time", "", "instances=", " at once, until the last is gone")


def startup_chart(reference: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE) -> Figure | None:
    """The usual start by arm: every trial a faint mark, the median a full one, the floor a line.

    Args:
        reference: samples of the case that stands for the usual start.
        arms: in the order to show them.
        width: inches.

    Returns:
        The figure, or None if no arm has the metric.
    """
    return _chart(usual_starts(reference), reference, arms, width, titled=False)


def cold_start_chart(
    frame: pd.DataFrame, reference: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE
) -> Figure | None:
    """Cold starts beneath the usual one; arguments and result as of :func:`startup_chart`, with all samples first."""
    cold = cold_starts(frame)
    return _chart([*usual_starts(reference), *cold], reference, arms, width) if cold else None


def parallel_start_chart(
    frame: pd.DataFrame, reference: pd.DataFrame, arms: Sequence[ArmStyle], width: float = WIDE
) -> Figure | None:
    """Starts of several at once beneath that of one; arguments and result as of :func:`cold_start_chart`."""
    several = [*parallel_starts(frame), *parallel_stops(frame)]
    return _chart([*usual_starts(reference), *several], reference, arms, width) if several else None


def _by_case(frame: pd.DataFrame, metric: str, before: str, key: str, after: str = "") -> list[Starts]:
    found = []
    for case in cases(frame[frame["metric"] == metric]):
        value = next((part.removeprefix(key) for part in split_params(case[1]) if part.startswith(key)), case[1])
        found.append(Starts(f"{before}{value or case[0]}{after}", metric, of_case(frame, case)))
    return found


def _chart(
    kinds: Sequence[Starts], reference: pd.DataFrame, arms: Sequence[ArmStyle], width: float, *, titled: bool = True
) -> Figure | None:
    floor = floor_of(reference)
    present = [(kind, [arm for arm in arms if kind.medians.get(arm.name, 0) > 0]) for kind in kinds]
    present = [(kind, shown) for kind, shown in present if shown]
    if not present:
        return None
    values = [trial_values(kind.frame, kind.metric) for kind, _ in present]
    positive = [each[each["value"] > 0]["value"] for each in values]
    low, high = min(float(each.min()) for each in positive), max(float(each.max()) for each in positive)
    with drawing():
        groups = [Group(kind.title if titled else "", tuple(arm.label for arm in shown)) for kind, shown in present]
        rows = lay_out(groups, width, legend_lines=int(floor is not None))
        log_axis(rows.axes, min(low, floor or low), high, width, unit="s")
        if floor is not None:
            rows.axes.axvline(floor, color=MUTED, lw=1, ls=(0, (4, 3)), label="the floor: bare exec")
            rows.figure.legend(loc="outside upper left", frameon=False, handles=[rows.axes.lines[-1]])
        for (kind, shown), of_trials, positions in zip(present, values, rows.positions, strict=True):
            for arm, y in zip(shown, positions, strict=True):
                of_arm = of_trials[of_trials["arm"] == arm.name]["value"]
                _draw(rows, arm, y, of_arm, kind, kind.floor(reference))
        return rows.figure


def _draw(rows: Rows, arm: ArmStyle, y: float, trials: pd.Series[float], kind: Starts, floor: float | None) -> None:
    median = kind.medians[arm.name]
    rows.axes.plot(trials, [y] * len(trials), arm.marker, ms=4, color=arm.colour, alpha=0.3, mew=0)
    label = f"median of {arm.name}"
    (mark,) = rows.axes.plot([median], [y], arm.marker, ms=7, color=arm.colour, label=label, clip_on=False)
    multiple = "" if floor is None else f"{times_floor(median, floor)} the bare exec"
    tell(mark, f"{arm.label}: {kind.metric}", kind.title, *spread_lines(trials.tolist(), "s"), multiple)
    beside = "" if floor is None else f" · {times_floor(median, floor)}"
    rows.write(y, f"{quantity(median, 's')}{beside}")
