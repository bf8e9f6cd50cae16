"""A plan as tables, for ``bench run --dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.suite_model import limits_data

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.plan import Plan
    from runtimes.base import Limits


def plan_renderables(plan: Plan) -> list[RenderableType]:
    """What would be run: the arms, the cases, and the order of the trials."""
    from rich.table import Table
    from rich.text import Text

    summary = Text(
        f"suite {plan.suite}: {plan.sampling.describe()}, each of {plan.trials_a_block} trials = "
        f"{len(plan.cases)} cases × {len(plan.arms)} arms; "
        f"seed {plan.seed}, baseline {plan.baseline}\npackages in the image: {' '.join(plan.packages()) or 'none'}\n"
    )
    plain: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False}
    arms = Table(title="Arms", **plain)
    for column in ("arm", "runtime", "options", "CPUs", "CPU set", "memory MiB", "other limits"):
        arms.add_column(column)
    for arm in plan.arms:
        options = ", ".join(f"{key}: {value}" for key, value in arm.options.model_dump().items()) or "-"
        cpuset = ",".join(map(str, arm.limits.cpuset)) or "all"
        memory, other = str(arm.limits.memory >> 20), _other_limits(arm.limits) or "-"
        arms.add_row(arm.name, arm.runtime, options, f"{arm.limits.cpus:g}", cpuset, memory, other)
    trials = Table(title="\nTrials of as many blocks as there may be, in this order", **plain)
    for column in ("trial", "block", "workload", "arm"):
        trials.add_column(column)
    for trial in plan.trials():
        trials.add_row(str(trial.number), str(trial.block), Text(trial.case.label), trial.arm.name)
    return [summary, arms, trials]


def _other_limits(limits: Limits) -> str:
    """The limits without a column of their own."""
    shown: list[str] = []
    for key, value in limits_data(limits).items():
        if key in ("cpus", "cpuset", "memory"):
            continue
        parts = {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}
        shown += [f"{name}: {each}" for name, each in parts.items()]
    return ", ".join(shown)
