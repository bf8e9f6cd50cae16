"""The memory waterfall of each arm: whom the memory serves that the host holds for an instance at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from results.charts.cases import cases, part_medians
from results.records import MEMORY_MOMENTS, WATERFALL_STEPS

if TYPE_CHECKING:
    import pandas as pd

    from results.trials import WorkloadCase

Waterfalls = Mapping[str, Mapping[str, float]]
"""By arm, bytes by step in the order of :data:`results.records.WATERFALL_STEPS`."""

READING = (
    "The host's memory for an idle instance, from the application outwards; the steps add up to the footprint and, for "
    "a guest, the huge pages of its memory that no cgroup is charged for. Guest kernel is all that the guest's kernel "
    "took for itself, guest free what the guest has touched once and freed and the host still holds, vmm the memory of "
    "QEMU itself, host kernel the host's page tables and other kernel memory for the instance, helpers what processes "
    "of a container engine hold for its sake. The residual is what no reading accounts for; below zero the guest "
    "counts as used what it has never touched."
)
"""What a reader of the figures must know."""


MOMENT_LABELS = {"idle": "idle", "loaded": "under load", "after": "afterwards"}
"""How the moments of :data:`results.records.MEMORY_MOMENTS` are shown."""


def waterfalls_of(frame: pd.DataFrame, moment: str = "idle") -> dict[str, dict[str, float]]:
    """Medians over trials of every step, by arm; arms without any are absent.

    Args:
        frame: samples of one case; for the idle footprint, of that which stands for it.
        moment: one of :data:`results.records.MEMORY_MOMENTS`.
    """
    medians = part_medians(frame, f"{MEMORY_MOMENTS[moment]}_waterfall")
    return {arm: {step: steps[step] for step in WATERFALL_STEPS if step in steps} for arm, steps in medians.items()}


def cases_with_moments(frame: pd.DataFrame) -> list[WorkloadCase]:
    """The cases whose instances' memory was read under load and afterwards too."""
    return cases(frame[frame["metric"] == "memory_loaded"])


def step_label(step: str) -> str:
    """A step's name as shown."""
    return step.replace("_", " ")


def steps_of(waterfalls: Waterfalls) -> list[str]:
    """The steps that any arm has, in their order."""
    return [step for step in WATERFALL_STEPS if any(step in steps for steps in waterfalls.values())]
