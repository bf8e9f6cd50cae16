"""What the iterations inside the trials of a run did: whether each trial came to a steady state."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from results.stats.steady_state import MIN_ITERATIONS, Label, SteadyState, steady_state
from results.trials import arms_in_order

if TYPE_CHECKING:
    import pandas as pd

LABELS: tuple[Label, ...] = get_args(Label)

READING = (
    "Iterations are repetitions inside one instance. Each trial is labelled by change points in its sequence: steady "
    "from the first iteration on; warming, where it became steady at its best level; slowing, where it became steady "
    "and had been better before; or without a steady state, where the last quarter still changes. Fewer than "
    f"{MIN_ITERATIONS} iterations are too few to tell. A label drops nothing: a trial counts as the median over all of "
    "its iterations."
)
"""What a reader of the labels must know."""


@dataclass(frozen=True, slots=True)
class Iterations:
    """The trials of one metric of one workload case in one arm, which have several iterations each.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        metric: name of the metric.
        arm: name of the arm.
        emulated: whether a trial ran under software emulation.
        iterations: the most that a trial has.
        trials: (number of the trial, what its iterations did).
    """

    workload: str
    params: str
    metric: str
    arm: str
    emulated: bool
    iterations: int
    trials: tuple[tuple[int, SteadyState], ...]

    @property
    def counts(self) -> Counter[Label]:
        """How many trials have each label."""
        return Counter(state.label for _, state in self.trials)

    @property
    def begins(self) -> float | None:
        """The iteration, counted from 0, with which the steady part begins: the median over trials that have one."""
        known = [state.begins for _, state in self.trials if state.begins is not None]
        return statistics.median(known) if known else None


def iterations_of(frame: pd.DataFrame) -> list[Iterations]:
    """Label every trial with more than one iteration: by workload case and metric in order of appearance, then arm.

    Neutral metrics have no better level to warm up to, and are left out.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    repeated = frame[(frame["better"] != "neutral")]
    # Most runs have none, and need no grouping to find that out.
    if repeated.empty or not repeated["iteration"].any():
        return []
    found: dict[tuple[str, str, str], dict[str, list[tuple[int, bool, int, SteadyState]]]] = {}
    columns = ["workload", "params", "metric", "arm", "trial"]
    for key, group in repeated.groupby(columns, observed=True, sort=False):
        if len(group) < 2:
            continue
        workload, params, metric, arm, trial = cast("tuple[str, str, str, str, int]", key)
        better = cast("Literal['lower', 'higher']", group["better"].iloc[0])
        state = steady_state(group.sort_values("iteration")["value"].tolist(), better)
        emulated = bool((group["accel"] == "tcg").any())
        found.setdefault((workload, params, metric), {}).setdefault(arm, []).append(
            (int(trial), emulated, len(group), state)
        )
    arms = arms_in_order(frame)
    return [_iterations(case, arm, of_arm[arm]) for case, of_arm in found.items() for arm in arms if arm in of_arm]


def to_json(found: Sequence[Iterations]) -> list[dict[str, Any]]:
    """The labels as ``bench show --format json`` gives them: plain values, and every trial by its number."""
    return [
        {
            "workload": one.workload,
            "params": one.params,
            "metric": one.metric,
            "arm": one.arm,
            "iterations": one.iterations,
            "begins": one.begins,
            "trials": [{"trial": trial, "label": state.label, "begins": state.begins} for trial, state in one.trials],
        }
        for one in found
    ]


def _iterations(
    case: tuple[str, str, str], arm: str, trials: Sequence[tuple[int, bool, int, SteadyState]]
) -> Iterations:
    return Iterations(
        *case,
        arm,
        emulated=any(emulated for _, emulated, _, _ in trials),
        iterations=max(count for _, _, count, _ in trials),
        trials=tuple((trial, state) for trial, _, _, state in trials),
    )
