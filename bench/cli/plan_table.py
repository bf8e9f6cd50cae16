"""A plan as tables, for ``bench run --dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.plan import Plan


def plan_renderables(plan: Plan) -> list[RenderableType]:
    """What would be run: the arms, the cases, and the order of the trials."""
    from rich.table import Table
    from rich.text import Text

    summary = Text(
        f"suite {plan.suite}: {len(plan.trials)} trials = "
        f"{plan.blocks} blocks × {len(plan.cases)} cases × {len(plan.arms)} arms, "
        f"seed {plan.seed}, baseline {plan.baseline}\npackages in the image: {' '.join(plan.packages()) or 'none'}\n"
    )
    arms = Table(title="Arms", title_justify="left", box=None, pad_edge=False)
    for column in ("arm", "runtime", "options", "CPUs", "CPU set", "memory MiB"):
        arms.add_column(column)
    for arm in plan.arms:
        options = ", ".join(f"{key}: {value}" for key, value in arm.options.model_dump().items()) or "-"
        cpuset = ",".join(map(str, arm.limits.cpuset)) or "all"
        arms.add_row(arm.name, arm.runtime, options, f"{arm.limits.cpus:g}", cpuset, str(arm.limits.memory >> 20))
    trials = Table(title="\nTrials, in this order", title_justify="left", box=None, pad_edge=False)
    for column in ("trial", "block", "workload", "arm"):
        trials.add_column(column)
    for trial in plan.trials:
        trials.add_row(str(trial.number), str(trial.block), Text(trial.case.label), trial.arm.name)
    return [summary, arms, trials]
