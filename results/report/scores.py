"""Who wins what, by how much and how surely: the first table of a report."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, Written, interval, percentage, quantity, ratio
from results.charts.style import ArmStyle
from results.charts.throughput import advantage
from results.compare import Comparison
from results.floor import FLOOR_RUNTIME
from results.report.data import RunData
from results.report.document import ColumnKind, Table

_MOST = 12
"""Rows of workloads at most: more are not grasped at once."""
_FEW = 2
"""Arms named as equally good at most."""


def scores(data: RunData) -> Table | None:
    """A row for startup, idle memory and each workload's metric, a column for each arm beside the baseline.

    Where there are more workload metrics than fit a glance, those are
    shown that differ most in arms that are not emulated.
    """
    baseline = data.run.baseline
    arms = [arm for arm in data.arms if arm.name != baseline]
    shown, left_out = _workload_rows(data)
    labels = case_labels((one.workload, one.params) for one in data.throughput)
    titled = [("Startup", _instance(data, "startup_time")), ("Idle memory", _instance(data, "memory_footprint"))]
    titled += [(f"{labels[members[0].workload, members[0].params]}, {members[0].metric}", members) for members in shown]
    floors = frozenset(trial.arm for trial in data.trials if trial.runtime == FLOOR_RUNTIME)
    rows = tuple(_row(title, members, arms, data, floors) for title, members in titled if members)
    if not rows or not arms:
        return None
    columns: dict[str, ColumnKind] = {"What": "text", "Best": "text", data.labels[baseline]: "number"}
    columns |= dict.fromkeys((arm.label for arm in arms), "score")
    more = f"; {left_out} more metrics differ less and stand under Throughput" if left_out else ""
    caption = (
        f"Who wins what, relative to {baseline} (▲ better, = same, ▼ worse, ? not decided; percentages, and "
        f"what is not decided, are of the figure itself; in brackets 95 % intervals{more})"
    )
    return Table(caption, columns, rows)


def _instance(data: RunData, metric: str) -> list[Comparison]:
    found = (data.against_baseline(arm.name, metric) for arm in data.arms)
    return [one for one in found if one is not None]


def _workload_rows(data: RunData) -> tuple[list[list[Comparison]], int]:
    """Comparisons by workload metric in their order, and how many are left out."""
    grouped: dict[tuple[str, str, str], list[Comparison]] = {}
    for one in data.throughput:
        grouped.setdefault((one.workload, one.params, one.metric), []).append(one)
    foremost = sorted(grouped, key=lambda key: -_distance(grouped[key]))[:_MOST]
    return [members for key, members in grouped.items() if key in foremost], len(grouped) - len(foremost)


def _distance(members: Sequence[Comparison]) -> float:
    """How far from 1 the ratios are, emulated ones aside."""
    ratios = [advantage(one).ratio for one in members if one.accel != "tcg"]
    return max((abs(math.log(each)) for each in ratios if each is not None), default=0.0)


def _row(
    title: str, members: Sequence[Comparison], arms: Sequence[ArmStyle], data: RunData, floors: Collection[str]
) -> tuple[str, ...]:
    by_arm = {one.arm: one for one in members}
    level = quantity(members[0].baseline_median, members[0].unit)
    cells = (score(by_arm[arm.name]) if arm.name in by_arm else Written(MISSING, None) for arm in arms)
    return title, _best(members, data, floors), level, *cells


def score(one: Comparison) -> Written:
    """``worse -6.9 % [-7.7 % to -6.1 %]``, of the metric as it stands; ``worse 12.6× worse [12.2–13.2×]`` far apart.

    Without a verdict of better or worse far apart is the plain ratio: ``inconclusive 2.49×, not decided``.
    """
    turned = advantage(one)
    if turned.ratio is None:
        return Written(f"{one.verdict} {MISSING}", None)
    undecided = ", not decided" if one.verdict == "inconclusive" else ""
    if one.verdict not in ("better", "worse") and not 0.5 < turned.ratio < 2:
        words, between = ratio(one.ratio), interval(one.ci_low, one.ci_high)
    elif turned.ratio >= 2:
        words, between = f"{ratio(turned.ratio)} better", interval(turned.low, turned.high)
    elif turned.ratio <= 0.5:
        low, high = (None if end is None else 1 / end for end in (turned.high, turned.low))
        words, between = f"{ratio(1 / turned.ratio)} worse", interval(low, high)
    else:
        words = "" if one.ratio is None else _change(one.ratio)
        known = one.ci_low is not None and one.ci_high is not None
        between = f"{_change(one.ci_low)} to {_change(one.ci_high)}" if known else ""
    return Written(f"{one.verdict} {words}{undecided}{f' [{between}]' if between else ''}", turned.ratio)


def _change(end: float | None) -> str:
    return MISSING if end is None else percentage(100 * (end - 1))


def _best(members: Sequence[Comparison], data: RunData, floors: Collection[str]) -> str:
    """The arm that is better by most; else the baseline, and who is the same.

    Args:
        members: of one metric.
        data: the run.
        floors: arms that only show how low the others could come, and so win nothing. Nor does software emulation.
    """
    members = [one for one in members if one.accel != "tcg" and one.arm not in floors]
    if not members or data.run.baseline in floors:
        return MISSING
    better = [one for one in members if one.verdict == "better"]
    if better:
        return data.labels[max(better, key=lambda one: advantage(one).ratio or 0.0).arm]
    if any(one.verdict == "inconclusive" for one in members):
        return "not decided"
    equals = [data.run.baseline, *(one.arm for one in members if one.verdict == "same")]
    if len(equals) == len(data.arms) - len(floors) and len(equals) > _FEW:
        return "all alike"
    more = f" and {len(equals) - _FEW} more" if len(equals) > _FEW else ""
    return ", ".join(data.labels[name] for name in equals[:_FEW]) + more
