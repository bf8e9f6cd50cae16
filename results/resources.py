"""Whether the arms of a comparison had the same to work with: processors and memory, by the facts of their trials.

What counts is what a program can use: the fewer of the CPUs that it may run on and those whose time it is given, and
the less of the memory that it sees and its limit. A container on a large host sees all of that and can use its limit
of it; a guest sees what it was given, less what its kernel keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median_low

from results.charts.quantities import quantity
from results.compare import Comparison
from results.records import TrialRecord

KEPT_BY_KERNEL = 64 << 20
"""Bytes that a guest's kernel may keep of its memory, whatever the size, without a warning: its code, and what it
reserves before it counts (``MemTotal`` of proc_meminfo(5)). Debian's 6.1 keeps 43 MiB of 512."""

KEPT_SHARE = 0.02
"""The part of its memory that it may keep besides: 64 bytes of 4096 are ``struct page``."""


def resource_warnings(trials: Iterable[TrialRecord], baseline: str) -> dict[str, tuple[str, ...]]:
    """What is to be said of each arm whose trials had other CPUs or another amount of memory than the baseline's.

    It goes by the facts ``cpus_usable`` and ``memory_usable`` of trials that succeeded, the median of an arm; arms
    whose trials do not tell them are passed over.

    Args:
        trials: of a run.
        baseline: the arm that the others are compared with.
    """
    arms = _facts_by_arm(trials, ("cpus_usable", "memory_usable"))
    theirs = arms.get(baseline, {})
    found: dict[str, tuple[str, ...]] = {}
    for arm, ours in arms.items():
        said = (_cpus(arm, ours, baseline, theirs), _memory(arm, ours, baseline, theirs))
        if arm != baseline and any(said):
            found[arm] = tuple(warning for warning in said if warning)
    return found


def resource_changes(
    ours: Iterable[TrialRecord], theirs: Iterable[TrialRecord], baseline_run: str
) -> dict[str, tuple[str, ...]]:
    """What is to be said of each arm whose trials had other CPUs or another amount of memory in another run.

    Args:
        ours: trials of a run; what counts of them is as in :func:`resource_warnings`.
        theirs: trials of the run that it is compared with.
        baseline_run: what that is called.
    """
    names = ("cpus_usable", "memory_usable")
    now, before = _facts_by_arm(ours, names), _facts_by_arm(theirs, names)
    found: dict[str, tuple[str, ...]] = {}
    for arm in now:
        if arm in before:
            there = f"it in {baseline_run}"
            said = (_cpus(arm, now[arm], there, before[arm]), _memory(arm, now[arm], there, before[arm]))
            if any(said):
                found[arm] = tuple(warning for warning in said if warning)
    return found


def marked(comparisons: Iterable[Comparison], trials: Iterable[TrialRecord], baseline: str) -> list[Comparison]:
    """The comparisons, those of arms that had other CPUs or another amount of memory with a warning more."""
    warnings = resource_warnings(trials, baseline)
    return [replace(one, warnings=(*one.warnings, *warnings.get(one.arm, ()))) for one in comparisons]


def counting_note(trials: Iterable[TrialRecord]) -> str | None:
    """What is to be said where arms see other numbers of processors than they can use, and so than each other.

    Programs that ask by sched_getaffinity(2), as nproc(1), OpenMP and Go do, start as many threads everywhere; those
    that count the processors of the machine do not.
    """
    arms = _facts_by_arm(trials, ("cpus_online", "cpus_usable"))
    online = {arm: figures["cpus_online"] for arm, figures in arms.items() if "cpus_online" in figures}
    if len(set(online.values())) < 2:
        return None
    listed = ", ".join(f"{arm} {count:g}" for arm, count in online.items())
    return (
        f"The arms see different numbers of processors online ({listed}). A program that counts them, and not those "
        "that it may run on, starts other numbers of threads."
    )


def _facts_by_arm(trials: Iterable[TrialRecord], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        if trial.status == "ok":
            of_arm = values.setdefault(trial.arm, {})
            for name in names:
                value = _number(trial.facts.get(name))
                if value is not None:
                    of_arm.setdefault(name, []).append(value)
    return {arm: {name: median_low(each) for name, each in of_arm.items()} for arm, of_arm in values.items()}


def _cpus(arm: str, ours: Mapping[str, float], baseline: str, theirs: Mapping[str, float]) -> str | None:
    if "cpus_usable" not in ours or "cpus_usable" not in theirs or ours["cpus_usable"] == theirs["cpus_usable"]:
        return None
    return f"not the same CPUs: {arm} can use {ours['cpus_usable']:g}, {baseline} {theirs['cpus_usable']:g}"


def _memory(arm: str, ours: Mapping[str, float], baseline: str, theirs: Mapping[str, float]) -> str | None:
    if "memory_usable" not in ours or "memory_usable" not in theirs:
        return None
    had, others = ours["memory_usable"], theirs["memory_usable"]
    if abs(had - others) <= KEPT_BY_KERNEL + KEPT_SHARE * max(had, others):
        return None
    return f"not the same memory: {arm} can use {quantity(had, 'bytes')}, {baseline} {quantity(others, 'bytes')}"


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
