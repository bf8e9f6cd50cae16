"""What of a suite an ordinary user cannot have, told at once and with a command that leaves it out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtimes.base import HostError

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.suite_model import Suite


def check_privileges(suite: Suite, plan: Plan, given: Sequence[str]) -> None:
    """Find out whether this user can run a suite; root always can.

    Args:
        suite: the suite.
        plan: its plan.
        given: its name or file as ``bench run`` was given it, then the options without which it cannot be found.

    Raises:
        HostError: some arm or workload needs root, or the user lacks what a run without root needs.
    """
    from runtimes.rootless import check_user_namespace, is_unprivileged, require_cgroups
    from runtimes.user_namespace import host_id

    if not is_unprivileged():
        return
    arms, workloads = _arms_for_root(suite), _workloads_for_root(plan)
    if arms or workloads:
        refused = "".join(f"\n  {kind} {name}: {why}" for kind, name, why in (*arms, *workloads))
        left = _without(suite, plan, {name for _, name, _ in arms}, {name for _, name, _ in workloads}, given)
        raise HostError(f"user {host_id()} cannot run all of {given[0]}:{refused}\nrun it as root, or {left}")
    require_cgroups()
    check_user_namespace()


def _arms_for_root(suite: Suite) -> list[tuple[str, str, str]]:
    from runtimes.registry import load_runtime

    refused = []
    for arm in suite.arms:
        try:
            load_runtime(arm.runtime).check(arm.options, arm.limits)
        except HostError as error:
            refused.append(("arm", arm.name, str(error)))
    return refused


def _workloads_for_root(plan: Plan) -> list[tuple[str, str, str]]:
    names = dict.fromkeys(case.workload.name for case in plan.cases if case.scratch_in_all is not None)
    why = "its scratch disk is a loop device with a file system of its own, which only root can attach and mount"
    return [("workload", name, why) for name in names]


def _without(suite: Suite, plan: Plan, arms: set[str], workloads: set[str], given: Sequence[str]) -> str:
    """What is left of a suite, as a command that runs it."""
    if suite.baseline in arms:
        return f"choose another baseline than {suite.baseline}"
    names = dict.fromkeys(case.workload.name for case in plan.cases)
    kept = [name for name in names if name not in workloads]
    if not kept:
        return "choose other workloads"
    command = ["bench", "run", *given]
    if arms:
        # The baseline is always run.
        others = [arm.name for arm in suite.arms if arm.name not in arms and arm.name != suite.baseline]
        command += [word for name in others or [suite.baseline] for word in ("--arm", name)]
    if workloads:
        command += [word for name in kept for word in ("--workload", name)]
    return f"leave these out: {shlex.join(command)}"
