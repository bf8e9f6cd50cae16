"""The container engines that arms of a run were started by, as their trials' facts tell them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.records import TrialRecord


@dataclass(frozen=True, slots=True)
class Engine:
    """What started an arm's containers.

    Attributes:
        arm: the arm.
        version: of the engine, as it says it.
        oci_runtime: what made the containers for it; empty where that is the engine itself.
        storage: what its root file systems are made by; empty where it is told none.
        daemon_memory: bytes that its daemon holds without an instance, median over trials; None without a daemon.
    """

    arm: str
    version: str
    oci_runtime: str
    storage: str
    daemon_memory: float | None


def engines_of(trials: Iterable[TrialRecord]) -> tuple[Engine, ...]:
    """One for each arm that an engine started, in the order in which trials name them."""
    by_arm: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.status == "ok" and "engine" in trial.facts:
            by_arm.setdefault(trial.arm, []).append(trial)
    found = []
    for arm, ours in by_arm.items():
        facts = ours[0].facts
        idle = [float(trial.facts["daemon_memory"]) for trial in ours if "daemon_memory" in trial.facts]
        found.append(
            Engine(
                arm=arm,
                version=facts["engine"],
                oci_runtime=facts.get("oci_runtime", ""),
                storage=facts.get("storage_driver", ""),
                daemon_memory=median(idle) if idle else None,
            )
        )
    return tuple(found)
