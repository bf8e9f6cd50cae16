"""On which CPUs of this host the arms of a suite run, as a plan tells it before a run and ``host.json`` after it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtimes.placement import Placer, describe_cpus, make_placer
from runtimes.topology import read_topology

if TYPE_CHECKING:
    from bench.suite_model import Arm


def expected_placer(arms: Sequence[Arm]) -> Placer:
    """The placer that a run of these arms would have here: by the CPUs that this process may run on."""
    return make_placer(read_topology(os.sched_getaffinity(0)), [arm.limits for arm in arms])


def placement_data(placer: Placer, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """Where each arm runs, as plain data.

    Returns:
        by the arm's name: ``instance``, ``load_generator`` and ``harness``, each a list of CPUs, and ``notes``: what is
        shared, what does not fit, and where the threads of a virtual machine monitor are, in words.
    """
    return {arm.name: _arm_data(placer, arm) for arm in arms}


def measured_cpus(placer: Placer, arms: Sequence[Arm]) -> frozenset[int]:
    """The CPUs that instances of these arms run on."""
    return frozenset(cpu for arm in arms for cpu in placer.place(arm.limits).instance)


def _arm_data(placer: Placer, arm: Arm) -> dict[str, Any]:
    placement = placer.place(arm.limits)
    asked = math.ceil(arm.limits.cpus)
    notes = list(placement.shared)
    if len(placement.instance) < asked:
        among = describe_cpus(arm.limits.cpuset or placer.topology.numbers)
        notes.insert(0, f"{asked} CPUs cannot be given out of {among}")
    if arm.options.monitor_threads:
        notes.append(arm.options.monitor_threads)
    return {
        "instance": list(placement.instance),
        "load_generator": list(placement.peer),
        "harness": list(placement.harness),
        "notes": notes,
    }


def alike(placements: Mapping[str, Mapping[str, Any]]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """The arms that have the same placement together, in the order of the arms."""
    groups: list[tuple[list[str], Mapping[str, Any]]] = []
    for arm, placement in placements.items():
        names = next((names for names, other in groups if other == placement), None)
        if names is None:
            groups.append(([arm], placement))
        else:
            names.append(arm)
    return groups
