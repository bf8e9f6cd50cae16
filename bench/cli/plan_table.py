"""A plan as tables, for ``bench run --dry-run``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.placing import alike
from bench.suite_model import limits_data
from runtimes.topology import format_cpus

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.plan import Plan
    from runtimes.base import Limits


def plan_renderables(plan: Plan, placement: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """What would be run: the arms, where each of them would be, the cases, and the order of the trials.

    Args:
        plan: the plan.
        placement: from :func:`bench.placing.placement_data`.
    """
    from rich.table import Table
    from rich.text import Text

    summary = Text(
        f"suite {plan.suite}: {plan.sampling.describe()}, each of {plan.trials_a_block} trials = "
        f"{len(plan.cases)} cases × {len(plan.arms)} arms; "
        f"seed {plan.seed}, baseline {plan.baseline}\n{_image(plan)}\n"
    )
    plain: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False}
    arms = Table(title="Arms", **plain)
    for column in ("arm", "runtime", "options", "CPUs", "CPU set", "memory MiB", "other limits"):
        arms.add_column(column)
    for arm in plan.arms:
        options = ", ".join(f"{key}: {value}" for key, value in arm.options.model_dump().items()) or "-"
        cpuset = ",".join(map(str, arm.limits.cpuset)) or "all"
        memory, other = str(arm.limits.memory >> 20), _other_limits(arm.limits) or "-"
        arms.add_row(arm.name, arm.runtime, Text(options), f"{arm.limits.cpus:g}", cpuset, memory, other)
    trials = Table(title="\nTrials of as many blocks as there may be, in this order", **plain)
    for column in ("trial", "block", "workload", "arm"):
        trials.add_column(column)
    for trial in plan.trials():
        trials.add_row(str(trial.number), str(trial.block), Text(trial.case.label), trial.arm.name)
    return [summary, arms, _placement_table(placement), trials]


def _placement_table(placement: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Arms that are placed alike are in one row."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="\nCPUs on this host", title_justify="left", box=None, pad_edge=False)
    for column in ("arms", "instance", "load generator", "harness", "notes"):
        table.add_column(column, overflow="fold")
    for names, placed in alike(placement):
        cpus = (format_cpus(placed[party]) for party in ("instance", "load_generator", "harness"))
        table.add_row(Text(", ".join(names)), *cpus, Text("; ".join(placed["notes"]) or "nothing is shared"))
    return table


def _other_limits(limits: Limits) -> str:
    """The limits without a column of their own."""
    shown: list[str] = []
    for key, value in limits_data(limits).items():
        if key in ("cpus", "cpuset", "memory"):
            continue
        parts = {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}
        shown += [f"{name}: {each}" for name, each in parts.items()]
    return ", ".join(shown)


def _image(plan: Plan) -> str:
    if plan.origin is not None:
        return f"image: {plan.origin}"
    return f"packages in the image: {' '.join(plan.packages()) or 'none'}"
